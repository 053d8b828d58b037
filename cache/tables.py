"""Tables and lists that people write: one strict reader of their text. Standard library only.

Spreadsheets and scripts leave byte order marks, other encodings, other separators and stray
quotation marks behind. What can be read in one way alone is read; anything else is refused with its
line, its column and the remedy, since a row that is read wrongly says nothing.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.errors import LabelError
from cache.text import quoted

BYTE_ORDER_MARK = "\ufeff"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# One cell with the comma behind it: in quotation marks, those inside doubled, or without any.
CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*)),')
SHOWN_NAMES = 12


def listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    first = [quoted(name) if name else "one without a name" for name in names[:SHOWN_NAMES]]
    return ", ".join(first) + ", ..." * (len(names) > SHOWN_NAMES)


@dataclass(frozen=True)
class Table:
    """A table of comma-separated texts: its columns, named in line `first`, and the lines below."""

    path: Path
    columns: tuple[str, ...]
    first: int
    lines: list[str]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's line number and cells, to be named by `named`; not lines without text.

        Raises:
            LabelError: a quotation mark is stray, or a line names the columns in another order.
        """
        names = list(self.columns)
        for number, line in enumerate(self.lines, self.first + 1):
            if not line.strip():
                continue
            cells = _cells(self.path, number, line, self.columns)
            if cells[0] in names and cells != names and sorted(cells) == sorted(names):
                raise LabelError(
                    f"{self.path}, line {number} names the columns again, in another order, as if "
                    "two tables had been put one below the other. Bring both into one order."
                )
            yield number, cells

    def named(self, cells: list[str]) -> dict[str, str]:
        """Return the cells of a row by the names of their columns.

        Raises:
            ValueError: there are more or fewer cells than columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(
                f"another number of fields than the first line: {len(cells)} instead of "
                f"{len(self.columns)}{_hint(cells)}"
            )
        return dict(zip(self.columns, cells, strict=True))


def read_lines(path: Path, errors: str = "strict") -> list[str]:
    """Return the lines of a text file, whatever ends them, without a byte order mark.

    Args:
        path: the file.
        errors: what becomes of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        LabelError: it is not UTF-8 text, or holds a NUL character.
        OSError: it cannot be read.
    """
    return _text(path, errors).removeprefix(BYTE_ORDER_MARK).split("\n")


def _text(path: Path, errors: str) -> str:
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LabelError(f"{path} is UTF-16 text, as spreadsheets may save it. Save it as UTF-8.")
    try:
        text = content.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise LabelError(
            f"{path}, line {line}: the byte 0x{byte:02x} is not UTF-8 text; the file may be in "
            "Latin-1 or Windows-1252. Save it as UTF-8."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise LabelError(
            f"{path}, line {line}: a NUL character, which no text holds; the file is damaged, or "
            "in UTF-16. Save it as UTF-8."
        )
    return text


def read_table(path: Path, errors: str = "strict") -> Table:
    """Read a table whose first line with text names its columns.

    Args:
        path: the file.
        errors: as for `read_lines`.

    Raises:
        LabelError: it is empty, its columns are separated by something else than commas or have one
            name twice, a quotation mark is stray, or as `read_lines`.
        OSError: it cannot be read.
    """
    lines = read_lines(path, errors)
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), 0)
    if not first:
        raise LabelError(f"{path} is empty; its first line should name its columns.")
    columns = tuple(_cells(path, first, lines[first - 1], ()))
    if len(columns) == 1 and _hint(columns):
        raise LabelError(f"{path}, line {first}: one column{_hint(columns)}.")
    for name, count in Counter(columns).items():
        if name and count > 1:
            where = " and ".join(str(i) for i, each in enumerate(columns, 1) if each == name)
            raise LabelError(
                f"{path}, line {first}: the columns {where} are both named {quoted(name)}; keep "
                "one of them, or rename those that are something else."
            )
    return Table(path, columns, first, lines[first:])


def _cells(path: Path, number: int, line: str, columns: tuple[str, ...]) -> list[str]:
    """Part a line at its commas; a cell ends where its line does."""
    if '"' not in line:
        return line.split(",")
    cells: list[str] = []
    line, at = line + ",", 0
    while at < len(line):
        cell = CELL.match(line, at)
        if cell is None:
            name = f" ({quoted(columns[len(cells)])})" if len(cells) < len(columns) else ""
            raise LabelError(
                f"{path}, line {number}, column {len(cells) + 1}{name}: a stray quotation mark in "
                f"{quoted(line[at:-1])}. A cell either holds none, or stands in a pair of them on "
                "its own line, with those inside doubled."
            )
        inside, plain = cell.groups()
        cells.append(plain if inside is None else inside.replace('""', '"'))
        at = cell.end()
    return cells


def _hint(cells: Sequence[str]) -> str:
    """Say which other separator the cells of a line hold, if any."""
    found = next((word for mark, word in SEPARATORS.items() if any(mark in c for c in cells)), "")
    return f", with {found} in it: separate the columns by commas" if found else ""
