"""predictions.csv: what a run's head says of every photograph of val and test, beside the truth.

Columns `image_id,group,split,fold,true_mean,true_label,score,p_beautiful,r1..rK,p1..pK`, numbers
in full precision. `fold` is empty where no folds were made, p1..pK where the head predicts no
distribution; mean-only labels have no r columns, and p columns only for a head that had votes.
`true_mean` and `true_label` are empty where comparisons are all that is known.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt

from cache.files import Mark
from cache.text import CsvLines, shown
from cache.types import Scale, TextArray
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.errors import HeadError, RunError
from heads.runs.checksums import REMEDY, read_text

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("image_id", "group", "split", "fold", "true_mean", "true_label", "score", "p_beautiful")
MARK = Mark(",".join(FIRST).encode())
ROUNDING = 1e-4


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
    """Write the header and the rows of all parts to an open file.

    Raises:
        HeadError: votes or predicted distributions of the parts are over other ratings.
    """
    widths = {(part.labels.levels, _shares(part)) for part in parts}
    if len(widths) != 1:
        raise HeadError(
            f"One table needs one number of ratings; got votes and shares of "
            f"{shown(sorted(widths))}."
        )
    n_votes, n_shares = widths.pop()
    names = [f"r{k}" for k in range(1, n_votes + 1)] + [f"p{k}" for k in range(1, n_shares + 1)]
    lines = csv.writer(CsvLines(file))
    lines.writerow([*FIRST, *names])
    for part in parts:
        lines.writerows(zip(*_columns(part), strict=True))


def _shares(part: SplitPrediction) -> int:
    """Return how many columns the predicted distributions get; they are blank where there are none.

    Raises HeadError for distributions over other ratings than the votes.
    """
    levels, distribution = part.labels.levels, part.prediction.distribution
    if distribution is None:
        return levels
    predicted = int(distribution.shape[1])
    if levels not in (0, predicted):
        raise HeadError(
            f"The head predicts {predicted} ratings, and these photographs have votes over "
            f"{levels}. Use a cache of the scale that it was trained on."
        )
    return predicted


def _columns(part: SplitPrediction) -> list[list[Any]]:
    labels, prediction, n = part.labels, part.prediction, len(part.labels)
    votes = [] if labels.votes is None else labels.votes.T.tolist()
    shares = [list(repeat("", n))] * labels.levels
    if prediction.distribution is not None:
        shares = prediction.distribution.T.tolist()
    return [
        labels.image_id.tolist(),
        labels.group.tolist(),
        [part.split] * n,
        [part.fold] * n,
        [""] * n if labels.pairs_alone else labels.mean.tolist(),
        [""] * n if labels.pairs_alone else labels.beautiful.astype(int).tolist(),
        prediction.score.tolist(),
        prediction.p_beautiful.tolist(),
        *votes,
        *shares,
    ]


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """predictions.csv as arrays of n rows.

    `image_id`, `group`, `split`, `fold` are texts; `true_mean`, `score`, `p_beautiful` float64;
    `true_label` bool, NaN and False where nothing is known; `votes` (n, K) int32 or None;
    `distribution` (n, K) float64 or None.
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

    def frame(self) -> pd.DataFrame:
        """Return the columns of the file; `fold` only where folds were made."""
        import pandas as pd

        columns: dict[str, Any] = {name: getattr(self, name) for name in FIRST}
        if not (self.fold != "").any():
            del columns["fold"]
        for letter, numbers in (("r", self.votes), ("p", self.distribution)):
            if numbers is not None:
                columns |= {f"{letter}{k}": column for k, column in enumerate(numbers.T, 1)}
        return pd.DataFrame(columns)

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
        header, *rows = csv.reader(io.StringIO(read_text(path), newline=""))
        if len(set(header)) != len(header):
            raise ValueError("two of its columns have one name")
        stored = _stored(dict(zip(header, zip(*rows, strict=True), strict=True)))
        _check(stored)
        return stored
    except (OSError, ValueError, OverflowError, KeyError, csv.Error) as error:
        raise RunError(f"{path} cannot be read: {shown(error)}. {REMEDY}") from error


def _stored(columns: dict[str, tuple[str, ...]]) -> StoredPredictions:
    read: dict[str, Any] = {name: np.array(columns[name], np.str_) for name in FIRST[:4]}
    if not any(columns["true_mean"] + columns["true_label"]):
        n = len(columns["true_mean"])
        columns = {**columns, "true_mean": ("nan",) * n, "true_label": ("0",) * n}
    read |= {name: np.array(columns[name], np.float64) for name in FIRST[4:]}
    if not np.isin(read["true_label"], (0, 1)).all():
        raise ValueError("true_label is 0 or 1")
    read["true_label"] = read["true_label"] == 1
    votes, shares = (_numbered(columns, letter) for letter in "rp")
    return StoredPredictions(
        **read,
        votes=np.array(votes, np.int32).T if votes else None,
        distribution=np.array(shares, np.float64).T if shares and shares[0][0] else None,
    )


def _numbered(columns: dict[str, tuple[str, ...]], letter: str) -> list[tuple[str, ...]]:
    """Return the columns r1, r2, ... or p1, p2, ... as they are numbered."""
    names = [name for name in columns if name[:1] == letter and name[1:].isdecimal()]
    if names != [f"{letter}{k}" for k in range(1, len(names) + 1)]:
        raise ValueError(f"its columns {', '.join(names)} do not count from 1")
    return [columns[name] for name in names]


def _check(stored: StoredPredictions) -> None:
    """Raise ValueError for numbers that neither people nor heads give."""
    numbers = [stored.score, stored.p_beautiful]
    if not np.isnan(stored.true_mean).all():
        numbers.append(stored.true_mean)
    if not all(np.isfinite(values).all() for values in numbers):
        raise ValueError("a score or mean is no finite number")
    if not ((stored.p_beautiful >= 0) & (stored.p_beautiful <= 1)).all():
        raise ValueError("p_beautiful lies outside 0..1")
    votes, shares = stored.votes, stored.distribution
    if votes is not None and ((votes < 0).any() or (votes.sum(axis=1, dtype=np.int64) < 1).any()):
        raise ValueError("a photograph has no votes, or fewer than none")
    if shares is not None and not (
        (shares >= -ROUNDING).all() and (np.abs(shares.sum(axis=1) - 1) <= ROUNDING).all()
    ):
        raise ValueError("a predicted distribution does not sum to 1")
