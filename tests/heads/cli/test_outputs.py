"""No output replaces a file that is not ours, and each one is told so before any work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from heads.cli.main import main
from tests.heads.cli.command import heads
from tests.heads.cli.test_explain import CheapMap
from tests.heads.studio import Studio, save_pictures

FOREIGN = "exists and is no earlier output of this kind, so it is not replaced. Move it away"

# Commands that write one file into a folder of runs, and the file.
INTO_RUNS = [
    ("report", "report.html"),
    ("compare", "report.html"),
    ("compare", "leaderboard.csv"),
    ("compare", "duplicates.csv"),
    ("compare --folds 3", "folds-3/leaderboard.csv"),
    ("compare --folds 3", "folds-3/duplicates.csv"),
    ("sweep emd", "sweep-emd/sweep.csv"),
    ("sweep emd", "sweep-emd/sweep.html"),
    ("curve ridge", "curve-ridge.csv"),
    ("curve ridge", "curve-ridge.html"),
]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph that somebody has only once."""
    (path,) = save_pictures(tmp_path / "photos", [3])
    return path


def refused(words: list[object], path: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a command ends with an error and touches nothing beside the file."""
    before = path.read_bytes(), sorted(os.listdir(path.parent))  # noqa: PTH208
    assert main([str(word) for word in words]) == 1
    assert f"heads: {path} {said}" in capsys.readouterr().err
    assert (path.read_bytes(), sorted(os.listdir(path.parent))) == before  # noqa: PTH208


@pytest.mark.parametrize(("command", "name"), INTO_RUNS)
def test_a_file_of_ones_own_among_the_runs_is_kept(
    tmp_path: Path, photo: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / name
    out.parent.mkdir(parents=True)
    shutil.copy(photo, out)
    words = command.split()
    # There are no features: it is refused before they are looked for.
    words += [str(tmp_path / "runs")] if words == ["report"] else ["--out", str(tmp_path / "runs")]
    refused(words, out, FOREIGN, capsys)


@pytest.mark.parametrize("linked", ["itself", "link", "hard link"])
@pytest.mark.parametrize("command", ["predict", "gallery", "explain", "export", "keras"])
def test_a_photograph_is_never_replaced(
    studio: Studio,
    tmp_path: Path,
    photo: Path,
    command: str,
    linked: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, run, said = photo, studio.run(), FOREIGN
    if linked != "itself":
        out = photo.with_name("other.jpg")
        (out.symlink_to if linked == "link" else out.hardlink_to)(photo)
    words: dict[str, list[object]] = {
        "predict": ["predict", run, "--split", "test", "--out", out],
        "gallery": ["score", run, photo, "--gallery", out],
        "explain": ["explain", run, photo, "--out", out],
        "export": ["export", run, "--to", "tflite", "--photos", photo, "--out", out],
        "keras": ["export", run, "--to", "keras", "--photos", photo, "--out", out],
    }
    if command == "explain":
        said = f"is the same file as {photo}, which is read. Name another for the output."
    refused(words[command], out, said, capsys)


def test_a_runs_own_predictions_are_not_replaced_by_those_of_one_split(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    out = studio.run() / "predictions.csv"
    words = ["predict", studio.run(), "--split", "test", "--out", out]
    refused(words, out, f"is the same file as {out}, which is read", capsys)


def test_a_file_of_another_run_is_not_replaced(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(studio.run(), tmp_path / "other") / "predictions.csv"
    words = ["predict", studio.run(), "--split", "test", "--out", out]
    said = f"belongs to the run {out.parent}, so it is not replaced. Name another file."
    refused(words, out, said, capsys)


def test_neither_a_folder_nor_a_device_is_an_output(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["predict", studio.run(), "--split", "test", "--out"]
    assert heads(*given, tmp_path) == 1
    assert f"{tmp_path} is a folder. Name a file for the output." in capsys.readouterr().err
    assert heads(*given, "/dev/null") == 1
    assert "/dev/null is a device or a pipe. Name a file for the output." in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert heads("score", studio.run(), studio.path(1), "--copy-to", tmp_path / "file") == 1
    assert "file cannot be written: a file stands where a folder is needed" in (
        capsys.readouterr().err
    )
    assert heads("export", studio.run(), "--to", "saved-model", "--out", tmp_path / "file") == 1
    assert "file cannot be written: a file stands where a folder is needed" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "name", "ending"),
    [
        ("predict --split test --out", "test.json", ".csv"),
        ("score --gallery", "page.csv", ".html"),
        ("export --to keras --out", "model.onnx", ".keras"),
        ("export --to tflite --out", "model", ".tflite"),
    ],
)
def test_an_output_named_as_another_kind_of_file_is_refused(
    studio: Studio,
    tmp_path: Path,
    words: str,
    name: str,
    ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, *rest = words.split()
    photographs = [studio.path(1)] if command == "score" else []
    assert heads(command, studio.run(), *photographs, *rest, tmp_path / name) == 1
    assert capsys.readouterr().err == (
        f"heads: {tmp_path / name} does not end in {ending}, as a file of what would be written "
        f"does. Give it the ending {ending}.\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_saved_model_is_not_named_as_a_file(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "emd.keras"
    assert heads("export", studio.run(), "--to", "saved-model", "--out", out) == 1
    assert capsys.readouterr().err == (
        f"heads: {out} ends as a file of another format does, and a saved model is a folder of "
        "versions. Give it a name without that ending.\n"
    )


def test_a_folder_of_ones_own_is_not_replaced_by_a_run(
    planted: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo.parent.rename(tmp_path / "ridge")
    given = ["train", "ridge", "--features", planted, "--out", tmp_path, "--overwrite"]
    assert heads(*given) == 1
    assert capsys.readouterr().err.endswith(
        f"heads: {tmp_path / 'ridge'} is no run of ours, so it is not replaced. Move it away, or "
        "choose another --out.\n"
    )
    assert [path.name for path in (tmp_path / "ridge").iterdir()] == [photo.name]


def test_a_run_with_a_file_of_ones_own_in_it_is_not_replaced(
    planted: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", "constant", "--features", planted, "--out", tmp_path]
    assert heads(*given) == 0
    mine = shutil.copy(photo, tmp_path / "constant")
    for more in ([], ["--limit", "100"]):  # equal, and not
        capsys.readouterr()
        assert heads(*given, *more, "--overwrite") == 1
        assert capsys.readouterr().err.endswith(
            f"heads: {tmp_path / 'constant'} is not replaced: {photo.name} (1 in all) is no file "
            "of a run and would be lost. Move it away, or choose another --out.\n"
        )
    assert Path(mine).exists()


@pytest.mark.parametrize("left", ["config.json", "predictions.csv"])
def test_a_damaged_run_is_still_replaced(planted: Path, tmp_path: Path, left: str) -> None:
    given = ["train", "ridge", "--features", planted, "--out", tmp_path, "--overwrite"]
    assert heads(*given) == 0
    for path in (tmp_path / "ridge").iterdir():
        if path.name != left:
            path.write_bytes(b"{")
    assert heads(*given) == 0
    assert (tmp_path / "ridge" / "metrics.json").stat().st_size > 99


@pytest.mark.usefixtures("cheap_engine")
def test_an_earlier_output_is_replaced_without_asking(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heads.scoring.explain.open_map_extractor", lambda *_, **__: CheapMap())
    run, photo = studio.run(), studio.path(1)
    weights = ["--weights", studio.weights]
    (tmp_path / "empty.csv").touch()
    for words, name in (
        (["predict", run, "--split", "test", "--out"], "any.csv"),
        (["predict", run, "--split", "val", "--out"], "empty.csv"),
        (["explain", run, photo, *weights, "--out"], "why.png"),
        (["score", run, photo, *weights, "--gallery"], "page.html"),
    ):
        for _ in range(2):
            assert heads(*words, tmp_path / name) == 0
    names = {"any.csv", "empty.csv", "why.png", "page.html"}
    assert {path.name for path in tmp_path.iterdir()} == names
    with Image.open(tmp_path / "why.png") as image:
        assert image.text["Software"] == "aesthetic-heads explain"


def test_a_page_of_an_earlier_version_is_replaced_too(studio: Studio, tmp_path: Path) -> None:
    shutil.copytree(studio.run(), tmp_path / "ridge")
    assert heads("report", tmp_path) == 0
    page = tmp_path / "report.html"
    mark = '<meta name="generator" content="aesthetic-heads">'
    text = page.read_text()
    assert text.count(mark) == 1
    page.write_text(text.replace(mark, ""))
    assert heads("report", tmp_path) == 0
    assert mark in page.read_text()
