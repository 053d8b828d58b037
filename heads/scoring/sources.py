"""From words on the command line to photographs: files, folders, lists.

Standard library only; looks at names, never into photographs.
"""

from __future__ import annotations

import codecs
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

# ruff: noqa: PTH112, PTH113, PTH114, PTH118 - of what cannot be looked at, Path's methods raise
from os.path import isdir, isfile, islink, join, lexists
from pathlib import Path
from typing import TextIO

from cache.errors import LabelError
from cache.tables import Table, listed, read_table
from cache.text import path_named, quoted, shown
from heads.errors import RunError

# Endings that are taken for photographs in a folder; a file that is named is always tried.
ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
ENDINGS |= {".heic", ".heif", ".hif", ".avif"}
# A camera's unfinished pictures, and what no reader here knows.
RAW = {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".jxl"}
COLUMNS = ("path", "file")
CHUNK, LINKS_SHOWN = 1 << 16, 5


class Sources:
    """The photographs that some words name, found while they are asked for.

    Args:
        words: files, folders (searched to the bottom, in the order of names), CSV files, or `-`.
        stdin: where `-` reads paths, one a line, or with a NUL behind each (`find -print0`).
        in_groups: whether CSV files must have a column group, too.

    Attributes:
        left_out: how many files of each ending lay in the folders and are no photographs.
        links: links to folders that lay in the folders; they are not followed.
        refused: a line on each folder, list or name that could not be used.
        groups: with `in_groups`, the group of each path for which a CSV file has named one so far.
    """

    def __init__(self, words: Sequence[str], stdin: TextIO, *, in_groups: bool = False) -> None:
        self._words = words
        self._stdin = stdin
        self._in_groups = in_groups
        self.groups: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()
        self.links: list[str] = []
        self.refused: list[str] = []

    def __iter__(self) -> Iterator[Path]:
        """Yield paths; whether a file is there and can be read shows when it is."""
        for word in self._words:
            if word == "-":
                yield from map(Path, _listed_on(self._stdin))
            elif not word:
                self.refused.append("An empty name: perhaps a variable of the shell that is empty.")
            elif isdir(word):
                yield from self._below(word)
            elif word.lower().endswith(".csv"):
                yield from self._listed(Path(word))
            else:
                if not lexists(word) and (hint := _hint(word)):
                    self.refused.append(hint)
                yield Path(word)

    def _below(self, folder: str) -> Iterator[Path]:
        for name, folders, files in os.walk(folder, onerror=self._refuse_folder):
            folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
            self.links += [link for inner in folders if islink(link := join(name, inner))]
            for file in sorted(files):
                ending = os.path.splitext(file)[1].lower()  # noqa: PTH122  (many thousands)
                if file.startswith("."):
                    continue
                if ending in ENDINGS:
                    yield Path(name, file)
                else:
                    self.left_out[ending or "no ending"] += 1

    def _refuse_folder(self, error: OSError) -> None:
        self.refused.append(f"{shown(error.filename)}: the folder cannot be read: {error.strerror}")

    def _listed(self, path: Path) -> Iterator[Path]:
        try:
            rows = _listed(path, in_groups=self._in_groups)
            for photograph, group in rows:
                if group and (known := self.groups.setdefault(str(photograph), group)) != group:
                    raise LabelError(
                        f"{path} puts {photograph} into the group {quoted(group)}; it is already "
                        f"in {quoted(known)}. Keep one of the two."
                    )
        except LabelError as error:
            self.refused.append(error.one_line())
        else:
            yield from (photograph for photograph, _ in rows)

    def remark(self) -> str:
        """Return a line on what was left out; '' where nothing was."""
        parts = []
        if self.left_out:
            kinds = ", ".join(f"{n} {ending}" for ending, n in self.left_out.most_common())
            parts.append(f"Left out, since they are not named as photographs: {kinds}.")
        if not RAW.isdisjoint(self.left_out):
            parts.append("RAW files and JPEG XL must be made into JPEG, PNG or TIFF first.")
        if self.links:
            more = f" and {len(self.links) - LINKS_SHOWN} more" * (len(self.links) > LINKS_SHOWN)
            parts.append(
                "Left out, since links to folders are not followed; name them to have them "
                f"searched: {', '.join(map(shown, self.links[:LINKS_SHOWN]))}{more}."
            )
        return " ".join(parts)


def _listed_on(stdin: TextIO) -> Iterator[str]:
    """Yield the paths of a list as they come; names are bytes, so the locale has no say."""
    content = getattr(stdin, "buffer", None) or io.BytesIO(stdin.read().encode())
    waiting, separator = b"", b""
    while chunk := content.read1(CHUNK):
        waiting += chunk
        separator = separator or next((end for end in (b"\0", b"\n") if end in waiting), b"")
        if separator:
            *names, waiting = waiting.split(separator)
            yield from filter(None, map(_name, names))
    yield from filter(None, [_name(waiting)])


def _name(line: bytes) -> str:
    """Return the path on a line; '' for a blank one. Windows ends lines with \\r too."""
    name = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r")
    return path_named(name) if name.strip() else ""


def _hint(word: str) -> str:
    """Say what has probably happened where a word that names no file looks like something else."""
    name, parts = shown(word), word.split()
    if word.startswith("~"):
        return f"{name}: no such file. The shell replaces ~ only where it is not quoted."
    there = sum(map(lexists, parts))
    if there and len(parts) > 1:
        return (
            f"{name}: no such file, but {there:,} of the {len(parts):,} words in it are files: "
            "names of several files were given as one word. Leave out the quotation marks, or give "
            "the names as a list on stdin: ... | heads score RUN -"
        )
    return ""


def _listed(path: Path, *, in_groups: bool) -> list[tuple[Path, str]]:
    """Return the column `path` or `file` of a CSV file, relative to the CSV's own folder.

    As in labels.csv, a file that does not lie there may lie in its folder images/. Beside each
    stands its group, '' where there is none or groups are not asked for.

    Raises:
        LabelError: it cannot be read, or something in it is not right: none of it is used.
    """
    try:
        table = read_table(path, errors="surrogateescape")  # names of files may be any bytes
        column = next((name for name in COLUMNS if name in table.columns), None)
        if column is None:
            raise LabelError(
                f"{path} has no column {' or '.join(COLUMNS)}, which name the photographs; "
                f"it has {listed(table.columns)}."
            )
        if in_groups and "group" not in table.columns:
            raise LabelError(
                f"{path} has no column group, by which photographs are to be grouped; it has "
                f"{listed(table.columns)}."
            )
    except OSError as error:
        raise LabelError(f"{path} cannot be read as a CSV file: {shown(error)}.") from error
    rows = [_named(table, column, *row) for row in table.rows()]
    return [
        (_placed(path.parent, path_named(row[column])), row["group"] if in_groups else "")
        for row in rows
    ]


def _named(table: Table, column: str, line: int, cells: list[str]) -> dict[str, str]:
    try:
        if (row := table.named(cells))[column]:
            return row
        raise ValueError(f"no {column}")
    except ValueError as error:
        raise LabelError(f"{table.path}, line {line}: {error}. Write it anew.") from None


def _placed(folder: Path, name: str) -> Path:
    plain, below = folder / name, folder / "images" / name
    return below if not isfile(plain) and isfile(below) else plain


def split_words(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Divide words into runs, which come first, and photographs.

    Raises:
        RunError: the first word is no run.
    """
    runs: list[Path] = []
    rest = list(words)
    while rest and isfile(Path(rest[0]) / "config.json"):
        runs.append(Path(rest.pop(0)))
    if not runs:
        word = shown(rest[0])
        raise RunError(
            f"{word} is no run: there is no {word}/config.json. Name a run first, such as "
            "runs/ridge (`heads list` shows them), then photographs."
        )
    return runs, rest
