"""A run finds its features where they lie now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.errors import IncompleteCacheError
from cache.resume import renew
from heads.data.splits import load_splits
from heads.experiments.train import train
from heads.runs import places
from heads.runs.config import RunConfig
from heads.runs.files import read_config
from heads.runs.places import features_of, naming_option, note_features, note_of
from tests.heads.report.finished_runs import PLAN, make_features, make_runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with photographs, features and two runs; only to be copied."""
    project = tmp_path_factory.mktemp("places") / "made"
    make_runs(project, PLAN, ("constant",), trained=False)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, and nothing is left where it was made."""
    copy = shutil.copytree(made, tmp_path / "made")
    hidden = made.rename(made.with_name("hidden"))
    yield copy
    hidden.rename(made)


def found(project: Path, given: Path | None = None) -> Path:
    run = project / "runs" / "constant"
    return features_of(run, read_config(run), given)


def config(project: Path) -> RunConfig:
    return read_config(project / "runs" / "constant")


def test_features_that_moved_with_the_run_are_found(project: Path, tmp_path: Path) -> None:
    assert found(project) == project / "features"
    moved = project.rename(tmp_path / "any name")
    assert found(moved) == moved / "features"


def test_features_of_another_manifest_are_not_taken_for_the_runs_own(
    project: Path, tmp_path: Path
) -> None:
    other = make_features(tmp_path / "other", replace(PLAN, threshold="3"))
    kept = (project / "features").rename(tmp_path / "kept")
    shutil.copytree(other, project / "features")
    assert found(project, kept) == kept
    note_features(project / "runs" / "constant", config(project), kept)
    assert found(project) == kept
    assert found(project, project / "features") == kept


def test_features_that_moved_alone_are_found_once_they_were_given(
    project: Path, tmp_path: Path
) -> None:
    elsewhere = (project / "features").rename(tmp_path / "elsewhere")
    run = project / "runs" / "constant"
    assert found(project) == Path(config(project).features_dir)
    note_features(run, config(project), elsewhere)
    assert found(project) == elsewhere
    identity = config(project).identity
    (tmp_path / "deep").mkdir()
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    try:
        assert found(moved / "made") == moved / "elsewhere"
        assert config(moved / "made").identity == identity
    finally:
        moved.rename(tmp_path)


def test_only_features_of_the_run_are_noted_and_only_if_need_be(
    project: Path, tmp_path: Path
) -> None:
    run = project / "runs" / "constant"
    note_features(run, config(project), tmp_path)
    note_features(run, config(project), project / "features")
    assert not (run / places.FILE).exists()


def test_features_extracted_anew_are_found_where_the_old_ones_were(project: Path) -> None:
    values = config(project)
    splits = {name: values.splits["test"] for name in values.splits}
    other = type(values)(**{**values.__dict__, "splits": splits})
    assert features_of(project / "runs" / "constant", other) == project / "features"


def test_a_reused_run_notes_the_features_it_was_asked_with(project: Path, tmp_path: Path) -> None:
    elsewhere = (project / "features").rename(tmp_path / "elsewhere")
    done = train("constant", load_splits(elsewhere), project / "runs")
    assert done.reused
    assert found(project) == elsewhere


def test_a_run_that_cannot_be_written_is_no_error(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = project / "runs" / "constant"
    elsewhere = (project / "features").rename(tmp_path / "elsewhere")
    (run / places.FILE).mkdir()
    note_features(run, config(project), elsewhere)
    assert f"{run}: that its features lie in {elsewhere} is not noted: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"features_dir": 7}', "{}"])
def test_a_damaged_note_is_as_good_as_none(project: Path, text: str) -> None:
    (project / "runs" / "constant" / places.FILE).write_text(text)
    assert found(project) == project / "features"


def test_the_remark_is_the_features_own_or_else_that_of_the_training(
    project: Path, tmp_path: Path
) -> None:
    run = project / "runs" / "constant"
    assert note_of(run, config(project)) == PLAN.label_note
    renew(project / "features" / "test.h5", data_root=str(tmp_path), label_note="simulated")
    assert note_of(run, config(project)) == "simulated"
    (project / "features").rename(tmp_path / "gone")
    assert note_of(run, config(project)) == PLAN.label_note


def test_a_missing_cache_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCacheError) as caught, naming_option():
        load_splits(tmp_path)
    assert caught.value.one_line().endswith(
        "If the features lie elsewhere by now, name their folder with --features."
    )


def test_the_folder_may_be_a_link(project: Path, tmp_path: Path) -> None:
    scratch = (project / "features").rename(tmp_path / "scratch")
    (project / "features").symlink_to(scratch)
    assert found(project).samefile(scratch)
