"""The demo set looks like AVA, is repeatable, and cannot be won by knowing a scene."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from cache.errors import StorageError
from extract.demo.cli import (
    LABEL_NOTE,
    Recipe,
    _break_files,
    main,
    make_demo,
)
from extract.demo.plan import Plan, make_plan

SMALL = Recipe(photographs=300, seed=3)
LEVELS = np.arange(1, 11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "photos"
    assert make_demo(path, SMALL)
    return path


@pytest.fixture(scope="module")
def full_plan() -> Plan:
    return make_plan(1500, 0)


def table(folder: Path) -> np.ndarray:
    return np.loadtxt(folder / "AVA.txt", dtype=int)


def means(votes: np.ndarray) -> np.ndarray:
    return votes @ LEVELS / votes.sum(axis=1)


def test_the_table_has_the_fifteen_columns_of_ava(folder: Path) -> None:
    rows = table(folder)
    assert rows.shape == (300, 15)
    assert (rows[:, 0] == np.arange(1, 301)).all()
    assert len(np.unique(rows[:, 1])) == 300
    votes = rows[:, 2:12].sum(axis=1)
    assert votes.min() >= 80
    assert votes.max() <= 250
    assert set(rows[:, 14]) == {1, 2, 3, 4}


def test_the_official_lists_share_no_scene(folder: Path) -> None:
    rows = table(folder)
    lists = folder / "aesthetics_image_lists"
    test = set(np.loadtxt(lists / "generic_test.jpgl", dtype=int))
    train = set(np.loadtxt(lists / "generic_ls_train.jpgl", dtype=int))
    scene = {int(row[1]): int(row[12]) for row in rows}
    assert test | train == set(scene)
    assert not {scene[i] for i in test} & {scene[i] for i in train}
    assert 0.15 < len(test) / len(rows) < 0.4


def test_some_rows_have_no_photograph_and_some_files_are_broken(folder: Path) -> None:
    plan = make_plan(SMALL.photographs, SMALL.seed)
    broken = 0
    for row, image_id in enumerate(plan.image_id):
        path = folder / "images" / f"{image_id}.jpg"
        assert path.exists() == (row not in plan.missing)
        if row in plan.missing:
            continue
        try:
            with warnings.catch_warnings(), Image.open(path) as image:
                image.load()
        except (UnidentifiedImageError, OSError):
            broken += 1
            assert row in plan.broken
    assert len(plan.missing) == 3
    assert broken == len(plan.broken) == 1


def test_the_full_set_has_all_kinds_of_broken_files(full_plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for row in full_plan.broken:
        (tmp_path / "images" / f"{full_plan.image_id[row]}.jpg").write_bytes(b"x" * 30)
    _break_files(tmp_path, full_plan)
    kinds = {path.read_bytes()[:5] for path in (tmp_path / "images").iterdir()}
    assert kinds == {b"", b"xxxxx", b"<!DOC"}
    sizes = [path.stat().st_size for path in (tmp_path / "images").iterdir()]
    assert sizes.count(10) == 2


def test_photographs_have_the_size_of_web_photographs(folder: Path) -> None:
    plan = make_plan(SMALL.photographs, SMALL.seed)
    skipped = plan.missing | set(plan.broken)
    modes = set()
    for row in range(0, 300, 7):
        if row in skipped:
            continue
        with Image.open(folder / "images" / f"{plan.image_id[row]}.jpg") as image:
            assert 400 <= max(image.size) <= 540
            assert min(image.size) >= 260
            modes.add(image.mode)
    assert modes == {"RGB", "L"}


def test_an_equal_seed_makes_equal_files_and_another_seed_others(
    folder: Path, tmp_path: Path
) -> None:
    make_demo(tmp_path / "same", SMALL)
    make_demo(tmp_path / "other", Recipe(photographs=100, seed=4))
    make_demo(tmp_path / "another", Recipe(photographs=100, seed=5))
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "same" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    votes = [(tmp_path / name / "AVA.txt").read_bytes() for name in ("other", "another")]
    assert votes[0] != votes[1]


def test_the_note_and_the_readme_say_that_nobody_voted(folder: Path) -> None:
    assert (folder / "labels-note.txt").read_text() == f"{LABEL_NOTE}\n"
    readme = (folder / "README.txt").read_text()
    assert "NOBODY HAS VOTED" in readme
    assert "thresholds 1.5, 2.5, ..., 9.5" in readme
    assert "espresso, cameraman, grass" in " ".join(readme.split())
    assert "blur 1.3, noise 1.2" in readme
    assert "astronaut +0.15" in readme
    assert all(len(line) <= 100 for line in readme.splitlines())


def test_a_second_run_says_so_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main([str(folder), "--photographs", "300", "--seed", "3"]) == 0
    assert "already there, nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_folder_with_another_demo_set_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--photographs", "301", "--seed", "3"]) == 1
    error = capsys.readouterr().err
    assert "already holds a demo set made with photographs 300" in error
    assert "photographs 301" in error
    assert "Name another folder, or remove that one first." in error


def test_a_folder_with_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(StorageError, match="already holds something else than a demo set"):
        make_demo(tmp_path, SMALL)
    (tmp_path / "demo.json").write_text("no json")
    with pytest.raises(StorageError, match="something else than a demo set"):
        make_demo(tmp_path, SMALL)
    assert (tmp_path / "letters").read_text() == "dear"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert make_demo(tmp_path, Recipe(photographs=100, seed=0))
    assert json.loads((tmp_path / "demo.json").read_text())["photographs"] == 100


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("extract.demo.pictures.render", full_disk)
    with pytest.raises(StorageError, match=r"cannot be written to .*No space left.*about 60 MB"):
        make_demo(tmp_path / "photos", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("extract.demo.pictures.render", interrupted)
    assert main([str(tmp_path / "photos"), "--photographs", "100"]) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_folder_inside_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="name another folder"):
        make_demo(tmp_path / "file" / "photos", SMALL)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--photographs", "99"], "--photographs is 99; it must be 100 to 50000"),
        (["--photographs", "50001"], "--photographs is 50001; it must be 100 to 50000"),
        (["--seed", "-1"], "--seed is -1; it must be 0 or more"),
    ],
)
def test_numbers_out_of_range_are_wrong_usage(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), *arguments])
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
