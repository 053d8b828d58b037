"""Labelled photographs, one a row: the record that both stages read, and the file's rows of them.

Owns the label columns: one that is added here is stored, read, selected, joined and hashed
everywhere. Imports numpy and nothing of the other packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cache.errors import LabelError
from cache.text import quoted, shown
from cache.types import FloatArray, Scale, SplitRule, TextArray, canonical_json

MIN_LEVELS, MAX_LEVELS = 2, 20
# Of one photograph: what counts as int32 hold, and what numpy draws halves of, with room to spare.
MAX_VOTES = 10**9 - 1
# Texts lie in memory at the longest one's width: one of 100,000 characters would take gigabytes.
MAX_TEXT = 500
TEXT, FLOAT, COUNT = "text", "<f8", "<i4"


def _stored(kind: str) -> Mapping[str, str]:
    """Mark a field as a column, and say how the file stores it."""
    return {"stored": kind}


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelTable:
    """What people said of N photographs.

    Shapes: `image_id`, `path` (relative to the data root; '' where it is not known) and `group`
    ('' where there is none) are (N,) texts; `votes` (N, K) int32 counts of the ratings 1..K, or
    None for mean-only labels; `mean` (N,) float64 on `scale`, all NaN where photographs were
    compared alone; `tags` (N, 2) and `challenge` (N,) int32, AVA's ids, 0 where unknown, or None.
    `threshold` is a decimal text: beautiful means a mean strictly above it.

    Raises:
        LabelError: the columns differ in length.
    """

    image_id: TextArray = field(metadata=_stored(TEXT))
    path: TextArray = field(metadata=_stored(TEXT))
    group: TextArray = field(metadata=_stored(TEXT))
    votes: npt.NDArray[np.int32] | None = field(default=None, metadata=_stored(COUNT))
    mean: FloatArray = field(metadata=_stored(FLOAT))
    tags: npt.NDArray[np.int32] | None = field(default=None, metadata=_stored(COUNT))
    challenge: npt.NDArray[np.int32] | None = field(default=None, metadata=_stored(COUNT))
    scale: Scale
    threshold: str

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns().items()}
        if len(set(lengths.values())) != 1:
            raise LabelError(f"The columns of labels need one length; got {lengths}.")

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def levels(self) -> int:
        """K, the number of ratings; 0 for mean-only labels."""
        return 0 if self.votes is None else int(self.votes.shape[1])

    @property
    def pairs_alone(self) -> bool:
        """Whether comparisons (`cache.pairs`) are all that is known: no votes, means or labels."""
        return bool(self.votes is None and len(self) and np.isnan(self.mean).all())

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns that are there, by name."""
        every = {column.name: getattr(self, column.name) for column in COLUMNS}
        return {name: values for name, values in every.items() if values is not None}

    def take(self, rows: npt.NDArray[Any] | slice) -> Self:
        """Return some rows (indices, mask or slice)."""
        chosen: dict[str, Any] = {name: each[rows] for name, each in self.columns().items()}
        return replace(self, **chosen)

    @classmethod
    def concat(cls, parts: Sequence[LabelTable]) -> Self:
        """Put tables of one scale and threshold below each other; a column that one lacks is left
        out.

        Raises:
            LabelError: their scales or thresholds differ.
        """
        first = parts[0]
        if any((p.scale, p.threshold) != (first.scale, first.threshold) for p in parts):
            raise LabelError("Labels of different scales or thresholds cannot be put together.")
        tables = [part.columns() for part in parts]
        shared = [name for name in tables[0] if all(name in table for table in tables)]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in shared}
        return cls(scale=first.scale, threshold=first.threshold, **columns)

    @classmethod
    def of(cls, table: LabelTable) -> Self:
        """Return the same labels as an object of this class."""
        return cls(scale=table.scale, threshold=table.threshold, **table.columns())


@dataclass(frozen=True)
class Column:
    """A column's name, how the file stores it, and whether every table has it."""

    name: str
    stored: str
    needed: bool


COLUMNS = tuple(
    Column(each.name, each.metadata["stored"], each.default is MISSING)
    for each in fields(LabelTable)
    if each.metadata
)


@dataclass(frozen=True, eq=False)
class Manifest:
    """The labelled photographs of one split, in the order of the file's rows.

    Raises:
        LabelError: an id is there twice, votes or means are out of range.
    """

    labels: LabelTable
    split_rule: SplitRule

    def __post_init__(self) -> None:
        labels, n = self.labels, len(self.labels)
        ids, counts = np.unique(labels.image_id, return_counts=True)
        if len(ids) != n:
            raise LabelError(f"The id {quoted(ids[counts > 1][0])} appears twice in the labels.")
        if labels.votes is not None:
            if not MIN_LEVELS <= labels.levels <= MAX_LEVELS:
                raise LabelError(f"Votes have 2 to 20 levels, not {labels.levels}.")
            check_votes(labels)
        scale = labels.scale
        outside = ~((labels.mean >= scale.lo) & (labels.mean <= scale.hi))
        if outside.any() and not labels.pairs_alone:
            row = int(np.flatnonzero(outside)[0])
            raise LabelError(
                f"The mean {labels.mean[row]} of {quoted(labels.image_id[row])} lies outside the "
                f"scale {scale}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[Any] | slice, split_rule: SplitRule) -> Manifest:
        """Return some rows, chosen by `split_rule`."""
        return Manifest(self.labels.take(rows), split_rule)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over all rows and labels: another photograph or label gives another value."""
        labels = self.labels
        scale = [float(labels.scale.lo), float(labels.scale.hi)]
        head = [*scale, labels.threshold, self.split_rule.to_dict()]
        digest = hashlib.sha256(canonical_json(head).encode())
        stored = {column.name: column.stored for column in COLUMNS}
        for name, values in labels.columns().items():
            if stored[name] == TEXT:
                digest.update(f"\n{name}\n".encode() + "\n".join(values.tolist()).encode())
            else:
                digest.update(name.encode() + values.astype(stored[name]).tobytes())
        return digest.hexdigest()


def check_votes(labels: LabelTable) -> None:
    """Refuse counts of votes that nobody gave, or that are too large to calculate with.

    Raises:
        LabelError: a count is below zero, or a photograph has no vote or too many.
    """
    if labels.votes is None or not len(labels):
        return
    total = labels.votes.sum(axis=1, dtype=np.float64)
    wrong = ~((total >= 1) & (total <= MAX_VOTES))
    if labels.votes.min() < 0:
        wrong |= (labels.votes < 0).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(
            f"Every photograph needs at least one vote, and none below zero, and at most "
            f"{MAX_VOTES:,} in all; {quoted(labels.image_id[row])} has "
            f"{shown(labels.votes[row].tolist())}."
        )


def mean_of_votes(votes: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """Return sum(k n_k) / sum(n_k) for ratings k = 1..K; (N, K) counts to (N,) float64."""
    counts = np.asarray(votes, dtype=np.int64)
    levels = np.arange(1, counts.shape[1] + 1, dtype=np.int64)
    means: FloatArray = (counts @ levels) / counts.sum(axis=1)
    return means
