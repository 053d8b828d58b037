"""The demo set looks like AVA, is repeatable, and cannot be won by knowing a scene."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from cache.errors import NoPhotographsError, StorageError
from extract.demo import pictures as demo_photos
from extract.demo import votes as demo_votes
from extract.demo.cli import (
    LABEL_NOTE,
    Recipe,
    _break_files,
    _write_lists,
    main,
    make_demo,
)
from extract.demo.pictures import FAULTS, SCENES, Shot, jpeg_quality, load_pictures, render, window
from extract.demo.plan import Plan, make_plan
from extract.labels.ava import read_ava
from extract.labels.splits import SplitSettings, assign

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


def shot(scene: str, *faults: tuple[str, float]) -> Shot:
    number = [s.name for s in SCENES].index(scene)
    return Shot(number, 0, 0.9, (0.0, 0.0), 4 / 3, 480, False, faults, seed=5)


def test_the_table_has_the_fifteen_columns_of_ava(folder: Path) -> None:
    rows = table(folder)
    assert rows.shape == (300, 15)
    assert (rows[:, 0] == np.arange(1, 301)).all()
    assert len(np.unique(rows[:, 1])) == 300
    votes = rows[:, 2:12].sum(axis=1)
    assert votes.min() >= 80
    assert votes.max() <= 250
    assert set(rows[:, 14]) == {1, 2, 3, 4}


def test_the_marginal_of_the_votes_looks_like_avas(full_plan: Plan) -> None:
    # AVA itself, of 87,080 rows: mean of means 5.385, variance 0.540, 70.5 % above 5, EMD 0.089.
    mean = means(full_plan.votes)
    assert mean.mean() == pytest.approx(5.385, abs=0.06)
    assert mean.var() == pytest.approx(0.54, abs=0.06)
    assert (mean > 5).mean() == pytest.approx(0.705, abs=0.03)
    shares = full_plan.votes / full_plan.votes.sum(axis=1, keepdims=True)
    gaps = np.cumsum(shares - shares.mean(axis=0), axis=1)
    assert np.sqrt((gaps**2).mean(axis=1)).mean() == pytest.approx(0.0893, abs=0.004)


def test_the_official_lists_share_no_scene(folder: Path) -> None:
    rows = table(folder)
    lists = folder / "aesthetics_image_lists"
    test = set(np.loadtxt(lists / "generic_test.jpgl", dtype=int))
    train = set(np.loadtxt(lists / "generic_ls_train.jpgl", dtype=int))
    scene = {int(row[1]): int(row[12]) for row in rows}
    assert test | train == set(scene)
    assert not {scene[i] for i in test} & {scene[i] for i in train}
    assert 0.15 < len(test) / len(rows) < 0.4


@pytest.mark.parametrize(("photographs", "seed"), [(100, 9), (300, 3), (1500, 0)])
def test_the_default_rule_keeps_test_scenes_and_val_scenes_out_of_train(
    photographs: int, seed: int, tmp_path: Path
) -> None:
    plan = make_plan(photographs, seed)
    (tmp_path / "images").mkdir()
    _write_lists(tmp_path, plan)
    labels = read_ava(tmp_path)
    names, _ = assign(labels, SplitSettings())
    assert labels.table.image_id.tolist() == plan.image_id.astype(str).tolist()
    wanted = np.array([SCENES[s.scene].split for s in plan.shots])
    assert ((names == "test") == (wanted == "test")).all()
    assert (names[wanted == "val"] == "val").all()
    known = wanted[names == "val"] == "train"
    assert 0.2 < known.mean() < 0.8
    assert 0.1 < (names == "val").mean() < 0.4


def test_both_pictures_of_the_motorcycle_are_one_scene() -> None:
    owners = [s.name for s in SCENES for _, path in s.files if "motorcycle" in path]
    assert owners == ["motorcycle", "motorcycle"]


def test_every_fault_lowers_the_votes_and_taste_stays(full_plan: Plan) -> None:
    mean = means(full_plan.votes)
    severity = np.array([[s.severity.get(name, 0.0) for name in FAULTS] for s in full_plan.shots])
    design = np.column_stack([severity, np.ones(len(mean))])
    slopes, *_ = np.linalg.lstsq(design, mean, rcond=None)
    assert (slopes[:-1] < -0.3).all()
    explained = 1 - (mean - design @ slopes).var() / mean.var()
    assert 0.35 < explained < 0.8


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
    assert "already holds a demo set made as" in error
    assert "'photographs': 300" in error
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


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_photos.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoPhotographsError, match=r"pip install 'aesthetic-heads\[demo\]'"):
        demo_photos.find_pictures()


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


def test_a_window_stays_inside_its_picture() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        drawn = demo_photos.draw_shot(rng)
        left, top, right, bottom = window(451, 300, drawn)
        assert -1e-9 <= left < right <= 451 + 1e-9
        assert -1e-9 <= top < bottom <= 300 + 1e-9
        assert (right - left) / (bottom - top) == pytest.approx(drawn.aspect)
        assert set(drawn.severity) != {"under", "over"}


@pytest.fixture(scope="module")
def temple() -> Image.Image:
    scene = next(s for s in SCENES if s.name == "temple")
    return load_pictures()[scene.files[0]]


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=float)


def test_each_fault_does_what_its_name_says(temple: Image.Image) -> None:
    clean = render(temple, shot("temple"))
    spoilt = {name: render(temple, shot("temple", (name, 1.0))) for name in FAULTS}
    detail = {name: np.abs(np.diff(grey(image))).mean() for name, image in spoilt.items()}
    plain = np.abs(np.diff(grey(clean))).mean()
    assert detail["blur"] < 0.5 * plain
    assert detail["noise"] > 1.5 * plain
    assert grey(spoilt["under"]).mean() < 0.6 * grey(clean).mean()
    assert grey(spoilt["over"]).mean() > 1.2 * grey(clean).mean()
    assert grey(spoilt["haze"]).std() < 0.5 * grey(clean).std()
    channels = np.asarray(spoilt["cast"], dtype=float).mean(axis=(0, 1))
    assert np.ptp(channels) > 2 * np.ptp(np.asarray(clean, dtype=float).mean(axis=(0, 1)))
    assert spoilt["tilt"].size == clean.size
    assert (grey(spoilt["tilt"]) != grey(clean)).mean() > 0.5


def test_a_tilted_photograph_has_no_black_corners() -> None:
    white = Image.new("RGB", (800, 600), "white")
    for aspect in (3 / 2, 1.0, 3 / 4):
        tilted = Shot(0, 0, 1.0, (0, 0), aspect, 480, False, (("tilt", 1.0),), seed=5)
        assert grey(render(white, tilted)).min() > 250


def test_jpeg_blocks_come_from_a_low_quality(temple: Image.Image) -> None:
    def size(made: Shot) -> int:
        buffer = io.BytesIO()
        render(temple, made).save(buffer, "JPEG", quality=jpeg_quality(made))
        return buffer.tell()

    assert size(shot("temple", ("blocks", 1.0))) < 0.3 * size(shot("temple"))


def test_better_quality_never_gets_lower_votes_on_average() -> None:
    rng = np.random.default_rng(0)
    votes = demo_votes.cast_votes(np.repeat([3.0, 5.0, 7.0], 50), rng)
    mean = means(votes).reshape(3, 50).mean(axis=1)
    assert mean == pytest.approx([3.0, 5.0, 7.0], abs=0.2)
