"""A run's files are those that were written with it, or nothing is read from them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from heads.cli.main import main
from heads.errors import RunError
from heads.report.write import write_report
from heads.runs.checksums import FILE, check_files, read_bytes, read_text, seal
from heads.runs.folder import publishing
from heads.runs.loaded import load_run
from tests.heads.studio import Studio
from tests.heads.unsealed import unsealed

CHANGED = "is not the file that was written with this run: its SHA-256 is not the one in files.json"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that was published as a run, of two files."""
    with publishing(tmp_path / "run") as folder:
        (folder / "config.json").write_text("{}")
        (folder / "table.csv").write_text("a\n1\n")
    return tmp_path / "run"


def test_what_is_published_has_the_checksum_of_every_file(run: Path) -> None:
    assert set(json.loads((run / FILE).read_text())["sha256"]) == {"config.json", "table.csv"}
    check_files(run)
    assert read_text(run / "table.csv") == "a\n1\n"


def test_a_changed_file_is_named_and_one_that_came_later_does_no_harm(run: Path) -> None:
    (run / "export").mkdir()
    check_files(run)
    (run / "table.csv").write_text("a\n2\n")
    for check in (lambda: check_files(run), lambda: read_bytes(run / "table.csv")):
        with pytest.raises(RunError, match=rf"table\.csv {CHANGED}.*Put it back, or train"):
            check()


def test_a_file_that_is_gone_is_named(run: Path) -> None:
    (run / "table.csv").unlink()
    with pytest.raises(RunError, match=r"table\.csv is missing: files\.json names it"):
        check_files(run)


def test_a_file_that_the_list_does_not_name_is_not_read(run: Path) -> None:
    (run / "model.npz").write_bytes(b"")
    with pytest.raises(RunError, match=rf"model\.npz {CHANGED}"):
        read_bytes(run / "model.npz")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 9999, '{"format": "aesthetic-files", "version": 2}']
)
def test_a_damaged_list_is_named(run: Path, text: str) -> None:
    (run / FILE).write_text(text)
    with pytest.raises(RunError, match=r"files\.json cannot be read"):
        check_files(run)


def test_a_list_that_leads_out_of_the_run_is_refused(run: Path) -> None:
    values = json.loads((run / FILE).read_text())
    values["sha256"]["../../secret"] = "0" * 64
    (run / FILE).write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"files\.json cannot be read: it is no list"):
        check_files(run)


def test_a_run_without_a_list_is_read_as_it_is(run: Path) -> None:
    unsealed(run)
    (run / "table.csv").write_bytes(b"\xff")
    check_files(run)
    assert read_bytes(run / "table.csv") == b"\xff"
    with pytest.raises(RunError, match=r"table\.csv cannot be read: 'utf-8' codec"):
        read_text(run / "table.csv")


def test_what_is_no_file_is_not_waited_for(run: Path) -> None:
    unsealed(run)
    os.mkfifo(run / "pipe")
    (run / "folder").mkdir()
    (run / "loop").symlink_to("loop")
    for name, said in (
        ("pipe", "it is no file"),
        ("folder", "it is no file"),
        ("loop", "Too many"),
    ):
        with pytest.raises(RunError, match=rf"{name} cannot be read: {said}"):
            read_bytes(run / name)


# --- runs whose files were exchanged --------------------------------------------------------------


@pytest.fixture
def own(studio: Studio, tmp_path: Path) -> Path:
    """Copies of the runs."""
    return shutil.copytree(studio.runs, tmp_path / "runs")


def exchange(one: Path, other: Path) -> None:
    """Exchange two files."""
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def test_models_of_two_runs_that_were_exchanged_are_noticed(own: Path) -> None:
    exchange(own / "ridge" / "model.npz", own / "logistic" / "model.npz")
    for name in ("ridge", "logistic"):
        with pytest.raises(RunError, match=rf"{name}/model\.npz {CHANGED}"):
            load_run(own / name)


def test_shuffled_predictions_are_noticed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own / "ridge" / "predictions.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows[::-1]]) + "\n")
    write_report(own)
    assert f"ridge/predictions.csv {CHANGED}" in capsys.readouterr().err
    assert main(["list", str(own)]) == 1
    assert f"ridge/predictions.csv {CHANGED}" in capsys.readouterr().out


def test_a_run_with_another_ones_files_is_not_reused(
    own: Path, studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange(own / "ridge" / "yardstick.json", own / "logistic" / "yardstick.json")
    words = ["train", "ridge", "--features", str(studio.features), "--out", str(own)]
    assert main(words) == 1
    assert f"ridge/yardstick.json {CHANGED}" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    check_files(own / "ridge")


def test_a_list_can_be_made_anew(run: Path) -> None:
    (run / "table.csv").write_text("a\n2\n")
    seal(run)
    check_files(run)


# --- runs of earlier versions ---------------------------------------------------------------------

UNLISTED = "ridge has no files.json, as it is of an earlier version: whether its files were changed"


@pytest.mark.parametrize("use", ["score", "report", "reuse", "list"])
def test_a_run_without_a_list_is_named_once_where_it_is_used(
    own: Path, studio: Studio, capsys: pytest.CaptureFixture[str], use: str
) -> None:
    unsealed(own / "ridge")
    uses: dict[str, Callable[[], object]] = {
        "score": lambda: load_run(own / "ridge"),
        "report": lambda: write_report(own),
        "reuse": lambda: main(
            ["train", "ridge", "--features", str(studio.features), "--out", str(own)]
        ),
        "list": lambda: main(["list", str(own)]),
    }
    uses[use]()
    uses[use]()
    told = capsys.readouterr().err
    assert told.count(UNLISTED) == 1
    assert "Train the head again with --overwrite to know." in told
    assert "logistic has no" not in told


def test_folds_without_a_list_are_named_when_they_are_reused(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--heads", "ridge", "--folds", "2", "--features", str(studio.features)]
    words += ["--out", str(tmp_path)]
    assert main(words) == 0
    assert "has no files.json" not in capsys.readouterr().err
    unsealed(tmp_path / "folds-2" / "ridge")
    assert main(words) == 0
    assert capsys.readouterr().err.count(UNLISTED) == 1
