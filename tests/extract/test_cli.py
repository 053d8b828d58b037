"""The `extract` command: what it takes, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cache.store import open_cache
from extract import cli
from extract.run.settings import Settings
from tests import cheap
from tests.cheap import make_folder, make_weights

N = 40
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data/ of forty photographs and a weights file."""
    make_folder(tmp_path / "data", N)
    make_weights(tmp_path)
    return tmp_path


def arguments_for(folder: Path, *more: str) -> list[str]:
    return [
        *("--split", "train", "--data", str(folder / "data"), "--out", str(folder / "features")),
        *("--weights", str(folder / "cheap.h5"), *more),
    ]


def run(folder: Path, *more: str, **environment: str) -> tuple[int, str, str]:
    """Run the command in a process of its own; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cheap", *arguments_for(folder, *more)],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def settings_of(*arguments: str) -> Settings:
    return cli._settings(cli.build_parser().parse_args(["--split", "all", *arguments]))


# --- what it prints ------------------------------------------------------------------------------


def test_the_result_is_one_line_on_stdout_and_notes_go_to_stderr(folder: Path) -> None:
    code, out, err = run(folder)
    assert code == 0
    assert out.startswith(f"{folder}/features/train.h5: 40 photographs; 40 extracted in ")
    assert out.count("\n") == 1
    assert err.splitlines() == [
        f"{folder}/data/labels.csv: 40 labelled photographs, 40 found.",
        f"Weights: the file {folder}/cheap.h5.",
        "Opening the engine ...",
        "Engine: cheap.",
    ]


def test_json_is_one_object_a_split(folder: Path) -> None:
    code, out, _ = run(folder, "--json")
    assert code == 0
    facts = json.loads(out)
    assert {name: facts[name] for name in ("ok", "missing", "unreadable", "extracted")} == {
        "ok": 40,
        "missing": 0,
        "unreadable": 0,
        "extracted": 40,
    }
    assert facts["path"] == f"{folder}/features/train.h5"
    assert {"decode", "inference", "write", "wall", "engine"} <= set(facts)


def test_a_bar_is_drawn_on_a_terminal_alone(folder: Path) -> None:
    _, _, err = run(folder)
    assert "img" not in err
    assert "%" not in err
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 120))
    with os.fdopen(master, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cheap", *arguments_for(folder, "--overwrite")],
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait(60) == 0
    assert b"img/s" in shown
    assert b"100%" in shown


# --- how it ends ---------------------------------------------------------------------------------


def in_process(folder: Path, *more: str) -> int:
    return cheap.main(arguments_for(folder, *more))


def only_line(text: str, notes: int = 0) -> str:
    lines = text.splitlines()
    assert len(lines) == notes + 1, text
    assert "Traceback" not in text
    return lines[-1]


def test_a_problem_is_one_line_and_exit_code_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "labels.csv").unlink()
    assert in_process(folder) == 1
    line = only_line(capsys.readouterr().err)
    assert line.startswith(f"extract: {folder}/data holds neither AVA.txt")


def test_a_problem_of_many_lines_is_put_on_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(folder) == 0
    capsys.readouterr()
    assert in_process(folder, "--views", "flip") == 1
    assert "its views is center" in only_line(capsys.readouterr().err, notes=2)


def test_no_photographs_is_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data" / "images").rename(folder / "elsewhere")
    assert in_process(folder) == 1
    assert only_line(capsys.readouterr().err).startswith("extract: None of the 40 labelled")


def test_too_many_failures_are_a_problem_and_a_higher_rate_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(10):
        (folder / "data" / "images" / f"{number}.jpg").write_bytes(b"")
    assert in_process(folder) == 1
    assert "10 of 40 photographs failed" in capsys.readouterr().err
    assert in_process(folder, "--max-failure-rate", "0.25") == 0


def test_a_bug_keeps_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cheap.CheapEngine, "features", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        in_process(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --split"),
        (["--split", "dev"], "invalid choice: 'dev'"),
        (["--split", "all", "--views", "nine"], "--views: 'nine' is no choice of views"),
        (["--split", "all", "--max-failure-rate", "2"], "--max-failure-rate is a share, from 0 to"),
        (["--split", "all", "--limit", "0"], "argument --limit: 0 is not a positive number"),
        (["--split", "all", "--limit", "many"], "argument --limit: "),
        (["--split", "all", "--jobs", "-1"], "argument --jobs: -1 is not a positive number"),
        (["--split", "all", "--max-pixels", "0"], "argument --max-pixels: 0 is not"),
        (["--split", "all", "--precision", "int8"], "invalid choice: 'int8'"),
        (["--split", "all", "--engine", "torch"], "invalid choice: 'torch'"),
        (["--split", "all", "--dtype", "float64"], "invalid choice: 'float64'"),
        (["--split", "all", "--surprise"], "unrecognized arguments: --surprise"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


# --- what it takes -------------------------------------------------------------------------------

OPTIONS = (
    *("--split", "--data", "--out", "--dry-run", "--threshold", "--split-seed", "--limit"),
    *("--val-fraction", "--test-fraction", "--weights", "--views", "--layers", "--precision"),
    *("--dtype", "--engine", "--device", "--jobs", "--max-pixels", "--max-failure-rate"),
    *("--count-missing", "--retry-failed", "--overwrite", "--json", "--shard", "--dask"),
)


@pytest.mark.parametrize("option", OPTIONS)
def test_help_lists_every_option(option: str) -> None:
    assert f"{option} " in cli.build_parser().format_help().replace("\n", " ").replace("]", " ")


def test_defaults_are_those_of_the_contract() -> None:
    settings = settings_of()
    assert (settings.data, settings.out) == (Path("data"), Path("features"))
    assert settings.splits == ("train", "val", "test")
    assert (settings.views, settings.dtype, settings.weights) == ("center", "float16", "auto")
    assert (settings.engine.engine, settings.engine.layers) == ("auto", "top")
    assert settings.engine.precision == "float32"
    assert settings.engine.cores == len(os.sched_getaffinity(0))
    assert settings.failures.max_rate == 0.05
    assert not settings.failures.count_missing
    assert not settings.reuse.overwrite
    assert not settings.reuse.retry_failed
    assert settings.max_pixels == 200_000_000


def test_every_option_reaches_the_settings() -> None:
    text = (
        "--data d --out o --threshold 6 --split-seed 3 --val-fraction 0.2 --test-fraction 0.3 "
        "--limit 9 --weights wheel --views ten --layers multi --precision bfloat16 "
        "--dtype float32 --engine keras --device cpu --jobs 5 --max-pixels 7 "
        "--max-failure-rate 0.5 --count-missing --retry-failed --overwrite"
    )
    settings = settings_of(*text.split())
    assert (settings.data, settings.out) == (Path("d"), Path("o"))
    split = settings.split
    assert (split.threshold, split.seed, split.limit) == ("6", 3, 9)
    assert (split.val_fraction, split.test_fraction) == (0.2, 0.3)
    assert (settings.weights, settings.views, settings.dtype) == ("wheel", "ten", "float32")
    engine = settings.engine
    assert (engine.engine, engine.device, engine.layers) == ("keras", "cpu", "multi")
    assert (engine.precision, engine.cores, settings.max_pixels) == ("bfloat16", 5, 7)
    assert (settings.failures.max_rate, settings.failures.count_missing) == (0.5, True)
    assert (settings.reuse.overwrite, settings.reuse.retry_failed) == (True, True)


def test_max_pixels_is_obeyed(folder: Path) -> None:
    assert in_process(folder, "--max-pixels", "100", "--max-failure-rate", "1") == 0
    assert len(open_cache(folder / "features" / "train.h5").ok_rows) == 0


def test_a_threshold_is_stored(folder: Path) -> None:
    assert in_process(folder, "--threshold", "2.50") == 0
    assert open_cache(folder / "features" / "train.h5").threshold == "2.5"


def test_folders_of_any_bytes_and_names_in_any_locale_are_extracted(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    make_folder(folder, 3)
    (folder / "images" / "2.jpg").rename(folder / "images" / "é.jpg")
    labels = (folder / "labels.csv").read_text().replace("2.jpg", "é.jpg")
    (folder / "labels.csv").write_text(labels, encoding="utf-8")
    out = tmp_path / os.fsdecode(b"out\xff")
    arguments = ["--split", "train", "--data", folder, "--out", out, "--weights"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cheap", *map(str, [*arguments, make_weights(tmp_path)])],
        env=os.environ | ascii_only,
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(os.fsencode(tmp_path) + rb"/out\xff/train.h5: 3 photographs; 3")
    cache = open_cache(out / "train.h5")
    assert sorted(cache.labels.path.tolist()) == ["images/0.jpg", "images/1.jpg", "images/é.jpg"]
    assert cache.data_root == folder
