"""predictions.csv: what a run's head says of every photograph of val and test, beside the truth.

Columns `image_id,group,split,fold,true_mean,true_label,score,p_beautiful,r1..rK,p1..pK`, numbers
in full precision. `fold` is empty where no folds were made, p1..pK where the head predicts no
distribution; mean-only labels have neither r nor p columns.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from cache.files import Mark
from cache.types import Scale, TextArray
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.errors import RunError

FIRST = ("image_id", "group", "split", "fold", "true_mean", "true_label", "score", "p_beautiful")
MARK = Mark(",".join(FIRST).encode())


@dataclass(frozen=True, eq=False)
class SplitPrediction:
    """Predictions of one split, or of one fold of it (`fold` '' where there are none)."""

    split: str
    fold: str
    labels: Labels
    prediction: Prediction


def write_predictions(path: Path, parts: Sequence[SplitPrediction]) -> None:
    """Write all parts below one header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        write_rows(file, parts)


def write_rows(file: TextIO, parts: Sequence[SplitPrediction]) -> None:
    """Write the header and the rows of all parts to an open file."""
    levels = parts[0].labels.levels
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow([*FIRST, *(f"{x}{k}" for x in "rp" for k in range(1, levels + 1))])
    for part in parts:
        lines.writerows(zip(*_columns(part, levels), strict=True))


def _columns(part: SplitPrediction, levels: int) -> list[list[Any]]:
    labels, prediction, n = part.labels, part.prediction, len(part.labels)
    votes = [] if labels.votes is None else labels.votes.T.tolist()
    shares = [list(repeat("", n))] * levels
    if prediction.distribution is not None:
        shares = prediction.distribution.T.tolist()
    return [
        labels.image_id.tolist(),
        labels.group.tolist(),
        [part.split] * n,
        [part.fold] * n,
        labels.mean.tolist(),
        labels.beautiful.astype(int).tolist(),
        prediction.score.tolist(),
        prediction.p_beautiful.tolist(),
        *votes,
        *shares,
    ]


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """predictions.csv as arrays of n rows.

    `image_id`, `group`, `split`, `fold` are texts; `true_mean`, `score`, `p_beautiful` float64;
    `true_label` bool; `votes` (n, K) int32 or None; `distribution` (n, K) float64 or None.
    """

    image_id: TextArray
    group: TextArray
    split: TextArray
    fold: TextArray
    true_mean: npt.NDArray[np.float64]
    true_label: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]
    p_beautiful: npt.NDArray[np.float64]
    votes: npt.NDArray[np.int32] | None
    distribution: npt.NDArray[np.float64] | None

    def prediction(self, split: str, *, ranking_only: bool, label_by_p: bool) -> Prediction:
        """Return the predictions of one split, in the file's order."""
        columns = self.score, self.p_beautiful, self.distribution
        return Prediction(*columns, ranking_only, label_by_p).take(self.split == split)

    def labels(self, split: str, scale: Scale, threshold: str) -> Labels:
        """Return the labels of one split, in the file's order; the file knows no paths."""
        labels = Labels(
            image_id=self.image_id,
            path=np.full(len(self.image_id), ""),
            group=self.group,
            votes=self.votes,
            mean=self.true_mean,
            scale=scale,
            threshold=threshold,
        )
        return labels.take(self.split == split)


def read_predictions(run: Path, name: str = "predictions.csv") -> StoredPredictions:
    """Read predictions.csv of a run, or a file like it.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = run / name
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        return _stored(columns)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} cannot be read: {error}. Train the head again with --overwrite."
        ) from error


def _stored(columns: dict[str, tuple[str, ...]]) -> StoredPredictions:
    read: dict[str, Any] = {name: np.array(columns[name], np.str_) for name in FIRST[:4]}
    read |= {name: np.array(columns[name], np.float64) for name in FIRST[4:]}
    read["true_label"] = read["true_label"] == 1
    votes = [columns[name] for name in columns if name[0] == "r" and name[1:].isdigit()]
    shares = [columns[name] for name in columns if name[0] == "p" and name[1:].isdigit()]
    return StoredPredictions(
        **read,
        votes=np.array(votes, np.int32).T if votes else None,
        distribution=np.array(shares, np.float64).T if shares and shares[0][0] else None,
    )
