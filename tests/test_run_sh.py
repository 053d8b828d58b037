"""run.sh: what it says, what it installs and when, and that a second run repeats nothing."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extract.demo.cli import Recipe, make_demo

# Stands in for Python: writes down what it was asked, and makes an environment of itself.
STAND_IN = """#!/usr/bin/env bash
printf '%s | HOME=%s\\n' "$*" "$HOME" >>"$ASKED"
case "$*" in
  --version) echo "Python 3.11.7" ;;
  "-m venv --clear .venv") mkdir -p .venv/bin && cp "$STAND_IN" .venv/bin/python ;;
  *"pip install"*) exit "${PIP_ENDS:-0}" ;;
  *"${FAILS:-nothing}"*) exit 1 ;;
esac
"""


class Checkout:
    """A folder with run.sh and a Python that only takes notes."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked.txt"
        for name in ("run.sh", "pyproject.toml"):
            shutil.copy(source / name, folder / name)
        self.python = folder / "stand-in"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run run.sh with the stand-in as PYTHON; `asked.txt` holds only this run's calls."""
        self.asked.write_text("")
        environment = os.environ | {
            "PYTHON": str(self.python),
            "STAND_IN": str(self.python),
            "ASKED": str(self.asked),
        }
        for name in ("VENV", "OUT"):
            environment.pop(name, None)
        return subprocess.run(
            ["bash", str(self.folder / "run.sh"), *arguments],
            env=environment | variables,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self, module: str) -> list[str]:
        """The commands `python -m MODULE...` of the last run, without `python -m`."""
        lines = [line.split(" | ")[0] for line in self.asked.read_text().splitlines()]
        return [line[3:] for line in lines if line.startswith(f"-m {module}")]


@pytest.fixture
def stand_in(checkout: Path, tmp_path: Path) -> Checkout:
    folder = tmp_path / "check out"
    folder.mkdir()
    return Checkout(checkout, folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    folder.mkdir()
    (folder / "labels.csv").write_text("file,mean\n")
    return folder


@pytest.mark.parametrize("name", ["run.sh", ".ci/run"])
def test_the_scripts_are_executable_and_have_no_syntax_error(checkout: Path, name: str) -> None:
    assert os.access(checkout / name, os.X_OK)
    subprocess.run(["bash", "-n", str(checkout / name)], check=True)


def test_help_installs_nothing_and_names_every_variable(stand_in: Checkout) -> None:
    done = stand_in.run("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("PYTHON", "VENV", "OUT", "test", "report.html"))
    assert stand_in.asked.read_text() == ""


@pytest.mark.parametrize("arguments", [("--fast",), ("one", "two")])
def test_wrong_usage_is_exit_2_with_the_usage(
    stand_in: Checkout, arguments: tuple[str, ...]
) -> None:
    done = stand_in.run(*arguments)
    assert done.returncode == 2
    assert "Usage: ./run.sh [DATA]" in done.stderr


def test_a_missing_data_folder_is_refused_before_anything_is_installed(
    stand_in: Checkout, tmp_path: Path
) -> None:
    done = stand_in.run(str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert f"There is no folder {tmp_path}/nowhere. Name one with AVA.txt" in done.stderr
    assert stand_in.asked.read_text() == ""


def test_a_folder_without_labels_is_refused(stand_in: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    done = stand_in.run(str(tmp_path / "bare"))
    assert done.returncode == 1
    assert "has neither AVA.txt nor labels.csv" in done.stderr


def test_a_python_that_does_not_fit_is_named(stand_in: Checkout) -> None:
    done = stand_in.run(PYTHON="/bin/false")
    assert done.returncode == 1
    assert "PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13" in done.stderr


def test_no_python_at_all_is_said_with_the_remedy(stand_in: Checkout, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "sha256sum", "mkdir"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = stand_in.run(PYTHON="", PATH=str(tools))
    assert done.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 was found" in done.stderr
    assert "PYTHON=/path/to/python" in done.stderr


def test_an_environment_without_python_is_refused(stand_in: Checkout, tmp_path: Path) -> None:
    done = stand_in.run(VENV=str(tmp_path))
    assert done.returncode == 1
    assert f"VENV={tmp_path} holds no bin/python" in done.stderr


def test_it_installs_once_and_again_only_when_the_project_changed(stand_in: Checkout) -> None:
    assert stand_in.run().returncode == 0
    assert len(stand_in.calls("pip install")) == 1
    assert stand_in.calls("pip install")[0].endswith("-e .[offline,cpu,demo,heif]")
    stand_in.run()
    assert stand_in.calls("pip install") == stand_in.calls("venv") == []
    with (stand_in.folder / "pyproject.toml").open("a") as project:
        project.write("\n")
    stand_in.run()
    assert len(stand_in.calls("pip install")) == 1
    assert stand_in.calls("venv") == []


def test_the_tests_install_their_extras_once_and_serve_the_main_job_too(
    stand_in: Checkout,
) -> None:
    assert stand_in.run("test", "-k", "one").returncode == 0
    assert stand_in.calls("pip install")[0].endswith("-e .[offline,cpu,demo,dev]")
    called = "pytest -n auto --dist loadfile --max-worker-restart 0 -k one"
    assert stand_in.calls("pytest") == [called]
    stand_in.run("test")
    assert stand_in.calls("pip install") == []
    stand_in.run()
    assert stand_in.calls("pip install") == []


def test_a_failed_installation_is_tried_again(stand_in: Checkout) -> None:
    failed = stand_in.run(PIP_ENDS="1")
    assert failed.returncode == 1
    assert "The installation failed; pip says why above" in failed.stderr
    assert stand_in.calls("extract") == []
    stand_in.run()
    assert len(stand_in.calls("pip install")) == 1


def test_a_half_made_environment_is_made_again(stand_in: Checkout) -> None:
    (stand_in.folder / ".venv/bin").mkdir(parents=True)
    assert stand_in.run().returncode == 0
    assert stand_in.calls("venv") == ["venv --clear .venv"]


def test_the_demo_runs_three_steps_in_its_own_folder(stand_in: Checkout) -> None:
    done = stand_in.run()
    demo = f"{stand_in.folder}/demo"
    assert stand_in.calls("extract") == [
        f"extract.demo {demo}/photos",
        f"extract --split all --data {demo}/photos --out {demo}/features",
    ]
    assert stand_in.calls("heads") == [
        f"heads compare --features {demo}/features --out {demo}/runs",
    ]
    assert f"Report: {demo}/runs/report.html" in done.stderr


def test_data_named_from_another_folder_gets_folders_of_its_own(
    stand_in: Checkout, data: Path
) -> None:
    assert stand_in.run(data.name, cwd=data.parent, OUT="results").returncode == 0
    results = f"{data.parent}/results"
    assert stand_in.calls("extract") == [
        f"extract --split all --data {data} --out {results}/features/my photos --layers multi"
    ]
    assert stand_in.calls("heads")[0].endswith(f"--out {results}/runs/my photos")


def test_two_data_folders_of_one_name_are_never_mixed(
    stand_in: Checkout, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / data.name
    shutil.copytree(data, other)
    assert stand_in.run(str(data)).returncode == 0
    assert stand_in.run(str(data)).returncode == 0
    refused = stand_in.run(str(other))
    assert refused.returncode == 1
    assert f"belongs to {data}, not to {other}. Set OUT=another/folder" in refused.stderr
    assert stand_in.calls("extract") == []


@pytest.mark.parametrize("step", ["extract --split", "heads compare"])
def test_a_step_that_fails_ends_the_run(stand_in: Checkout, step: str) -> None:
    done = stand_in.run(FAILS=step)
    assert done.returncode == 1
    assert "done." not in done.stderr
    assert (stand_in.calls("extract") + stand_in.calls("heads"))[-1].startswith(step)


@pytest.mark.parametrize("home", ["", None])
def test_without_a_home_folder_one_inside_the_environment_is_used(
    stand_in: Checkout, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert stand_in.run().returncode == 0
    last = stand_in.asked.read_text().splitlines()[-1]
    assert last.endswith(f"HOME={stand_in.folder}/.venv/home")
    assert (stand_in.folder / ".venv/home").is_dir()


def _stamps(folder: Path, *patterns: str) -> dict[str, int]:
    paths = [path for pattern in patterns for path in folder.rglob(pattern)]
    return {str(path): path.stat().st_mtime_ns for path in paths}


def _pick(labels: Path) -> None:
    """Put a label of 0 or 1 in the place of votes: one network learns from those, not five."""
    with labels.open() as file:
        rows = list(csv.DictReader(file))
    picked = [f"{r['file']},{r['group']},{r['split']},{int(int(r['r5']) < 40)}" for r in rows]
    labels.write_text("\n".join(["file,group,split,label", *picked]) + "\n")


@pytest.mark.slow
def test_a_second_run_extracts_and_trains_nothing(checkout: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_demo(photos, Recipe(photographs=160, seed=1))
    _pick(photos / "labels.csv")
    environment = os.environ | {"VENV": sys.prefix, "OUT": str(tmp_path / "out")}

    def run() -> tuple[float, str, str]:
        start = time.monotonic()
        done = subprocess.run(
            ["bash", str(checkout / "run.sh"), str(photos)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return time.monotonic() - start, done.stdout, done.stderr

    seconds_first, table, _ = run()
    assert "resamples of whole groups, 7 of them" in table
    heads = ("constant", "logistic", "binary")
    assert all(f"\n{head} " in table for head in heads)
    kept = ("*.h5", "model.*", "metrics.json", "predictions.csv")
    before = _stamps(tmp_path / "out", *kept)
    assert sum(name.endswith(".h5") for name in before) == 3
    assert sum("model." in name for name in before) >= len(heads)
    seconds_second, _, said = run()
    assert _stamps(tmp_path / "out", *kept) == before
    assert seconds_second < seconds_first
    assert f"{tmp_path}/out/runs/photos/report.html" in said
    assert (tmp_path / "out/runs/photos/report.html").is_file()
