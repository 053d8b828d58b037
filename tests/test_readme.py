"""The documents' commands exist as they are written, and their links and file names are right."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from tests.documents import OURS, PAGES, blocks, command_lines, inline_commands, prose, read

# What stands at the beginning of a command line besides our own commands.
OTHERS = ("./run.sh", ".", "pip", "ruff")
SOURCES = ("extract", "cache", "heads", "tests")


def _whole(code: str) -> str:
    """Ask for help where the text only names a subcommand, such as `cache verify`."""
    words = code.split()
    return f"{code} --help" if len(words) == 2 and words[0] in ("cache", "heads") else code


def _parse(words: list[str]) -> None:
    """Let the real parser of `extract`, `heads` or `cache` take a command line."""
    if words[0] == "heads":
        parser = importlib.import_module("heads.cli.main").build_parser(words[1:])
    else:
        parser = importlib.import_module(f"{words[0]}.cli").build_parser()
    try:
        parser.parse_args(words[1:])
    except SystemExit as stop:
        if stop.code:
            pytest.fail(f"{' '.join(words)} is refused (exit {stop.code})")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_one_that_the_program_takes(page: str, checkout: Path) -> None:
    text = read(checkout, page)
    for line in [*command_lines(text), *map(_whole, inline_commands(text))]:
        words = shlex.split(line)
        if words[0] in OURS:
            _parse(words)
        elif words[0] == "python":
            assert (checkout / words[1]).is_file(), line
        else:
            assert words[0] in OTHERS, f"{page}: {line!r} is no command that is known here"


def test_the_pages_name_each_of_our_commands(checkout: Path) -> None:
    lines = [line for page in PAGES for line in command_lines(read(checkout, page))]
    assert {line.split()[0] for line in lines} >= set(OURS)
    subcommands = {" ".join(line.split()[:2]) for line in lines if line.startswith("heads ")}
    main = importlib.import_module("heads.cli.main")
    assert subcommands == {f"heads {name}" for name in main.COMMANDS}


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str, checkout: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(read(checkout, page))):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (checkout / page).parent / name if name else checkout / page
        assert target.is_file(), f"{page}: {link}"
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"


def test_the_readme_leads_to_every_page(checkout: Path) -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", read(checkout, "README.md")))
    assert {page for page in PAGES if page != "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_ours_that_is_named_is_there(page: str, checkout: Path) -> None:
    """Not those with <name>. A name after a comma lies in the folder of the one before it."""
    text = read(checkout, page)
    folders = "|".join(SOURCES)
    for found in re.finditer(rf"\b((?:{folders})/[\w/]*\w+\.py)((?:, \w+\.py)*)", text):
        path = checkout / found[1]
        for name in [path.name, *re.findall(r"\w+\.py", found[2])]:
            assert (path.parent / name).is_file(), f"{page}: {found[0]}"


def test_the_layout_names_every_room(checkout: Path) -> None:
    layout = next(
        block for _, block in blocks(read(checkout, "CONTRIBUTING.md")) if "stage one:" in block
    )
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


def test_every_head_and_metric_is_described(checkout: Path) -> None:
    text = read(checkout, "docs/heads-and-metrics.md")
    described = set(re.findall(r"`([\w-]+)`", " ".join(re.findall(r"^\| (.*?) \|", text, re.M))))
    heads = importlib.import_module("heads.models.registry").HEADS
    metrics = importlib.import_module("heads.metrics.catalogue").METRICS
    assert set(heads) | set(metrics) <= described


def test_the_documents_show_what_the_commands_print_and_no_placeholder(checkout: Path) -> None:
    text = read(checkout, "docs/heads-and-metrics.md")
    assert "constant = floor" in text
    assert "extracted in" in text
    for page in PAGES:
        assert not re.search(r"^[A-Z_]{4,}$", read(checkout, page), re.MULTILINE)
