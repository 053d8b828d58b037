"""The lints are tests: ruff, its formatter, mypy, and the directions of imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDERS = ("extract", "cache", "heads", "tests")


def run(command: list[str], folder: Path) -> None:
    """Run a tool in a folder and fail with what it printed."""
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_finds_nothing(checkout: Path) -> None:
    run([sys.executable, "-m", "ruff", "check", "--no-cache", *FOLDERS], checkout)


def test_every_file_is_formatted(checkout: Path) -> None:
    run([sys.executable, "-m", "ruff", "format", "--check", "--no-cache", *FOLDERS], checkout)


@pytest.mark.slow
def test_mypy_finds_nothing(checkout: Path) -> None:
    run([sys.executable, "-m", "mypy"], checkout)


def test_imports_point_one_way(checkout: Path) -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run([sys.executable, "-c", lint, "--no-cache"], checkout)


def test_the_lints_would_fail_on_a_bad_file(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import os,sys\n")
    with pytest.raises(pytest.fail.Exception, match="F401"):
        run([sys.executable, "-m", "ruff", "check", "--no-cache", "bad.py"], tmp_path)
