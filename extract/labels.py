"""Labelled photographs of a folder: which there are, their votes, where their files lie.

Owns `labels.csv` (anybody's photographs) and what it has in common with AVA: `Labels`, bad rows
that are counted, and the index of files.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.errors import LabelError
from cache.schema import FileFacts
from cache.types import MAX_LEVELS, MIN_LEVELS, FloatArray, Scale, TextArray

LABELS_FILE = "labels.csv"
NOTE_FILE = "labels-note.txt"
SPLITS = ("train", "val", "test")
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
BAD_SHOWN = 5
# Some threads at once, for folders that lie across a network; chunks keep their cost small.
STAT_THREADS, STAT_CHUNK = 4, 4096


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


@dataclass(frozen=True, eq=False)
class Labels:
    """Every labelled photograph of a folder, in the order of the labels file.

    `votes` (N, K) int32 or None, then `mean` (N,) float64 is given; `split` (N,) where the file
    names splits; `official_test` the ids of an official test list; `path` relative to the folder.
    """

    image_id: TextArray
    path: TextArray
    group: TextArray
    votes: npt.NDArray[np.int32] | None
    mean: FloatArray | None
    scale: Scale
    split: TextArray | None
    official_test: frozenset[str] | None
    tags: npt.NDArray[np.int32] | None
    challenge: npt.NDArray[np.int32] | None
    bad: BadRows
    source: Path

    def __len__(self) -> int:
        return len(self.image_id)


def empty_text(n: int) -> TextArray:
    """Return n empty texts."""
    return np.full(n, "", np.str_)


class PhotographIndex:
    """Finds an id's file in images/, images/images/ or the folder itself, whatever its ending."""

    def __init__(self, data: Path) -> None:
        self._paths: dict[str, str] = {}
        for folder in ("", "images", "images/images"):
            self._list(data, folder)

    def _list(self, data: Path, folder: str) -> None:
        try:
            with os.scandir(data / folder) as entries:
                for entry in sorted(entry.name for entry in entries):
                    stem, ending = os.path.splitext(entry)  # noqa: PTH122  (of 255,500 names)
                    if ending.lower() in EXTENSIONS:
                        self._paths[stem] = f"{folder}/{entry}" if folder else entry
        except (FileNotFoundError, NotADirectoryError):
            return

    def find(self, image_id: str) -> str | None:
        """Return the path relative to the data folder, or None."""
        return self._paths.get(image_id)


def file_facts(data: Path, paths: TextArray) -> FileFacts:
    """Return bytes and time of modification of every photograph's file, -1 where there is none."""
    root, names = str(data), paths.tolist()
    parts = [names[i : i + STAT_CHUNK] for i in range(0, len(names), STAT_CHUNK)]
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        pairs = list(chain.from_iterable(pool.map(lambda part: _stat_all(root, part), parts)))
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return FileFacts(table[:, 0].copy(), table[:, 1].copy())


def _stat_all(root: str, paths: list[str]) -> list[tuple[int, int]]:
    pairs = []
    for path in paths:
        try:
            stat = os.stat(os.path.join(root, path))  # noqa: PTH116, PTH118  (255,500 of them)
            pairs.append((stat.st_size, stat.st_mtime_ns))
        except (OSError, ValueError):  # ValueError: a name that no file can have
            pairs.append((-1, -1))
    return pairs


def read_note(data: Path) -> str:
    """Return the first line of labels-note.txt, a remark on the votes, or ''."""
    path = data / NOTE_FILE
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    return lines[0] if lines else ""


# --- labels.csv ----------------------------------------------------------------------------------


def read_labels_csv(data: Path) -> Labels:
    """Read labels.csv: `file` or `image_id`; `r1..rK` or `mean,scale_min,scale_max`; `group`;
    `split`.

    Raises:
        LabelError: columns are missing or contradict each other, or no row is right.
    """
    path = data / LABELS_FILE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = _Columns.of(path, table.fieldnames or [])
            rows, bad = _read_rows(table, columns)
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from None
    except csv.Error as error:
        raise LabelError(f"{path} is not a table of comma-separated values ({error}).") from None
    if not rows:
        raise LabelError(f"{path} holds no valid row. {bad.summary(path)}")
    return _labels(data, path, columns, rows, bad)


@dataclass(frozen=True)
class _Columns:
    """Which columns a labels.csv has."""

    key: str
    ratings: tuple[str, ...]
    has_group: bool
    has_split: bool

    @classmethod
    def of(cls, path: Path, names: Mapping[str, object] | list[str]) -> _Columns:
        keys = [name for name in ("file", "image_id") if name in names]
        if not keys:
            raise LabelError(
                f"{path} needs a column `file` (a photograph's path) or `image_id`; it has: "
                f"{', '.join(names) or 'nothing'}."
            )
        levels = sum(1 for k in range(1, MAX_LEVELS + 2) if f"r{k}" in names)
        ratings = tuple(f"r{k}" for k in range(1, levels + 1))
        if any(name not in names for name in ratings):
            raise LabelError(f"{path}: the columns r1..r{levels} have gaps; name them r1 to rK.")
        if ratings and not MIN_LEVELS <= levels <= MAX_LEVELS:
            raise LabelError(f"{path}: votes need {MIN_LEVELS} to {MAX_LEVELS} columns r1..rK.")
        if not ratings and not {"mean", "scale_min", "scale_max"} <= set(names):
            raise LabelError(
                f"{path} needs vote counts r1..rK, or `mean` with `scale_min` and `scale_max`."
            )
        return cls(keys[0], ratings, "group" in names, "split" in names)


@dataclass(frozen=True)
class _Row:
    key: str
    votes: tuple[int, ...]
    mean: float
    scale: tuple[float, float]
    group: str
    split: str


def _read_rows(table: csv.DictReader[str], columns: _Columns) -> tuple[list[_Row], BadRows]:
    rows, bad, seen = [], BadRows(), set()
    for values in table:
        try:
            row = _parse(values, columns)
            if row.key in seen:
                raise ValueError(f"{row.key} stands in an earlier row")
        except ValueError as error:
            bad.add(table.line_num, str(error))
            continue
        seen.add(row.key)
        rows.append(row)
    return rows, bad


def _parse(values: Mapping[str, str | None], columns: _Columns) -> _Row:
    if None in values or None in values.values():
        raise ValueError("it has another number of fields than the first line")
    key = (values[columns.key] or "").strip()
    if not key:
        raise ValueError(f"no {columns.key}")
    if "\0" in key:
        raise ValueError(f"{columns.key} holds a NUL character")
    split = (values["split"] or "").strip() if columns.has_split else ""
    if columns.has_split and split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected train, val or test")
    group = (values["group"] or "").strip() if columns.has_group else ""
    if columns.ratings:
        votes = tuple(_count(name, values[name]) for name in columns.ratings)
        if not any(votes):
            raise ValueError("no votes")
        return _Row(key, votes, 0.0, (1.0, float(len(votes))), group, split)
    mean, lo, hi = (_number(name, values[name]) for name in ("mean", "scale_min", "scale_max"))
    if not lo <= mean <= hi:
        raise ValueError(f"the mean {mean:g} lies outside {lo:g}..{hi:g}")
    return _Row(key, (), mean, (lo, hi), group, split)


def _count(name: str, text: str | None) -> int:
    value = _number(name, text)
    if value < 0 or value != int(value) or value >= 2**31:
        raise ValueError(f"{name} is {text}, expected a whole number of votes")
    return int(value)


def _number(name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"{name} is {text!r}, expected a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text}, expected a finite number")
    return value


def _labels(data: Path, path: Path, columns: _Columns, rows: list[_Row], bad: BadRows) -> Labels:
    scales = {row.scale for row in rows}
    if len(scales) > 1:
        raise LabelError(
            f"{path}: every row needs the same scale_min and scale_max; there are "
            f"{sorted(scales)[:3]}."
        )
    keys = [row.key for row in rows]
    votes = np.array([row.votes for row in rows], np.int32) if columns.ratings else None
    return Labels(
        image_id=np.array(keys, np.str_),
        path=np.array(_paths(data, columns.key, keys), np.str_),
        group=np.array([row.group for row in rows], np.str_),
        votes=votes,
        mean=None if columns.ratings else np.array([row.mean for row in rows], np.float64),
        scale=Scale(*scales.pop()),
        split=np.array([row.split for row in rows], np.str_) if columns.has_split else None,
        official_test=None,
        tags=None,
        challenge=None,
        bad=bad,
        source=path,
    )


def _paths(data: Path, key: str, keys: list[str]) -> list[str]:
    """Where each photograph should lie: `file` as given or below images/, an id by the index."""
    if key == "image_id":
        index = PhotographIndex(data)
        return [index.find(image_id) or f"images/{image_id}.jpg" for image_id in keys]
    root = str(data)
    return [
        name if _is_file(root, name) or not _is_file(root, f"images/{name}") else f"images/{name}"
        for name in keys
    ]


def _is_file(root: str, name: str) -> bool:
    return os.path.isfile(os.path.join(root, name))  # noqa: PTH113, PTH118  (255,500 of them)
