"""Labelled photographs of a folder: which there are, their votes, where their files lie.

Owns what all sources of labels have in common: what a reader returns, bad rows that are counted,
the index of files and what is known of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.errors import LabelError
from cache.files import reading
from cache.labels import MAX_TEXT, LabelTable
from cache.schema import FileFacts
from cache.tables import read_lines
from cache.text import kept_name, path_named, quoted
from cache.types import TextArray
from extract.errors import is_passing

NOTE_FILE = "labels-note.txt"
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif"})
BAD_SHOWN = 5
# Some threads at once, for folders that lie across a network; chunks keep their cost small.
STAT_THREADS, STAT_CHUNK = 4, 4096
# In place of bytes and time: the system did not say whether there is such a file.
REFUSED = -2


@dataclass
class BadRows:
    """Rows of a labels file that were passed over: how many, and the first with their reasons."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        """Count a row; remember the first ones."""
        self.count += 1
        if len(self.first) < BAD_SHOWN:
            self.first.append((line, reason))

    def summary(self, path: Path) -> str:
        """Say in one line what was passed over."""
        shown = "; ".join(f"line {line}: {reason}" for line, reason in self.first)
        more = "; ..." if self.count > len(self.first) else ""
        rows = "row" if self.count == 1 else "rows"
        return f"{path.name}: {self.count:,} bad {rows} passed over ({shown}{more})."

    def no_row(self, path: Path) -> LabelError:
        """Return the error of a table of which no row was right."""
        found = self.summary(path) if self.count else "Below its first line there is nothing."
        return LabelError(f"{path} holds no valid row. {found}")


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """Every labelled photograph of a folder, in the order of the labels file `source`.

    `split` (N,) where the file names splits; `official_test` the ids of an official test list;
    `remarks` what people should know of how the file was read; `files` the checksums of all files
    that labels, splits and the remark come from; `one_row_each`: the file has a row for each;
    `pairs` the ids (winner, loser) of comparisons, None where there is no file of them.
    """

    table: LabelTable
    source: Path
    bad: BadRows = field(default_factory=BadRows)
    split: TextArray | None = None
    official_test: frozenset[str] | None = None
    remarks: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    one_row_each: bool = True
    pairs: list[tuple[str, str]] | None = None

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class LabelSource:
    """A kind of labels: the file that it lies in, what it is in words, and its reader.

    `beside` are further files that decide labels or splits, where they are there.
    """

    file: str
    content: str
    read: Callable[..., FolderLabels]
    beside: tuple[str, ...] = ()


def empty_text(n: int) -> TextArray:
    """Return n empty texts."""
    return np.full(n, "", np.str_)


class PhotographIndex:
    """Finds an id's file in images/, images/images/ or the folder itself, whatever its ending."""

    def __init__(self, data: Path) -> None:
        # Of each id what stands before and behind it in its path: few texts, which all share.
        self._around: dict[str, tuple[str, str]] = {}
        self._others: dict[str, tuple[str, str]] = {}
        for folder in ("", "images/", "images/images/"):
            self._list(data, folder)

    def _list(self, data: Path, folder: str) -> None:
        known: dict[str, tuple[str, str]] = {}
        try:
            with os.scandir(data / folder) as entries:
                for entry in sorted(kept_name(entry.name) for entry in entries):
                    stem, ending = os.path.splitext(entry)  # noqa: PTH122  (of 255,500 names)
                    if ending.lower() in EXTENSIONS:
                        if stem in self._around:
                            self._others[stem] = self._around[stem]
                        self._around[stem] = known.setdefault(ending, (folder, ending))
        except (FileNotFoundError, NotADirectoryError):
            return

    def find(self, image_id: str) -> str:
        """Return the path relative to the data folder, images/<id>.jpg where there is no file."""
        before, behind = self._around.get(image_id, ("images/", ".jpg"))
        return f"{before}{image_id}{behind}"

    def remarks(self, image_ids: Sequence[str]) -> tuple[str, ...]:
        """Say which of several files is read, where ids have several."""
        several = [image_id for image_id in image_ids if image_id in self._others]
        if not several:
            return ()
        read, (before, behind) = self.find(several[0]), self._others[several[0]]
        other = f"{before}{several[0]}{behind}"
        return (
            f"{len(several):,} of the ids have several photographs: {quoted(read)} is read, for "
            f"one, and {quoted(other)} is not. Move away those that are not meant.",
        )


def file_facts(data: Path, paths: TextArray) -> FileFacts:
    """Return bytes and time of modification of every photograph's file.

    Both are -1 where there is none, and REFUSED where the system does not say.
    """
    parts = [paths[i : i + STAT_CHUNK] for i in range(0, len(paths), STAT_CHUNK)]
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        found = list(pool.map(lambda part: _stat_all(str(data), part), parts))
    table = np.concatenate([np.empty((0, 2), np.int64), *found])
    return FileFacts(table[:, 0].copy(), table[:, 1].copy())


def _stat_all(root: str, paths: TextArray) -> npt.NDArray[np.int64]:
    pairs = []
    for path in paths.tolist():
        try:
            stat = os.stat(os.path.join(root, path_named(path)))  # noqa: PTH116, PTH118  (255,500 of them)
            pairs.append((stat.st_size, stat.st_mtime_ns))
        except OSError as error:
            pairs.append((REFUSED, REFUSED) if is_passing(error) else (-1, -1))
        except ValueError:  # a name that no file can have
            pairs.append((-1, -1))
    return np.array(pairs, np.int64)


def is_there(path: Path) -> bool:
    """Whether there is such a file beside the photographs.

    Raises:
        LabelError: something else has its name, which readers would pass over or wait for.
    """
    if path.is_file():
        return True
    if os.path.lexists(path):
        link = "a link to no file" if path.is_symlink() else "a pipe or a device"
        raise LabelError(
            f"{path} is {'a folder' if path.is_dir() else link}, and a file of this name would be "
            "read with the labels. Move it away, or put the file in its place."
        )
    return False


def read_note(data: Path) -> str:
    """Return the first line of labels-note.txt, a remark on the votes, or ''.

    Raises:
        LabelError: it is not a file of UTF-8 text, or longer than a remark.
    """
    path = data / NOTE_FILE
    if not is_there(path):
        return ""
    with reading(path):
        note = next((line.strip() for line in read_lines(path) if line.strip()), "")
    if len(note) > MAX_TEXT:
        raise LabelError(
            f"{path}: the remark has {len(note):,} characters, at most {MAX_TEXT} are taken. Every "
            "result shows it: shorten it."
        )
    return note
