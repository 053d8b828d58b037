"""From words on the command line to photographs: files, folders, lists.

Standard library only; looks at names, never into photographs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from cache.errors import LabelError
from cache.tables import BYTE_ORDER_MARK, Table, listed, read_table
from heads.errors import RunError

# Endings that are taken for photographs in a folder; a file that is named is always tried.
ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
COLUMNS = ("path", "file")


class Sources:
    """The photographs that some words name, found while they are asked for.

    Args:
        words: files, folders (searched to the bottom, in the order of names), CSV files, or `-`.
        stdin: where `-` reads one path a line.

    Attributes:
        left_out: how many files of each ending lay in the folders and are no photographs.
    """

    def __init__(self, words: Sequence[str], stdin: TextIO) -> None:
        self._words = words
        self._stdin = stdin
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Path]:
        """Yield paths; whether a file is there and can be read shows when it is.

        Raises:
            LabelError: a CSV file cannot be read or has no column of paths.
        """
        for word in self._words:
            if word == "-":
                yield from _lines(self._stdin)
            elif Path(word).is_dir():
                yield from self._below(word)
            elif word.lower().endswith(".csv"):
                yield from _listed(Path(word))
            else:
                yield Path(word)

    def _below(self, folder: str) -> Iterator[Path]:
        for name, folders, files in os.walk(folder):
            folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
            for file in sorted(files):
                ending = os.path.splitext(file)[1].lower()  # noqa: PTH122  (many thousands)
                if file.startswith("."):
                    continue
                if ending in ENDINGS:
                    yield Path(name, file)
                else:
                    self.left_out[ending or "no ending"] += 1

    def remark(self) -> str:
        """Return a line on files that were left out; '' where there were none."""
        if not self.left_out:
            return ""
        kinds = ", ".join(f"{n} {ending}" for ending, n in self.left_out.most_common())
        return f"Left out, since they are not named as photographs: {kinds}."


def _lines(stdin: TextIO) -> Iterator[Path]:
    """Yield one path a line, as soon as it comes; Windows puts a mark before the first."""
    for number, line in enumerate(stdin):
        name = (line if number else line.removeprefix(BYTE_ORDER_MARK)).rstrip("\r\n")
        if name.strip():
            yield Path(name)


def _listed(path: Path) -> Iterator[Path]:
    """Yield the column `path` or `file` of a CSV file, relative to the CSV's own folder.

    As in labels.csv, a file that does not lie there may lie in its folder images/.
    """
    try:
        table = read_table(path, errors="surrogateescape")  # names of files may be any bytes
        column = next((name for name in COLUMNS if name in table.columns), None)
        if column is None:
            raise LabelError(
                f"{path} has no column {' or '.join(COLUMNS)}, which name the photographs; "
                f"it has {listed(table.columns)}."
            )
    except OSError as error:
        raise LabelError(f"{path} cannot be read as a CSV file: {error}.") from error
    yield from [_placed(path.parent, _name(table, column, *row)) for row in table.rows()]


def _name(table: Table, column: str, line: int, cells: list[str]) -> str:
    try:
        if name := table.named(cells)[column]:
            return name
        raise ValueError(f"no {column}")
    except ValueError as error:
        raise LabelError(f"{table.path}, line {line}: {error}. Write it anew.") from None


def _placed(folder: Path, name: str) -> Path:
    plain, below = folder / name, folder / "images" / name
    return below if not plain.is_file() and below.is_file() else plain


def split_words(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Divide words into runs, which come first, and photographs.

    Raises:
        RunError: the first word is no run.
    """
    runs: list[Path] = []
    rest = list(words)
    while rest and (Path(rest[0]) / "config.json").is_file():
        runs.append(Path(rest.pop(0)))
    if not runs:
        raise RunError(
            f"{rest[0]} is no run: there is no {rest[0]}/config.json. Name a run first, such as "
            "runs/ridge (`heads list` shows them), then photographs."
        )
    return runs, rest
