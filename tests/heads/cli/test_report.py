"""`heads report`: it prints where the page is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.store import open_cache
from heads.cli import main as cli
from tests.heads.report.finished_runs import PLAN, make_runs
from tests.heads.studio import Studio


def test_the_command_prints_where_the_page_is(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.copytree(studio.runs, tmp_path / "runs")
    assert cli.main(["report", str(own)]) == 0
    assert capsys.readouterr().out == f"{own / 'report.html'}\n"
    assert cli.main(["report", str(own / "ridge")]) == 1
    assert "holds no finished run" in capsys.readouterr().err


PICTURE = "data:image/jpeg;base64,"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with photographs, features and runs; only to be copied."""
    project = tmp_path_factory.mktemp("report") / "made"
    make_runs(project, PLAN, ("constant", "ridge"), trained=False)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same under another name, where one stands, and nothing is left where it was made."""
    copy = shutil.copytree(made, tmp_path / "project")
    hidden = made.rename(made.with_name("hidden"))
    monkeypatch.chdir(copy)
    yield copy
    hidden.rename(made)


def shows_photographs(project: Path) -> bool:
    return PICTURE in (project / "runs" / "report.html").read_text()


def test_a_project_that_moved_has_its_report_leaderboard_and_predictions(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in project.glob("runs/*/*")}
    assert cli.main(["report"]) == 0
    assert shows_photographs(project)
    compare = ["compare", "--features", "features", "--heads", "ridge"]
    assert cli.main(compare) == 0
    assert "runs/ridge: this very run is already there; it is reused" in capsys.readouterr().err
    assert shows_photographs(project)
    assert cli.main(["predict", "runs/ridge", "--split", "test"]) == 0
    assert cli.main(["train", "--config", "runs/ridge/config.json"]) == 0
    assert "it is reused" in capsys.readouterr().err
    assert cli.main(["list"]) == 0
    assert f"120 photographs of {project}/features" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in project.glob("runs/*/*")} == before


def test_photographs_that_moved_alone_are_shown_once_they_were_given(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data").rename(tmp_path / "pictures")
    made = open_cache("features/test.h5").data_root
    assert cli.main(["report"]) == 0
    said = capsys.readouterr().err
    assert said == (
        f"The photographs are not in {made}, where the cache looks for them: the report shows "
        "none. `heads report runs --data DIR` finds them in DIR, now and from then on.\n"
    )
    assert not shows_photographs(project)
    page = (project / "runs" / "report.html").read_text()
    assert "<code>heads report runs --data DIR</code>" in page
    assert cli.main(["report", "--data", str(project)]) == 1
    assert capsys.readouterr().err == (
        f"heads: --data {project} holds none of the photographs of features/test.h5 (looked for "
        "images/test0.jpg, for one). Name the folder that paths in the labels start from.\n"
    ).replace("features/test.h5", str(project / "features" / "test.h5"))
    assert cli.main(["report", "--data", str(tmp_path / "pictures")]) == 0
    assert shows_photographs(project)
    for split in ("train", "test"):
        assert open_cache(f"features/{split}.h5").data_root == tmp_path / "pictures"
    (project / "runs" / "report.html").unlink()
    assert cli.main(["report"]) == 0
    assert shows_photographs(project)
    assert capsys.readouterr().err == ""


def test_features_that_moved_alone_are_found_once_they_were_given(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = (project / "features").rename(tmp_path / "elsewhere")
    for command in (["report"], ["predict", "runs/ridge", "--split", "test"]):
        assert cli.main(command) == 1
        assert "by now, name their folder with --features." in capsys.readouterr().err
    assert cli.main(["report", "--features", str(elsewhere)]) == 0
    assert cli.main(["report"]) == 0
    assert cli.main(["predict", "runs/ridge", "--split", "test"]) == 0


def test_a_place_that_cannot_be_noted_is_used_all_the_same(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data").rename(tmp_path / "pictures")
    for split in ("train", "val", "test"):
        (project / "features" / f"{split}.h5.partial").touch()
    assert cli.main(["report", "--data", str(tmp_path / "pictures")]) == 0
    assert "Where the photographs lie is not noted: " in capsys.readouterr().err
    assert shows_photographs(project)
