"""How well predictions agree with labels: every metric by the name that files and tables use.

A metric is declared here and nowhere else: files, tables, intervals and verdicts go through
`METRICS`. Numpy, and scipy for Kendall's tau. NaN stands for a value that is not defined here (the
correlation of a constant), None for one that does not apply to this head or these labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from cache.types import FloatArray, IntArray
from heads.data.labels import Labels
from heads.data.predictions import Prediction, predicted_label
from heads.errors import HeadError
from heads.metrics.weighted import Draws, Terms, spearman

MIN_WITHIN = 10

Value = float | list[list[int]] | None


@dataclass(frozen=True)
class Metric:
    """One metric: what it means, how it is computed, and how tables show it.

    `higher_is_better` is None where neither end is good; `floor` says what a head that learned
    nothing gets; `undefined` is what a table shows for NaN (None: a dash). `heading` is its column
    in the leaderboard's table, '' for leaderboard.csv alone; `half_width` shows its interval there.

    `formula` computes it; a bootstrap applies that to every draw, to samples of at most
    `resampled_rows` photographs (any number if None), and leaves the interval out above that.
    `weighted`, where there is one, takes its place and does all draws at once.
    """

    meaning: str
    higher_is_better: bool | None
    floor: str
    decimals: int = 3
    undefined: float | None = None
    heading: str = ""
    half_width: bool = False
    formula: Callable[[Prediction, Labels], Value] | None = None
    resampled_rows: int | None = None
    weighted: Callable[[Draws], FloatArray | None] | None = None


def kendall(score: FloatArray, mean: FloatArray) -> float:
    """Return Kendall's tau-b of (n,) scores and means; NaN where one of them is constant."""
    if np.ptp(score) == 0 or np.ptp(mean) == 0:
        return math.nan
    return float(stats.kendalltau(score, mean).statistic)


def _kendall(prediction: Prediction, labels: Labels) -> float:
    return kendall(prediction.score, labels.mean)


def _confusion(prediction: Prediction, labels: Labels) -> list[list[int]]:
    pairs = 2 * labels.beautiful + predicted_label(prediction, labels)
    counts = np.bincount(pairs, minlength=4)
    return [counts[:2].tolist(), counts[2:].tolist()]


_NO_ORDER = "0: a constant puts photographs in no order"
_MAJORITY = "the majority's"
_CONSTANT = "the constant head's"
# Kendall's tau has no short form for counts: every draw is sorted anew, which 1,000 draws of more
# photographs make too slow.
KENDALL_ROWS = 1000

METRICS: dict[str, Metric] = {
    "srcc": Metric(
        "Spearman's rank correlation of score and mean",
        True,
        _NO_ORDER,
        undefined=0.0,
        heading="srcc",
        half_width=True,
        weighted=lambda draws: draws.spearman("score", "mean"),
    ),
    "plcc": Metric(
        "Pearson's correlation of score and mean",
        True,
        _NO_ORDER,
        undefined=0.0,
        heading="plcc",
        weighted=lambda draws: draws.pearson("score"),
    ),
    "krcc": Metric(
        "Kendall's tau-b of score and mean",
        True,
        _NO_ORDER,
        undefined=0.0,
        formula=_kendall,
        resampled_rows=KENDALL_ROWS,
    ),
    "mse": Metric(
        "mean squared error of the score",
        False,
        "the variance of the means",
        heading="mse",
        weighted=lambda draws: draws.mean("mse"),
    ),
    "mae": Metric(
        "mean absolute error of the score",
        False,
        _CONSTANT,
        heading="mae",
        weighted=lambda draws: draws.mean("mae"),
    ),
    "dist_mse": Metric(
        "mean squared error between distributions",
        False,
        _CONSTANT,
        decimals=5,
        weighted=lambda draws: draws.mean("dist_mse"),
    ),
    "emd_r1": Metric(
        "mean absolute gap between the CDFs",
        False,
        _CONSTANT,
        decimals=4,
        weighted=lambda draws: draws.mean("emd_r1"),
    ),
    "emd_r2": Metric(
        "root of the mean squared gap between the CDFs",
        False,
        _CONSTANT,
        decimals=4,
        heading="emd_r2",
        weighted=lambda draws: draws.mean("emd_r2"),
    ),
    "std_srcc": Metric(
        "Spearman's correlation of the deviations",
        True,
        _NO_ORDER,
        undefined=0.0,
        weighted=lambda draws: draws.spearman("std", "true_std"),
    ),
    "std_plcc": Metric(
        "Pearson's correlation of the deviations",
        True,
        _NO_ORDER,
        undefined=0.0,
        weighted=lambda draws: draws.pearson("std"),
    ),
    "acc": Metric(
        "share of right labels",
        True,
        _MAJORITY,
        heading="acc",
        half_width=True,
        weighted=lambda draws: draws.mean("right"),
    ),
    "balanced_acc": Metric(
        "mean of the two classes' recalls",
        True,
        "1/2",
        heading="bal_acc",
        weighted=Draws.balanced_accuracy,
    ),
    "precision": Metric(
        "share of beautiful among those called so", True, _MAJORITY, weighted=Draws.precision
    ),
    "recall": Metric(
        "share of the beautiful that are called so", True, _MAJORITY, weighted=Draws.recall
    ),
    "f1": Metric(
        "harmonic mean of precision and recall",
        True,
        _MAJORITY,
        heading="f1",
        weighted=Draws.f1,
    ),
    "auc": Metric(
        "area under the ROC curve of p_beautiful",
        True,
        "1/2: no order",
        heading="auc",
        half_width=True,
        weighted=Draws.area,
    ),
    "confusion": Metric(
        "counts [[tn, fp], [fn, tp]]",
        None,
        _MAJORITY,
        decimals=0,
        formula=_confusion,
        resampled_rows=0,
    ),
    "spread": Metric(
        "deviation of the scores over that of the means",
        None,
        "0: collapsed",
        heading="spread",
        weighted=Draws.spread,
    ),
}


def evaluate(prediction: Prediction, labels: Labels) -> dict[str, Value]:
    """Return every metric of `METRICS`, in its order, for predictions of n photographs.

    Raises:
        HeadError: there is no photograph.
    """
    if not len(labels):
        raise HeadError("There is no photograph to measure predictions on; extract some first.")
    once = Terms(prediction, labels).draws(np.ones((len(labels), 1)))
    return {name: _value(metric, once, prediction, labels) for name, metric in METRICS.items()}


def _value(metric: Metric, once: Draws, prediction: Prediction, labels: Labels) -> Value:
    if metric.weighted is None:
        return None if metric.formula is None else metric.formula(prediction, labels)
    column = metric.weighted(once)
    return None if column is None else float(column[0])


def for_json(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values with None (null in JSON, which has no NaN) for what is not defined."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def for_table(name: str, value: float | None) -> float | None:
    """Return what a table shows: 0 for an undefined correlation, None for a dash."""
    if value is None or math.isfinite(value):
        return value
    return METRICS[name].undefined


def srcc_within(prediction: Prediction, labels: Labels) -> float | None:
    """Return the mean of the SRCC within each challenge, weighted by its size.

    Challenges with fewer than 10 photographs, with one true mean throughout, or unknown (0) are
    left out. None where none is left; NaN where the scores are constant within each.
    """
    if labels.challenge is None:
        return None
    sizes, values = [], []
    for rows in _challenges(labels.challenge):
        if np.ptp(labels.mean[rows]) > 0:
            sizes.append(len(rows))
            values.append(spearman(prediction.score[rows], labels.mean[rows]))
    if not sizes:
        return None
    weight = np.where(np.isnan(values), 0, sizes)
    return float(np.nansum(values * weight) / weight.sum()) if weight.any() else math.nan


def _challenges(challenge: npt.NDArray[np.int32]) -> list[IntArray]:
    order = np.argsort(challenge, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(challenge[order])) + 1)
    return [r for r in rows if len(r) >= MIN_WITHIN and challenge[r[0]] > 0]
