"""How well predictions agree with labels: every metric by the name that files and tables use.

A metric is declared here and nowhere else: files, tables, intervals and verdicts go through
`METRICS`. Numpy, and scipy for Kendall's tau. NaN stands for a value that is not defined here (the
correlation of a constant), None for one that does not apply to this head or these labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import methodcaller as call

import numpy as np
import numpy.typing as npt
from scipy import stats

from cache.types import FloatArray, IntArray
from heads.data.labels import Labels
from heads.data.predictions import Prediction, predicted_label
from heads.errors import HeadError
from heads.metrics.choosing import Choices, agreement, rates
from heads.metrics.weighted import Draws, Terms, spearman

MIN_WITHIN = 10

Value = float | list[list[int]] | None
Weighted = Callable[[Draws], FloatArray | None]


@dataclass(frozen=True)
class Metric:
    """One metric: what it means, how it is computed, and how tables show it.

    `higher_is_better` is None where neither end is good; `floor` says what a head that learned
    nothing gets; `undefined` is what a table shows for NaN (None: a dash). `heading` is its column
    in the leaderboard's table, '' for leaderboard.csv alone.

    `formula` computes it; a bootstrap applies that to every draw, or `weighted`, where there is
    one, to all draws at once. It does so for samples of at most `resampled_rows` photographs (any
    number if None), and leaves the interval out above that. `weighted` serves for both alone.
    """

    meaning: str
    higher_is_better: bool | None
    floor: str
    decimals: int = 3
    undefined: float | None = None
    heading: str = ""
    formula: Callable[[Prediction, Labels], Value] | None = None
    resampled_rows: int | None = None
    weighted: Weighted | None = None


def _kendall(prediction: Prediction, labels: Labels) -> float | None:
    """Return Kendall's tau-b of scores and means; NaN where one is constant, None without means."""
    if not labels.has_means:
        return None
    if np.ptp(prediction.score) == 0 or np.ptp(labels.mean) == 0:
        return math.nan
    return float(stats.kendalltau(prediction.score, labels.mean).statistic)


def confusion_matrix(prediction: Prediction, labels: Labels) -> list[list[int]]:
    """Return how many labels are [[tn, fp], [fn, tp]]."""
    pairs = 2 * labels.beautiful + predicted_label(prediction, labels.threshold)
    counts = np.bincount(pairs, minlength=4)
    return [counts[:2].tolist(), counts[2:].tolist()]


_NO_ORDER = "0: a constant puts photographs in no order"
_MAJORITY = "the majority's"
_CONSTANT = "the constant head's"
# Kendall's tau of draws looks at every pair, the calibration error at one draw after the other.
FEW_ROWS = 1000


def _correlation(meaning: str, form: Weighted, heading: str = "") -> Metric:
    return Metric(meaning, True, _NO_ORDER, undefined=0.0, heading=heading, weighted=form)


def _mean(term: str, meaning: str, floor: str, decimals: int, heading: str = "") -> Metric:
    """Return an error that is a mean over photographs, of a term that `Terms` prepares."""
    return Metric(meaning, False, floor, decimals, heading=heading, weighted=call("mean", term))


def _share(meaning: str, form: Weighted, heading: str = "", floor: str = _MAJORITY) -> Metric:
    return Metric(meaning, True, floor, heading=heading, weighted=form)


METRICS: dict[str, Metric] = {
    "srcc": _correlation(
        "Spearman's rank correlation of score and mean", call("spearman", "score", "mean"), "srcc"
    ),
    "plcc": _correlation(
        "Pearson's correlation of score and mean", call("pearson", "score"), "plcc"
    ),
    "krcc": Metric(
        meaning="Kendall's tau-b of score and mean",
        higher_is_better=True,
        floor=_NO_ORDER,
        undefined=0.0,
        formula=_kendall,
        resampled_rows=FEW_ROWS,
        weighted=Draws.kendall,
    ),
    "mse": _mean("mse", "mean squared error of the score", "the variance of the means", 3, "mse"),
    "mae": _mean("mae", "mean absolute error of the score", _CONSTANT, 3, "mae"),
    "dist_mse": _mean("dist_mse", "mean squared error between distributions", _CONSTANT, 5),
    "emd_r1": _mean("emd_r1", "mean absolute gap between the CDFs", _CONSTANT, 4),
    "emd_r2": _mean(
        "emd_r2", "root of the mean squared gap between the CDFs", _CONSTANT, 4, "emd_r2"
    ),
    "std_srcc": _correlation(
        "Spearman's correlation of the deviations", call("spearman", "std", "true_std")
    ),
    "std_plcc": _correlation("Pearson's correlation of the deviations", call("pearson", "std")),
    "acc": _share("share of right labels", call("mean", "right"), "acc"),
    "balanced_acc": _share(
        "mean of the two classes' recalls", Draws.balanced_accuracy, "bal_acc", "1/2"
    ),
    "precision": _share("share of beautiful among those called so", Draws.precision),
    "recall": _share("share of the beautiful that are called so", Draws.recall),
    "f1": _share("harmonic mean of precision and recall", Draws.f1, "f1"),
    "auc": _share("area under the ROC curve of p_beautiful", Draws.area, "auc", "1/2: no order"),
    "brier": _mean("brier", "mean squared error of p_beautiful", _CONSTANT, 3),
    "log_loss": _mean("log_loss", "mean of -log of the truth's probability", _CONSTANT, 3),
    "ece": Metric(
        meaning="mean distance of p_beautiful from the share of beautiful, over ten bins",
        higher_is_better=False,
        floor="near 0: the constant head says the share of beautiful",
        resampled_rows=FEW_ROWS,
        weighted=Draws.calibration_error,
    ),
    "confusion": Metric(
        "counts [[tn, fp], [fn, tp]]",
        None,
        _MAJORITY,
        0,
        formula=confusion_matrix,
        resampled_rows=0,
    ),
    "spread": Metric(
        meaning="deviation of the scores over that of the means",
        higher_is_better=None,
        floor="0: collapsed",
        heading="spread",
        weighted=Draws.spread,
    ),
}


# In the groups of `heads.metrics.choosing`, whose sums they are computed from; None without groups.
# Where comparisons are all that is known, `pair_acc` is the share of these, the others are None.
METRICS |= {
    "pair_acc": Metric(
        "share of pairs within a group that are put in people's order", True, "1/2: no order"
    ),
    "best_of_group": Metric(
        "share of groups whose best by people is chosen", True, "the mean of 1 / size: chance"
    ),
    "regret": Metric(
        "mean of the best in a group, less that of the chosen one", False, "that of chance"
    ),
    "decided": Metric(
        "share of pairs within a group that are not too close to call", None, "0: none"
    ),
    "decided_acc": Metric("share of the decided pairs that are in people's order", True, "none"),
}
# Of the intervals of `heads.metrics.conformal`; None for a head without.
METRICS |= {
    "coverage": Metric(
        "share of means within their 90 % interval",
        None,
        "0.9, as intended",
        weighted=call("bounded", "covered"),
    ),
    "interval_width": Metric(
        "mean width of the 90 % intervals", False, _CONSTANT, weighted=call("bounded", "width")
    ),
}
CHOOSING = ("pair_acc", "best_of_group", "regret")


def ranked_by(labels: Labels) -> str:
    """Return the metric that heads are put in order by: AUC where labels are 0 or 1."""
    if labels.pairs_alone:
        return "pair_acc"
    return "srcc" if labels.has_means else "auc"


def evaluate(prediction: Prediction, labels: Labels) -> dict[str, Value]:
    """Return every metric of `METRICS`, in its order, for predictions of n photographs.

    Raises:
        HeadError: there is no photograph.
    """
    if not len(labels):
        raise HeadError("There is no photograph to measure predictions on; extract some first.")
    if labels.pairs_alone:
        agreed = agreement(prediction.score, labels, np.ones((len(labels), 1)))
        return {**dict.fromkeys(METRICS), "pair_acc": float(agreed[0])}
    once = Terms(prediction, labels).draws(np.ones((len(labels), 1)))
    values = {name: _value(metric, once, prediction, labels) for name, metric in METRICS.items()}
    if (choices := Choices.of(labels)) is not None:
        found = rates(choices.sums_of(prediction), np.ones((len(choices.starts), 1)))
        values |= {name: float(column[0]) for name, column in found.items()}
    return values


def _value(metric: Metric, once: Draws, prediction: Prediction, labels: Labels) -> Value:
    if metric.formula is not None:
        return metric.formula(prediction, labels)
    column = None if metric.weighted is None else metric.weighted(once)
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
    if labels.challenge is None or not labels.has_means:
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
