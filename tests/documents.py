"""The project's documents, taken apart: blocks, command lines, prose."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
OURS = ("extract", "heads", "cache")
PAGES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "cache/FORMAT.md"),
    *sorted(f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md")),
)
# Inline code that begins with a command's name and is no command line.
NO_COMMAND = {"NAME", "FILE", "->", "..."}


def read(checkout: Path, page: str) -> str:
    """Return a page's text."""
    return (checkout / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks as (language, content)."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return the text without fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[str]:
    """Return every line of the `sh` blocks, without its remark."""
    content = [block for language, block in blocks(text) if language == "sh"]
    lines = [re.sub(r" +#.*", "", line).strip() for block in content for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def inline_commands(text: str) -> list[str]:
    """Return inline code that begins with one of our commands and an argument."""
    found = [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", prose(text))]
    return [
        code
        for code in found
        if code.split()[0] in OURS and len(code.split()) > 1 and not NO_COMMAND & set(code.split())
    ]


def python_blocks(text: str) -> list[str]:
    """Return the Python examples."""
    return [block for language, block in blocks(text) if language == "python"]
