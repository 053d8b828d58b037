"""Anybody's photographs with their votes, means or 0/1: labels.csv, every row looked at."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import LabelError
from cache.labels import (
    MAX_LEVELS,
    MAX_TEXT,
    MAX_VOTES,
    MIN_LEVELS,
    LabelTable,
    mean_of_votes,
)
from cache.tables import Table, listed, read_table
from cache.text import kept_name, path_named, quoted
from cache.types import SPLITS, Scale, decimal_number
from extract.labels.records import BadRows, FolderLabels, LabelSource, PhotographIndex

LABELS_FILE = "labels.csv"
MEAN = ("mean", "scale_min", "scale_max")
MAX_DIGITS = len(str(MAX_VOTES))
NAMES = ("file", "image_id", *MEAN, "label", "group", "split")
VOTES = re.compile(r"r([1-9]\d*)", re.ASCII)
# Of so many levels; one object for all rows.
SCALES = {levels: (1.0, float(levels)) for levels in range(MIN_LEVELS, MAX_LEVELS + 1)}
# What else people call a count of votes, in small letters and digits: votes3, rating_03, 3 stars.
LIKE_VOTES = re.compile(
    r"(r|rate|ratings?|scores?|votes?|counts?|stars?|n)?\d+(ratings?|votes?|counts?|stars?)?"
)
# A mean may be calculated in float32 and printed with more digits than that has.
MEAN_DIGITS = Decimal("1e-6")


def read_labels_csv(data: Path, name: str = LABELS_FILE) -> FolderLabels:
    """Read labels.csv: `file` or `image_id`; `r1..rK`, `mean,scale_min,scale_max` or `label`;
    `group`; `split`.

    A `label` of 0 or 1 is a mean on the scale 0..1.

    Raises:
        LabelError: it is no table, columns are missing, contradict each other or look like others,
            or no row is right.
    """
    path = data / name
    table = read_table(path)
    columns = _Columns.of(table)
    places = Places(data, columns.key)
    rows, bad = _read_rows(table, columns, places)
    if not rows:
        raise bad.no_row(path)
    labels = _labels(path, columns, rows, bad)
    return replace(labels, remarks=columns.remarks + places.remarks([row.key for row in rows]))


@dataclass(frozen=True)
class _Columns:
    """Which columns a labels.csv has; `means` are those of `MEAN` that it has.

    `has_label`: 0 or 1 is all that it says of a photograph. `remarks` say what is not read.
    """

    key: str
    ratings: tuple[str, ...]
    means: tuple[str, ...]
    has_label: bool
    has_split: bool
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, table: Table) -> _Columns:
        path, names = table.path, table.columns
        refuse_lookalikes(table, NAMES)
        key = key_of(table)
        ratings = _ratings(path, names)
        means = tuple(name for name in MEAN if name in names)
        has_label = not ratings and means != MEAN and "label" in names
        if not ratings and means != MEAN and not has_label:
            raise LabelError(
                f"{path} needs vote counts r1..rK, or `mean` with `scale_min` and `scale_max`, or "
                f"a `label` of 0 or 1; its first line names: {listed(names)}."
            )
        said = ("label",) if has_label else (*ratings, *means)
        remarks = unused_columns(table, {key, *said, "group", "split"})
        return cls(key, ratings, () if has_label else means, has_label, "split" in names, remarks)


def unused_columns(table: Table, used: Set[str]) -> tuple[str, ...]:
    """Say which columns are not read, if any."""
    unused = [name for name in table.columns if name not in used]
    said = f"{table.path.name}: columns that are not used: {listed(unused)}."
    return (said,) if unused else ()


def key_of(table: Table) -> str:
    """Return the column that names the photographs, `file` before `image_id`.

    Raises:
        LabelError: there is neither.
    """
    for name in ("file", "image_id"):
        if name in table.columns:
            return name
    raise LabelError(
        f"{table.path} needs a column `file` (a photograph's path) or `image_id`; its first line "
        f"names: {listed(table.columns)}."
    )


def refuse_lookalikes(table: Table, names: Sequence[str]) -> None:
    """Refuse a column that is nearly named as one of `names`, or as votes: it would be passed over.

    Raises:
        LabelError: there is one.
    """
    plain = {name.replace("_", ""): name for name in names}
    for number, name in enumerate(table.columns, 1):
        if name in names or VOTES.fullmatch(name):
            continue
        folded = unicodedata.normalize("NFKC", name).casefold()
        letters = "".join(each for each in folded if each.isalnum())
        meant = f"`{plain[letters]}`" if letters in plain else ""
        if LIKE_VOTES.fullmatch(letters):
            meant = "a count of votes, and these are named r1 to rK"
        if meant:
            raise LabelError(
                f"{table.path}: column {number} is named {quoted(name)}, which looks like {meant}. "
                "Name it so, or otherwise if it is something else."
            )


def _ratings(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of votes, r1..rK."""
    found = {name for name in names if VOTES.fullmatch(name)}
    ratings = tuple(f"r{k}" for k in range(1, len(found) + 1))
    if found and not MIN_LEVELS <= len(found) <= MAX_LEVELS:
        raise LabelError(
            f"{path}: votes need {MIN_LEVELS} to {MAX_LEVELS} columns r1..rK, not {len(found)}."
        )
    if missing := [name for name in ratings if name not in found]:
        odd = ", ".join(sorted(found.difference(ratings), key=len))
        raise LabelError(
            f"{path}: the columns of votes have gaps: there is {odd} and no {', '.join(missing)}. "
            "Name them r1 to rK, each once; a rating that nobody gave has the count 0."
        )
    return ratings


class Places:
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
            self._folders[folder + slash] = kept_name(
                os.path.realpath(Path(self._root, path_named(folder + slash)))
            )
        return f"{self._folders[folder + slash]}/{name}"

    def remarks(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Say which of several files is read, where ids have several."""
        return self._index.remarks(keys) if self._index else ()

    def same_file(self, one: str, other: str) -> bool:
        """Whether two resolved names are one file, where the disk takes their letters as equal."""
        try:
            return os.path.samestat(os.lstat(path_named(one)), os.lstat(path_named(other)))
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    path: str
    votes: tuple[int, ...]
    mean: float
    scale: tuple[float, float]
    group: str
    split: str


class Seen:
    """The photographs of the rows so far, by the names of their files."""

    def __init__(self, places: Places) -> None:
        self._places = places
        # By the hash of a name, which takes less room than it: path, key, line and the photograph
        # before of the same hash. Those that share one by chance are compared like the others.
        self._last: dict[int, tuple[str, str, int, Any]] = {}

    def add(self, key: str, path: str, line: int) -> None:
        """Remember a photograph and its row.

        Raises:
            ValueError: an earlier one is of the same file.
        """
        place = self._places.resolve(path)
        # Names that differ in small and capital letters or in how accents are written may be two
        # files or one: the disk decides.
        folded = hash(unicodedata.normalize("NFC", place).casefold())
        alike = before = self._last.get(folded)
        while alike:
            earlier, other, number, alike = alike
            there = self._places.resolve(earlier)
            if there == place or self._places.same_file(there, place):
                twice = "" if other == key else f" as {quoted(other)}; keep one of the two"
                raise ValueError(f"{quoted(key)} stands in an earlier row, line {number}{twice}")
        self._last[folded] = (path, key, line, before)


def _read_rows(table: Table, columns: _Columns, places: Places) -> tuple[list[_Row], BadRows]:
    rows, bad, seen = [], BadRows(), Seen(places)
    for line, cells in table.rows():
        try:
            row = _parse(table.named(cells), columns, places)
            seen.add(row.key, row.path, line)
        except ValueError as error:
            bad.add(line, str(error))
            continue
        rows.append(row)
    return rows, bad


def _parse(values: Mapping[str, str], columns: _Columns, places: Places) -> _Row:
    key, group = name_in(values, columns.key), text_in(values, "group")
    split = split_in(values) if columns.has_split else ""
    if columns.has_label:
        return _Row(key, places.find(key), (), _label(values["label"]), (0.0, 1.0), group, split)
    votes = tuple(_count(name, values[name]) for name in columns.ratings)
    means = {name: number_in(values, name) for name in columns.means}
    if votes:
        _check_sum(votes)
        _check_against_votes(means, votes)
        return _Row(key, places.find(key), votes, 0.0, SCALES[len(votes)], group, split)
    mean, lo, hi = (float(means[name]) for name in MEAN)
    if not lo <= mean <= hi:
        written = [quoted(values[name])[1:-1] for name in MEAN]
        raise ValueError("the mean {} lies outside {}..{}".format(*written))
    return _Row(key, places.find(key), (), mean, (lo, hi), group, split)


def name_in(values: Mapping[str, str], column: str) -> str:
    """Return the name in a column of a row. Raises ValueError where there is none."""
    if not (name := text_in(values, column)):
        raise ValueError(f"no {column}")
    return name


def split_in(values: Mapping[str, str]) -> str:
    """Return the split of a row. Raises ValueError for anything else."""
    split = values["split"].strip()
    if split not in SPLITS:
        raise ValueError(f"split is {quoted(split)}, expected train, val or test")
    return sys.intern(split)


def text_in(values: Mapping[str, str], name: str) -> str:
    """Return the text in a column of a row, '' without one. Raises ValueError if it is too long."""
    text = values.get(name, "").strip()
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"{name} has {len(text):,} characters, at most {MAX_TEXT} are taken: {quoted(text)}"
        )
    return text


def _count(name: str, text: str) -> int:
    # `int` alone takes 1_000, +5 and digits of other alphabets.
    if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS:
        return int(text)
    raise ValueError(
        f"{name} is {quoted(text)}, expected a whole number of votes in plain digits, at most "
        f"{MAX_VOTES}"
    )


def number_in(values: Mapping[str, str], name: str) -> Decimal:
    """Return the number in a column of a row. Raises ValueError where it is none."""
    try:
        return decimal_number(values[name])
    except ValueError as error:
        raise ValueError(f"{name} is {quoted(values[name])}, {error}") from None


def _label(text: str) -> float:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"label is {quoted(text)}, expected 0 or 1: picked or not, sold or not")
    return float(text)


def _check_sum(votes: tuple[int, ...]) -> None:
    if not 1 <= sum(votes) <= MAX_VOTES:
        raise ValueError(f"{sum(votes) or 'no'} votes, expected 1 to {MAX_VOTES}")


def _check_against_votes(means: Mapping[str, Decimal], votes: tuple[int, ...]) -> None:
    """Compare a mean and a scale that stand beside votes with them, to the digits that are given.

    Raises:
        ValueError: they say something else.
    """
    for name, bound in (("scale_min", 1), ("scale_max", len(votes))):
        if means.get(name, bound) != bound:
            raise ValueError(f"{name} is {means[name]}, but the votes are on 1..{len(votes)}")
    if "mean" not in means:
        return
    mean, exact = means["mean"], Decimal(sum(k * n for k, n in enumerate(votes, 1))) / sum(votes)
    last_digit = Decimal(1).scaleb(min(0, int(mean.as_tuple().exponent)))
    if abs(mean - exact) > max(last_digit / 2, MEAN_DIGITS * exact):
        raise ValueError(f"the mean is {mean:.9g}, but that of the votes {exact:.9g}")


def _labels(path: Path, columns: _Columns, rows: list[_Row], bad: BadRows) -> FolderLabels:
    first = rows[0]
    other = next((row for row in rows if row.scale != first.scale), None)
    if other is not None:
        raise LabelError(
            f"{path}: every row needs the same scale_min and scale_max; {quoted(first.key)} has "
            f"{first.scale} and {quoted(other.key)} {other.scale}."
        )
    votes, mean = None, np.array([row.mean for row in rows], np.float64)
    if columns.ratings:
        votes = np.array([row.votes for row in rows], np.int32)
        mean = mean_of_votes(votes)
    try:
        scale = Scale(*first.scale)
    except LabelError as error:
        raise LabelError(f"{path}, scale_min and scale_max: {error}") from None
    image_id = np.array([row.key for row in rows], np.str_)
    named_by_path = all(row.key == row.path for row in rows)
    table = LabelTable(
        image_id=image_id,
        path=image_id if named_by_path else np.array([row.path for row in rows], np.str_),
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
    "your own photographs: a column `file`, and votes r1..rK, or mean, scale_min, scale_max, or a "
    "label of 0 or 1",
    read_labels_csv,
)
