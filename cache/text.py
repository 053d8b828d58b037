"""Texts from outside, such as names of files and notes: how they are shown, kept and read back.

The name of a file is bytes, and Python's text of it depends on the locale. In files that we read
and write (labels, lists, CSV, JSON, caches) a name is its bytes as UTF-8; a byte that is no UTF-8
stands for itself (PEP 383's surrogateescape), so that every name comes back as it was. What people
look at shows such bytes, and whatever steers a terminal, escaped. Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TextIO

# Of a line with texts from outside in it, of one such text, and of one in quotation marks: longer
# ones lose their middle.
LONGEST_LINE, LONGEST, LONGEST_QUOTE = 2000, 300, 40

# Control characters (C0, DEL, C1), what reorders or hides text (bidirectional and invisible
# controls, tags), line separators, lone surrogates. Joiners stay: scripts and emoji need them.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONG_WORD = re.compile(rf"[^ ]{{{LONGEST + 1},}}")
# What a spreadsheet takes for the start of a formula.
_FORMULA = re.compile(r"[=+\-@\t\r]")


def shown(value: object, longest: int = LONGEST) -> str:
    """Return a value as people see it, in one line: nothing in it steers a terminal or is endless.

    Values in a list or by names stand with commas between, an error as its reason, None as `none`.
    Steering characters stand as `\\x1b`, `\\n` or `\\u202e`, a byte that is no UTF-8 as `\\xff`.
    Words above `LONGEST` characters and texts above `longest` are cut in the middle.
    """
    text = _plain(value)
    if longest > LONGEST:
        text = _LONG_WORD.sub(lambda word: _cut(word[0], LONGEST), text)
    return _escaped(_cut(text, longest))


def quoted(value: object) -> str:
    """Return a value as a message quotes it: as `shown`, but shorter, odd blanks escaped too."""
    signs = _cut(_plain(value), LONGEST_QUOTE)
    return f"'{''.join(s if s.isprintable() else _escape(s) for s in signs)}'"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, KeyError):  # its text is the bare name
        return f"{value} is missing"
    if isinstance(value, OSError) and value.strerror:  # its text begins with a number
        return value.strerror
    if isinstance(value, Exception):
        return str(value) or type(value).__name__
    return "none" if value is None else str(value)


def visible(text: str) -> str:
    """Return a text as pages show it: nothing is hidden or reordered; lines and length stay."""
    return "\n".join(map(_escaped, text.split("\n"))) if _STEERING.search(text) else text


def shown_lines(text: str) -> str:
    """Return a text of ours of several lines, each as `shown`."""
    return "\n".join(shown(line, LONGEST_LINE) for line in text.split("\n"))


def _cut(text: str, length: int) -> str:
    """Return a text of at most about `length` characters, its middle left out."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}[... {len(text) - length:,} more ...]{text[-length // 2 :]}"


def _escaped(text: str) -> str:
    return _STEERING.sub(lambda found: _escape(found[0]), text)


def _escape(sign: str) -> str:
    number = ord(sign)
    if 0xDC80 <= number <= 0xDCFF:  # an escaped byte
        return f"\\x{number - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")


def harmless_cell(value: object) -> object:
    """Return a cell for CSV files that people open in a spreadsheet.

    A text that would be taken for a formula gets an apostrophe in front; a number never does.
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip()


class CsvLines:
    """What `csv.writer` writes its rows to: lines that end with a newline, and that readers part
    in one way alone.

    The module puts quotation marks around a carriage return, which names may hold, only where its
    own lines end with one; without them readers end the row there.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write a row, which ends as the module ends it."""
        return self._file.write(row.removesuffix("\r\n") + "\n")


def kept_name(path: str | PurePath) -> str:
    """Return a path as files keep it: its bytes as UTF-8, whatever the locale."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_named(name: str | bytes) -> str:
    """Return the path that files call `name`, for the calls of this system: undoes `kept_name`."""
    kept = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    return os.fsdecode(kept)
