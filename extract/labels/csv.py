"""Anybody's photographs with their votes or means: labels.csv, every row looked at."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

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
from cache.types import Scale, decimal_number
from extract.labels.records import SPLITS, BadRows, FolderLabels, LabelSource, PhotographIndex

LABELS_FILE = "labels.csv"
MEAN = ("mean", "scale_min", "scale_max")
MAX_DIGITS = len(str(MAX_VOTES))
NAMES = ("file", "image_id", *MEAN, "group", "split")
VOTES = re.compile(r"r([1-9]\d*)", re.ASCII)
# What else people call a count of votes, in small letters and digits: votes3, rating_03, 3 stars.
LIKE_VOTES = re.compile(
    r"(r|rate|ratings?|scores?|votes?|counts?|stars?|n)?\d+(ratings?|votes?|counts?|stars?)?"
)
# A mean may be calculated in float32 and printed with more digits than that has.
MEAN_DIGITS = Decimal("1e-6")


def read_labels_csv(data: Path) -> FolderLabels:
    """Read labels.csv: `file` or `image_id`; `r1..rK` or `mean,scale_min,scale_max`; `group`;
    `split`.

    Raises:
        LabelError: it is no table, columns are missing, contradict each other or look like others,
            or no row is right.
    """
    path = data / LABELS_FILE
    table = read_table(path)
    columns = _Columns.of(table)
    places = _Places(data, columns.key)
    rows, bad = _read_rows(table, columns, places)
    if not rows:
        found = bad.summary(path) if table.lines else "Below its first line there is nothing."
        raise LabelError(f"{path} holds no valid row. {found}")
    labels = _labels(path, columns, rows, bad)
    return replace(labels, remarks=columns.remarks + places.remarks(rows))


@dataclass(frozen=True)
class _Columns:
    """Which columns a labels.csv has; `means` are those of `MEAN` that it has."""

    key: str
    ratings: tuple[str, ...]
    means: tuple[str, ...]
    has_split: bool
    unused: tuple[str, ...]

    @classmethod
    def of(cls, table: Table) -> _Columns:
        path, names = table.path, table.columns
        _refuse_lookalikes(table)
        keys = [name for name in ("file", "image_id") if name in names]
        if not keys:
            raise LabelError(
                f"{path} needs a column `file` (a photograph's path) or `image_id`; its first line "
                f"names: {listed(names)}."
            )
        ratings = _ratings(path, names)
        means = tuple(name for name in MEAN if name in names)
        if not ratings and means != MEAN:
            raise LabelError(
                f"{path} needs vote counts r1..rK, or `mean` with `scale_min` and `scale_max`; its "
                f"first line names: {listed(names)}."
            )
        used = {keys[0], *ratings, *means, "group", "split"}
        unused = tuple(name for name in names if name not in used)
        return cls(keys[0], ratings, means, "split" in names, unused)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say which columns are not read."""
        said = f"{LABELS_FILE}: columns that are not used: {listed(self.unused)}."
        return (said,) if self.unused else ()


def _refuse_lookalikes(table: Table) -> None:
    """Refuse a column that is nearly named as one of ours: it would be passed over."""
    plain = {name.replace("_", ""): name for name in NAMES}
    for number, name in enumerate(table.columns, 1):
        if name in NAMES or VOTES.fullmatch(name):
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
            self._folders[folder + slash] = kept_name(
                os.path.realpath(Path(self._root, path_named(folder + slash)))
            )
        return f"{self._folders[folder + slash]}/{name}"

    def remarks(self, rows: list[_Row]) -> tuple[str, ...]:
        """Say which of several files is read, where ids have several."""
        return self._index.remarks([row.key for row in rows]) if self._index else ()

    def same_file(self, one: str, other: str) -> bool:
        """Whether two resolved names are one file, where the disk takes their letters as equal."""
        try:
            return os.path.samestat(os.lstat(path_named(one)), os.lstat(path_named(other)))
        except OSError:
            return False


@dataclass(frozen=True)
class _Row:
    key: str
    path: str
    votes: tuple[int, ...]
    mean: float
    scale: tuple[float, float]
    group: str
    split: str


class _Seen:
    """The photographs of the rows so far, by the names of their files."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._by_name: dict[str, list[tuple[str, str, int]]] = {}

    def add(self, row: _Row, line: int) -> None:
        """Remember a row.

        Raises:
            ValueError: an earlier one is of the same file.
        """
        place = self._places.resolve(row.path)
        # Names that differ in small and capital letters or in how accents are written may be two
        # files or one: the disk decides.
        folded = unicodedata.normalize("NFC", place).casefold()
        alike = self._by_name.setdefault(folded, [])
        for earlier, key, number in alike:
            if earlier == place or self._places.same_file(earlier, place):
                twice = "" if key == row.key else f" as {quoted(key)}; keep one of the two"
                raise ValueError(
                    f"{quoted(row.key)} stands in an earlier row, line {number}{twice}"
                )
        alike.append((place, row.key, line))


def _read_rows(table: Table, columns: _Columns, places: _Places) -> tuple[list[_Row], BadRows]:
    rows, bad, seen = [], BadRows(), _Seen(places)
    for line, cells in table.rows():
        try:
            row = _parse(table.named(cells), columns, places)
            seen.add(row, line)
        except ValueError as error:
            bad.add(line, str(error))
            continue
        rows.append(row)
    return rows, bad


def _parse(values: Mapping[str, str], columns: _Columns, places: _Places) -> _Row:
    key = _text(columns.key, values[columns.key])
    if not key:
        raise ValueError(f"no {columns.key}")
    split = values["split"].strip() if columns.has_split else ""
    if columns.has_split and split not in SPLITS:
        raise ValueError(f"split is {quoted(split)}, expected train, val or test")
    group = _text("group", values.get("group", ""))
    votes = tuple(_count(name, values[name]) for name in columns.ratings)
    means = {name: _number(name, values[name]) for name in columns.means}
    if votes:
        _check_sum(votes)
        _check_against_votes(means, votes)
        return _Row(key, places.find(key), votes, 0.0, (1.0, float(len(votes))), group, split)
    mean, lo, hi = (float(means[name]) for name in MEAN)
    if not lo <= mean <= hi:
        written = [quoted(values[name])[1:-1] for name in MEAN]
        raise ValueError("the mean {} lies outside {}..{}".format(*written))
    return _Row(key, places.find(key), (), mean, (lo, hi), group, split)


def _text(name: str, text: str) -> str:
    text = text.strip()
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


def _number(name: str, text: str) -> Decimal:
    try:
        return decimal_number(text)
    except ValueError as error:
        raise ValueError(f"{name} is {quoted(text)}, {error}") from None


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
