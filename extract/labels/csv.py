"""Anybody's photographs with their votes or means: labels.csv, every row looked at."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.errors import LabelError
from cache.labels import MAX_LEVELS, MIN_LEVELS, LabelTable, mean_of_votes
from cache.text import path_named
from cache.types import Scale
from extract.labels.records import SPLITS, BadRows, FolderLabels, LabelSource, PhotographIndex

LABELS_FILE = "labels.csv"
MAX_COUNT = 2**31 - 1


def read_labels_csv(data: Path) -> FolderLabels:
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
            rows, bad = _read_rows(table, columns, _Places(data, columns.key))
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from None
    except csv.Error as error:
        raise LabelError(f"{path} is not a table of comma-separated values ({error}).") from None
    if not rows:
        raise LabelError(f"{path} holds no valid row. {bad.summary(path)}")
    return _labels(path, columns, rows, bad)


@dataclass(frozen=True)
class _Columns:
    """Which columns a labels.csv has."""

    key: str
    ratings: tuple[str, ...]
    has_split: bool

    @classmethod
    def of(cls, path: Path, names: Sequence[str]) -> _Columns:
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
        return cls(keys[0], ratings, "split" in names)


class _Places:
    """Where each photograph should lie: `file` as given or below images/, an id by the index."""

    def __init__(self, data: Path, key: str) -> None:
        self._root = str(data)
        self._index = PhotographIndex(data) if key == "image_id" else None
        self._folders: dict[str, str] = {}

    def find(self, key: str) -> str:
        """Return the path relative to the data folder."""
        if self._index is not None:
            return self._index.find(key)
        below = f"images/{key}"
        return below if not self._is_file(key) and self._is_file(below) else key

    def _is_file(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self._root, path_named(name)))  # noqa: PTH113, PTH118  (255,500 of them)

    def resolve(self, path: str) -> str:
        """Return the one name of a path, however it is spelt; a link to a file is its own file."""
        folder, slash, name = path.rpartition("/")
        if folder + slash not in self._folders:
            self._folders[folder + slash] = os.path.realpath(
                Path(self._root, path_named(folder + slash))
            )
        return f"{self._folders[folder + slash]}/{name}"


@dataclass(frozen=True)
class _Row:
    key: str
    path: str
    votes: tuple[int, ...]
    mean: float
    scale: tuple[float, float]
    group: str
    split: str


def _read_rows(
    table: csv.DictReader[str], columns: _Columns, places: _Places
) -> tuple[list[_Row], BadRows]:
    rows, bad = [], BadRows()
    seen: dict[str, tuple[str, int]] = {}
    for values in table:
        try:
            row = _parse(values, columns, places)
            key, line = seen.setdefault(places.resolve(row.path), (row.key, table.line_num))
            if line != table.line_num:
                twice = "" if key == row.key else f" as {key}; keep one of the two"
                raise ValueError(f"{row.key} stands in an earlier row, line {line}{twice}")
        except ValueError as error:
            bad.add(table.line_num, str(error))
            continue
        rows.append(row)
    return rows, bad


def _parse(values: Mapping[str, str | None], columns: _Columns, places: _Places) -> _Row:
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
    group = (values.get("group") or "").strip()
    if columns.ratings:
        votes = tuple(_count(name, values[name]) for name in columns.ratings)
        if not any(votes):
            raise ValueError("no votes")
        scale = (1.0, float(len(votes)))
        return _Row(key, places.find(key), votes, 0.0, scale, group, split)
    mean, lo, hi = (_number(name, values[name]) for name in ("mean", "scale_min", "scale_max"))
    if not lo <= mean <= hi:
        raise ValueError(f"the mean {mean:g} lies outside {lo:g}..{hi:g}")
    return _Row(key, places.find(key), (), mean, (lo, hi), group, split)


def _count(name: str, text: str | None) -> int:
    # `int` alone takes 1_000, +5 and digits of other alphabets.
    if text and text.isascii() and text.isdecimal() and (count := int(text)) <= MAX_COUNT:
        return count
    raise ValueError(
        f"{name} is {text!r}, expected a whole number of votes in plain digits, at most {MAX_COUNT}"
    )


def _number(name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"{name} is {text!r}, expected a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text}, expected a finite number")
    return value


def _labels(path: Path, columns: _Columns, rows: list[_Row], bad: BadRows) -> FolderLabels:
    scales = {row.scale for row in rows}
    if len(scales) > 1:
        raise LabelError(
            f"{path}: every row needs the same scale_min and scale_max; there are "
            f"{sorted(scales)[:3]}."
        )
    votes, mean = None, np.array([row.mean for row in rows], np.float64)
    if columns.ratings:
        votes = np.array([row.votes for row in rows], np.int32)
        mean = mean_of_votes(votes)
    scale = Scale(*scales.pop())
    table = LabelTable(
        image_id=np.array([row.key for row in rows], np.str_),
        path=np.array([row.path for row in rows], np.str_),
        group=np.array([row.group for row in rows], np.str_),
        votes=votes,
        mean=mean,
        scale=scale,
        threshold=scale.usual_threshold,
    )
    split = np.array([row.split for row in rows], np.str_) if columns.has_split else None
    return FolderLabels(table, path, bad, split)


SOURCE = LabelSource(
    LABELS_FILE,
    "your own photographs: a column `file`, and votes r1..rK or mean, scale_min, scale_max",
    read_labels_csv,
)
