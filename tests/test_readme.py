"""The README's commands exist as it writes them, and its numbers of files and links are right."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

COMMANDS = ("extract", "heads", "cache")


def _text(checkout: Path) -> str:
    return (checkout / "README.md").read_text(encoding="utf-8")


def _blocks(text: str, language: str = "") -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in blocks if name == language]


def _commands(text: str) -> list[list[str]]:
    """Every line of a fenced block, and every inline code, that begins with one of our commands."""
    lines = [line for block in _blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    found = []
    for line in lines:
        words = shlex.split(line.split("  #")[0].strip(), comments=False) if "'" not in line else []
        if len(words) > 1 and words[0] in COMMANDS and not {"NAME", "->", "..."} & set(words):
            found.append(words)
    return found


def test_every_command_line_is_one_that_the_program_takes(checkout: Path) -> None:
    found = _commands(_text(checkout))
    assert {words[0] for words in found} == set(COMMANDS)
    assert len(found) > 12
    for words in found:
        module = "heads.cli.main" if words[0] == "heads" else f"{words[0]}.cli"
        build = importlib.import_module(module).build_parser
        parser = build(words[1:]) if words[0] == "heads" else build()
        try:
            parser.parse_args(words[1:])
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f"README: {' '.join(words)} is refused (exit {stop.code})")


def test_the_layout_names_every_room(checkout: Path) -> None:
    layout = next(block for block in _blocks(_text(checkout)) if "extract/  stage one" in block)
    named: set[str] = set()
    package = ""
    for line in layout.splitlines():
        found = re.match(r"( *)(\w+)/", line)
        if found and found[1]:
            named.add(f"{package}/{found[2]}")
        elif found:
            package = found[2]
    rooms = {
        f"{package}/{path.parent.name}"
        for package in ("extract", "cache", "heads")
        for path in (checkout / package).glob("*/__init__.py")
    }
    assert named == rooms


def test_links_lead_to_files(checkout: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", _text(checkout))
    assert links
    for link in links:
        if not link.startswith("http"):
            assert (checkout / link).exists(), link


def test_the_readme_shows_what_the_commands_print_and_no_placeholder(checkout: Path) -> None:
    text = _text(checkout)
    assert "constant = floor" in text
    assert "extracted in" in text
    assert not re.search(r"^[A-Z_]{4,}$", text, re.MULTILINE)


def test_the_python_example_names_what_there_is(checkout: Path) -> None:
    example = _blocks(_text(checkout), "python")[0]
    imported = re.search(r"from (\S+) import (\w+)", example)
    assert imported is not None
    assert hasattr(importlib.import_module(imported[1]), imported[2])
