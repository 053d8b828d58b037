"""Run folders: written whole or not at all, found again by what decides their numbers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cache.errors import CacheLockedError
from cache.files import exclusive
from heads.data.splits import SplitData, load_splits
from heads.errors import RunError
from heads.models.neural.settings import NetworkSettings
from heads.runs.files import read_config
from heads.runs.folder import find_runs, publishing
from tests.heads.planted import Plan, keras_saves, plant
from tests.heads.runs.training import train

pytestmark = keras_saves
QUICK = NetworkSettings(epochs=2, ensemble=1)


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def test_another_configuration_goes_beside_the_first(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    first = train(data, tmp_path, "emd", settings=QUICK)
    second = train(data, tmp_path, "emd", settings=QUICK, seed=1)
    assert first.path == tmp_path / "emd"
    assert second.path == tmp_path / f"emd-{read_config(second.path).identity[:8]}"
    assert train(data, tmp_path, "emd", settings=QUICK, seed=1).reused
    assert find_runs(tmp_path) == [first.path, second.path]


def test_other_data_is_another_configuration(tmp_path: Path) -> None:
    runs = []
    for noise in (0.3, 0.31):
        features = plant(tmp_path / f"features{noise}", Plan(noise=noise))
        runs.append(train(load_splits(features), tmp_path / "runs"))
    limited = load_splits(features, limit=500)
    runs.append(train(limited, tmp_path / "runs"))
    assert len({run.path for run in runs}) == 3


def test_the_same_data_elsewhere_is_the_same_configuration(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    train(data, tmp_path)
    moved = load_splits(plant(tmp_path / "moved"))
    assert train(moved, tmp_path).reused


def test_overwrite_replaces_the_run(data: dict[str, SplitData], tmp_path: Path) -> None:
    train(data, tmp_path, "emd", settings=QUICK)
    replaced = train(data, tmp_path, "emd", settings=QUICK, seed=1, overwrite=True)
    assert replaced.path == tmp_path / "emd"
    assert not replaced.reused
    assert read_config(tmp_path / "emd").seed == 1
    assert [p.name for p in tmp_path.iterdir()] == ["emd"]


def test_a_place_that_holds_no_run_is_not_written_over(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    (tmp_path / "ridge").mkdir()
    (tmp_path / "ridge" / "diary.txt").write_text("dear diary")
    with pytest.raises(RunError, match=r"ridge is no finished run: it has no config\.json"):
        train(data, tmp_path)
    assert (tmp_path / "ridge" / "diary.txt").exists()


# --- whole or not at all --------------------------------------------------------------------------


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with publishing(tmp_path / "emd") as folder:
            (folder / "config.json").write_text("{}")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_and_never_found(tmp_path: Path) -> None:
    left = tmp_path / ".emd.123"
    left.mkdir()
    (left / "config.json").write_text("{}")
    assert find_runs(tmp_path) == []
    with publishing(tmp_path / "emd") as folder:
        (folder / "config.json").write_text("{}")
    assert [p.name for p in tmp_path.iterdir()] == ["emd"]


def test_a_run_that_a_kill_left_aside_is_found_by_the_next_command(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path)
    run.path.rename(tmp_path / ".ridge.123.replaced")
    (tmp_path / ".ridge.124").mkdir()
    again = train(data, tmp_path)
    assert (again.path, again.reused, again.metrics) == (run.path, True, run.metrics)
    train(data, tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["ridge"]


def test_two_processes_do_not_write_the_same_run(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "emd"),
        pytest.raises(CacheLockedError, match=f"process {os.getpid()}"),
        publishing(tmp_path / "emd"),
    ):
        pass


# --- damaged runs ---------------------------------------------------------------------------------


def test_a_run_without_its_configuration_is_found_as_damaged(tmp_path: Path) -> None:
    with publishing(tmp_path / "emd") as folder:
        (folder / "config.json").write_text("{}")
    (tmp_path / "emd" / "config.json").unlink()
    assert find_runs(tmp_path) == [tmp_path / "emd"]


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(RunError, match=r"cannot be listed: Permission denied\. Name another"):
        find_runs(tmp_path)
