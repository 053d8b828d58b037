"""How well predictions agree with labels: every metric by the name that files and tables use.

Numpy, and scipy for Kendall's tau; most formulas stand in counted.py. NaN stands for a value that
is not defined here (the correlation of a constant), None for one that does not apply to this head
or these labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from cache.errors import HeadError
from cache.types import FloatArray, IntArray
from heads.data.distributions import ratings
from heads.data.labels import Labels, Prediction, predicted_label
from heads.metrics.weighted import FastMetrics, spearman

MIN_WITHIN = 10
HALVINGS = 10

Value = float | list[list[int]] | None


@dataclass(frozen=True)
class Metric:
    """What a table must know of a metric.

    `higher_is_better` is None where neither end is good; `floor` says what a head that learned
    nothing gets; `undefined` is what a table shows for NaN (None: a dash).
    """

    meaning: str
    higher_is_better: bool | None
    floor: str
    decimals: int = 3
    undefined: float | None = None


_NO_ORDER = "0: a constant puts photographs in no order"
_MAJORITY = "the majority's"
_CONSTANT = "the constant head's"

METRICS: dict[str, Metric] = {
    "srcc": Metric("Spearman's rank correlation of score and mean", True, _NO_ORDER, 3, 0.0),
    "plcc": Metric("Pearson's correlation of score and mean", True, _NO_ORDER, 3, 0.0),
    "krcc": Metric("Kendall's tau-b of score and mean", True, _NO_ORDER, 3, 0.0),
    "mse": Metric("mean squared error of the score", False, "the variance of the means"),
    "mae": Metric("mean absolute error of the score", False, _CONSTANT),
    "dist_mse": Metric("mean squared error between distributions", False, _CONSTANT, 5),
    "emd_r1": Metric("mean absolute gap between the CDFs", False, _CONSTANT, 4),
    "emd_r2": Metric("root of the mean squared gap between the CDFs", False, _CONSTANT, 4),
    "std_srcc": Metric("Spearman's correlation of the deviations", True, _NO_ORDER, 3, 0.0),
    "std_plcc": Metric("Pearson's correlation of the deviations", True, _NO_ORDER, 3, 0.0),
    "acc": Metric("share of right labels", True, _MAJORITY),
    "balanced_acc": Metric("mean of the two classes' recalls", True, "1/2"),
    "precision": Metric("share of beautiful among those called so", True, _MAJORITY),
    "recall": Metric("share of the beautiful that are called so", True, _MAJORITY),
    "f1": Metric("harmonic mean of precision and recall", True, _MAJORITY),
    "auc": Metric("area under the ROC curve of p_beautiful", True, "1/2: no order"),
    "confusion": Metric("counts [[tn, fp], [fn, tp]]", None, _MAJORITY, 0),
    "spread": Metric("deviation of the scores over that of the means", None, "0: collapsed"),
}
CORRELATIONS = ("srcc", "plcc", "krcc", "std_srcc", "std_plcc")


def evaluate(prediction: Prediction, labels: Labels) -> dict[str, Value]:
    """Return every metric of `METRICS`, in its order, for predictions of n photographs.

    Raises:
        HeadError: there is no photograph.
    """
    if not len(labels):
        raise HeadError("There is no photograph to measure predictions on; extract some first.")
    fast = FastMetrics(prediction, labels)
    values: dict[str, Value] = {
        name: None if column is None else float(column[0])
        for name, column in fast.of(np.ones((len(labels), 1))).items()
    }
    values["krcc"] = kendall(prediction.score, labels.mean)
    values["confusion"] = _confusion(predicted_label(prediction, labels), labels.beautiful)
    return {name: values[name] for name in METRICS}


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


def kendall(score: FloatArray, mean: FloatArray) -> float:
    """Return Kendall's tau-b of (n,) scores and means; NaN where one of them is constant."""
    if np.ptp(score) == 0 or np.ptp(mean) == 0:
        return math.nan
    return float(stats.kendalltau(score, mean).statistic)


def _confusion(called: npt.NDArray[np.bool_], beautiful: npt.NDArray[np.bool_]) -> list[list[int]]:
    counts = np.bincount(2 * beautiful + called, minlength=4)
    return [counts[:2].tolist(), counts[2:].tolist()]


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


# --- how far people agree with each other ---------------------------------------------------------


@dataclass(frozen=True)
class Reliability:
    """How far the votes of one half of the people predict those of the other half.

    `srcc` and `plcc` are the reliabilities of the mean of all votes; the ceilings are the
    correlations with these means that a head which knows the true means would reach.
    """

    srcc: float
    plcc: float
    srcc_ceiling: float
    plcc_ceiling: float
    n_photos: int


def ceiling(labels: Labels, seed: int) -> Reliability | None:
    """Return the reliability; None for labels that do not tell it (see `reliability`)."""
    if labels.votes is None or np.count_nonzero(labels.n_votes >= 2) < 2:
        return None
    return reliability(labels, seed)


def reliability(labels: Labels, seed: int) -> Reliability:
    """Estimate from random halves of each photograph's votes how good any head can get.

    With r the correlation between the halves' means (mean over 10 splits), the mean of twice as
    many votes has the reliability R = 2 r / (1 + r) (Spearman 1910; Brown 1910), and true means
    correlate with it by sqrt(R) (attenuation, Spearman 1904). For ranks this is an approximation.
    A correlation below 0 counts as 0.

    Raises:
        HeadError: mean-only labels, or fewer than two photographs with two votes.
    """
    votes = labels.need_votes()[labels.n_votes >= 2]
    if len(votes) < 2:
        raise HeadError(
            "Reliability compares two halves of each photograph's votes, and needs two photographs "
            f"with at least 2 votes; these labels have {len(votes)}."
        )
    rng = np.random.default_rng(seed)
    halves = [_half_means(votes, rng) for _ in range(HALVINGS)]
    srcc = _step_up([spearman(a, b) for a, b in halves])
    plcc = _step_up([_pearson(a, b) for a, b in halves])
    return Reliability(srcc, plcc, math.sqrt(srcc), math.sqrt(plcc), len(votes))


def _half_means(
    votes: npt.NDArray[np.int32], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw half of each row's votes without replacement; return both halves' means (n,).

    Rating by rating: of the votes left, so many belong to this rating and so many are still wanted
    (the multivariate hypergeometric distribution as a chain of plain ones).
    """
    left = votes.sum(axis=1, dtype=np.int64)
    wanted = left // 2
    half = np.empty(votes.shape, np.int64)
    for k, here in enumerate(votes.T.astype(np.int64)):
        half[:, k] = rng.hypergeometric(here, left - here, wanted)
        left, wanted = left - here, wanted - half[:, k]
    levels = ratings(votes.shape[1])
    rest = votes - half
    return half @ levels / half.sum(axis=1), rest @ levels / rest.sum(axis=1)


def _pearson(x: FloatArray, y: FloatArray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _step_up(correlations: list[float]) -> float:
    r = max(float(np.mean(np.nan_to_num(correlations, nan=0.0))), 0.0)
    return 2 * r / (1 + r)
