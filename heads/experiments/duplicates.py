"""Photographs that a head is measured on and saw in training, under another name.

Owns what is done about them: they are counted, listed and measured without; none is removed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.files import Mark, check_output
from cache.text import CsvLines
from cache.types import IntArray, TextArray
from heads.data.duplicates import NEARLY_EQUAL, Duplicates, find_duplicates
from heads.data.features import JoinedRows
from heads.data.labels import BoolArray, Labels
from heads.data.predictions import Prediction
from heads.data.splits import SplitData
from heads.metrics.catalogue import evaluate, for_json

FILE = "duplicates.csv"
COLUMNS = ("image_id", "split", "duplicate_of", "duplicate_split", "cosine")


def check_list(folder: Path) -> None:
    """Refuse, before any work, to replace or clear a list that is none of ours.

    Raises:
        StorageError: `folder`/duplicates.csv is something else.
    """
    check_output(folder / FILE, Mark(",".join(COLUMNS).encode()))


@dataclass(frozen=True, eq=False)
class Found:
    """What was found among the photographs of some splits, put below each other.

    `image_id` and `split` are (n,) of all of them; `pairs` those that nearly equal another one that
    should have nothing to do with them; `of_measured` (m,) bool says of each photograph that heads
    are measured on whether it is one.
    """

    image_id: TextArray
    split: TextArray
    pairs: Duplicates
    of_measured: BoolArray

    @property
    def n_measured(self) -> int:
        """How many of the photographs that heads are measured on."""
        return int(np.count_nonzero(self.of_measured))

    @property
    def counts(self) -> dict[str, int]:
        """How many of each split that has any."""
        names, counts = np.unique(self.split[self.pairs.rows], return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @property
    def words(self) -> str:
        """What was found, in a sentence; '' where nothing was."""
        if not len(self.pairs):
            return ""
        counts = " and ".join(f"{n:,} of {split}" for split, n in self.counts.items())
        return (
            f"Duplicates: {counts} nearly equal a photograph that should be another one, by their "
            f"features (cosine from {NEARLY_EQUAL}): figures look better than they are. Give such "
            "pairs one group in the labels and make the caches anew; nothing was left out."
        )

    def text(self) -> str:
        """Return duplicates.csv: each of them with the nearest one that was found."""
        file = io.StringIO()
        lines = csv.writer(CsvLines(file))
        lines.writerow(COLUMNS)
        rows, twins, cosines = self.pairs.rows, self.pairs.twins, self.pairs.cosines
        for row, twin, cosine in zip(rows, twins, cosines.tolist(), strict=True):
            ends = (self.image_id[row], self.split[row], self.image_id[twin], self.split[twin])
            lines.writerow([*ends, f"{cosine:.4f}"])
        return file.getvalue()

    def without(self, predictions: Sequence[Prediction], labels: Labels) -> dict[str, Any] | None:
        """Return every metric, its mean over predictions, of the measured photographs but these.

        JSON-ready; None where nothing is left.
        """
        kept = ~self.of_measured
        if not kept.any():
            return None
        each = [evaluate(p.take(kept), labels.take(kept)) for p in predictions]
        numbers = [name for name, value in each[0].items() if not isinstance(value, list)]
        return for_json({name: _mean([values[name] for values in each]) for name in numbers})

    def to_dict(self, predictions: Sequence[Prediction], labels: Labels) -> dict[str, Any]:
        """Return what metrics.json says: from which cosine on, how many, and metrics without."""
        found: dict[str, Any] = {"cosine": NEARLY_EQUAL, "n": self.n_measured}
        return found | ({"without": self.without(predictions, labels)} if self.n_measured else {})


def _mean(values: Sequence[Any]) -> float | None:
    return None if values[0] is None else float(np.mean(values))


def across_splits(data: Mapping[str, SplitData], measured: str) -> Found:
    """Find photographs of val and test that nearly equal one of another split."""
    split = np.repeat(list(data), [len(part) for part in data.values()])
    pairs = _pairs(data, tuple(data), np.unique(split, return_inverse=True)[1])
    pairs = pairs.among(split != "train")
    of_all = np.zeros(len(split), np.bool_)
    of_all[pairs.rows] = True
    return Found(_ids(data, tuple(data)), split, pairs, of_all[split == measured])


def across_groups(data: Mapping[str, SplitData], splits: Sequence[str], group: IntArray) -> Found:
    """Find photographs of a pool of splits that nearly equal one of another group, (n,) numbers:
    folds may part the two."""
    pairs = _pairs(data, splits, group)
    of_all = np.zeros(len(group), np.bool_)
    of_all[pairs.rows] = True
    split = np.repeat(list(splits), [len(data[name]) for name in splits])
    return Found(_ids(data, splits), split, pairs, of_all)


def _pairs(data: Mapping[str, SplitData], splits: Sequence[str], part: IntArray) -> Duplicates:
    spec = data[splits[0]].cache.spec
    last = spec.layer_slice(spec.layers[-1][0])
    return find_duplicates(JoinedRows([data[name].X for name in splits], columns=last), part)


def _ids(data: Mapping[str, SplitData], splits: Sequence[str]) -> TextArray:
    return np.concatenate([data[name].labels.image_id for name in splits])
