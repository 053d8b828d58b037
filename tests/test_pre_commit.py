"""The pre-commit hooks are the lints of tests/test_style.py, run by the project's environment."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_style import FOLDERS

TOOLS = {"ruff check", "ruff format --check", "mypy", "lint-imports"}


@pytest.fixture(scope="module")
def hooks(checkout: Path) -> list[dict[str, Any]]:
    config = yaml.safe_load((checkout / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repo,) = config["repos"]
    assert repo["repo"] == "local"
    return list(repo["hooks"])


def test_the_hooks_are_the_lints_of_the_tests(hooks: list[dict[str, Any]]) -> None:
    entries = {hook["entry"].removeprefix(".venv/bin/"): hook for hook in hooks}
    assert set(entries) == TOOLS
    for entry, hook in entries.items():
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False
        assert hook.get("args", []) == (list(FOLDERS) if entry.startswith("ruff") else [])


def test_each_hook_names_a_program_of_the_environment(hooks: list[dict[str, Any]]) -> None:
    for hook in hooks:
        words = shlex.split(hook["entry"])
        program = Path(sys.executable).parent / words[0].removeprefix(".venv/bin/")
        command = [str(program), *words[1:2], "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
