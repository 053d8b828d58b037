"""The metrics' formulas, for photographs that count any number of times.

Numpy only. The plain value of a metric lets each photograph count once; a bootstrap lets it count
as often as it was drawn. One formula serves both, over many draws at once. NaN stands for a value
that is not defined (the correlation of a constant), None for one that does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray
from heads.data.distributions import distribution_std, emd
from heads.data.labels import Labels
from heads.data.predictions import Prediction, predicted_label

# A probability of 0 for what is true would cost without bound.
LEAST = 1e-15
CALIBRATION_BINS = 10


class Terms:
    """What each of n photographs adds to the metrics, and their orders: prepared once.

    `draws` is then quick, whatever the number of photographs that count several times.
    """

    def __init__(self, prediction: Prediction, labels: Labels) -> None:
        called, beautiful = predicted_label(prediction, labels.threshold), labels.beautiful
        terms: dict[str, npt.NDArray[Any]] = {
            "n": np.ones(len(labels)),
            "tp": called & beautiful,
            "called": called,
            "beautiful": beautiful,
            "right": called == beautiful,
        }
        self.levels = {"score": Levels(prediction.score)}
        self.bounds: dict[str, FloatArray] = {}
        if labels.has_means:
            terms |= _moments("score", _centred(prediction.score), _centred(labels.mean))
            self.levels["mean"] = Levels(labels.mean)
        p_beautiful = Levels(prediction.p_beautiful)
        if not p_beautiful.same_order(self.levels["score"]):
            self.levels["p_beautiful"] = p_beautiful
        self.beautiful, self.p_beautiful = beautiful, prediction.p_beautiful
        p = prediction.p_beautiful
        p = np.clip(np.where(beautiful, p, 1 - p), LEAST, 1)
        terms |= {"brier": (1 - p) ** 2, "log_loss": -np.log(p)}
        if labels.has_means and not prediction.ranking_only:
            terms["mse"] = (prediction.score - labels.mean) ** 2
            terms["mae"] = np.abs(prediction.score - labels.mean)
        if prediction.margin is not None and labels.has_means:
            known, away = np.isfinite(prediction.margin), np.abs(prediction.score - labels.mean)
            # Apart from the others: a product of matrices of another size rounds otherwise.
            self.bounds = {
                "known": known.astype(np.float64),
                "covered": (known & (away <= prediction.margin)).astype(np.float64),
                "width": np.where(known, 2 * prediction.margin, 0.0),
            }
        if prediction.distribution is not None and labels.votes is not None:
            predicted, true = prediction.distribution, labels.distribution
            terms["dist_mse"] = np.mean((predicted - true) ** 2, axis=1)
            terms["emd_r1"] = emd(predicted, true, r=1)
            terms["emd_r2"] = emd(predicted, true, r=2)
            stds = distribution_std(predicted), labels.std
            terms |= _moments("std", *map(_centred, stds))
            self.levels |= {"std": Levels(stds[0]), "true_std": Levels(stds[1])}
        self.names = tuple(terms)
        self.per_photograph = np.array([*terms.values()], np.float64)

    def draws(self, counts: FloatArray) -> Draws:
        """Return B draws of the photographs.

        Args:
            counts: (n, B) float64; column b says how often draw b holds each photograph.
        """
        return Draws(self, counts)


class Draws:
    """B draws of photographs: (B,) sums of `Terms` and (n, B) mid-ranks, each worked out once."""

    def __init__(self, terms: Terms, counts: FloatArray) -> None:
        self.counts, self._terms = counts, terms
        self.sums = dict(zip(terms.names, terms.per_photograph @ counts, strict=True))
        self._ranks: dict[str, FloatArray] = {}

    def ranks(self, name: str) -> FloatArray:
        """Return the mid-ranks of the values `name`."""
        if name not in self._ranks:
            self._ranks[name] = self._terms.levels[name].ranks(self.counts)
        return self._ranks[name]

    def mean(self, name: str) -> FloatArray | None:
        """Return the mean of a term, None where it does not apply."""
        return self.sums[name] / self.sums["n"] if name in self.sums else None

    def bounded(self, name: str) -> FloatArray | None:
        """Return the mean of a term over photographs with an interval; None where none has one."""
        terms = self._terms.bounds
        if not terms:
            return None
        return _ratio(terms[name] @ self.counts, terms["known"] @ self.counts, np.nan)

    def pearson(self, name: str) -> FloatArray | None:
        """Return Pearson's correlation of a pair of values with its true one."""
        return _pearson(name, self.sums) if f"{name}_x" in self.sums else None

    def spearman(self, x: str, y: str) -> FloatArray | None:
        """Return Spearman's correlation of two values, None where it does not apply."""
        if not {x, y} <= self._terms.levels.keys():
            return None
        return rank_correlation(self.ranks(x), self.ranks(y), self.counts)

    def kendall(self) -> FloatArray | None:
        """Return tau-b of score and mean (Kendall, "Rank Correlation Methods", 1948, chapter 3).

        With S (n, n) 1 for pairs that both put in one order, -1 in opposite ones and 0 for ties, a
        draw with the counts c has c'Sc / 2 more of the first kind: n^2 numbers, so for few.
        """
        if "mean" not in self._terms.levels:
            return None
        orders = [self._terms.levels[name] for name in ("score", "mean")]
        signs = orders[0].signs() * orders[1].signs()
        tau: FloatArray = np.einsum("nb,nb->b", signs @ self.counts, self.counts) / 2
        n = self.sums["n"]
        for order in orders:
            tied = order.sums(self.counts)
            untied = (n * (n - 1) - (tied * (tied - 1)).sum(axis=0)) / 2
            tau = _ratio(tau, np.sqrt(untied), np.nan)
        return np.clip(tau, -1, 1, out=tau)

    def calibration_error(self) -> FloatArray:
        """Return the mean distance of `p_beautiful` from the share of beautiful, over ten bins.

        The expected calibration error (Naeini, Cooper and Hauskrecht, 2015), of bins that hold
        equally many photographs (Nguyen and O'Connor, 2015). Photographs of equal probability share
        their labels, so that their order does not matter.
        """
        terms, order = self._terms, self._terms.levels[self._p_order]
        n = order.sums(self.counts)
        share = _ratio(order.sums(self.counts * terms.beautiful[:, None]), n, np.nan)
        gaps = order.distinct(terms.p_beautiful)[:, None] - share
        columns = zip(gaps.T, n.T.astype(np.int64), strict=True)
        return np.array([_mean_gap(np.repeat(gap, times)) for gap, times in columns])

    @property
    def _p_order(self) -> str:
        return "p_beautiful" if "p_beautiful" in self._terms.levels else "score"

    def area(self) -> FloatArray:
        """Return the area under the ROC curve of p_beautiful."""
        ranks = self.ranks(self._p_order)
        chosen = self._terms.beautiful
        return _area(ranks[chosen], self.counts[chosen], self.counts)

    def precision(self) -> FloatArray:
        """Return the share of beautiful among those called so; 0 where none is, as scikit-learn."""
        return _ratio(self.sums["tp"], self.sums["called"], 0.0)

    def recall(self) -> FloatArray:
        """Return the share of the beautiful that are called so; 0 where there is none."""
        return _ratio(self.sums["tp"], self.sums["beautiful"], 0.0)

    def f1(self) -> FloatArray:
        """Return the harmonic mean of precision and recall."""
        return _ratio(2 * self.sums["tp"], self.sums["called"] + self.sums["beautiful"], 0.0)

    def balanced_accuracy(self) -> FloatArray:
        """Return the mean of both classes' recalls; not defined where the truth has one class."""
        tp, beautiful = self.sums["tp"], self.sums["beautiful"]
        recall = _ratio(tp, beautiful, np.nan)
        other = _ratio(self.sums["right"] - tp, self.sums["n"] - beautiful, np.nan)
        return (recall + other) / 2

    def spread(self) -> FloatArray | None:
        """Return the deviation of the scores over that of the means; None where there are none."""
        if "score_x" not in self.sums:
            return None
        var_x, var_y, _ = _covariances("score", self.sums)
        return np.sqrt(_ratio(var_x, var_y, np.nan))


class Levels:
    """The order of n values, prepared once: mid-ranks for any counts without sorting again."""

    def __init__(self, values: FloatArray) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        self._ends = np.flatnonzero(np.append(new[1:], True))
        self._level = np.empty(len(values), np.int64)
        self._level[self._order] = np.cumsum(new) - 1

    def same_order(self, other: Levels) -> bool:
        """Whether both put their photographs, ties included, in the same order."""
        return np.array_equal(self._level, other._level)

    def signs(self) -> FloatArray:
        """Return (n, n) float64: 1 where value i is above value j, -1 where below, 0 for a tie."""
        signs: FloatArray = np.sign(self._level[:, None] - self._level).astype(np.float64)
        return signs

    def distinct(self, values: FloatArray) -> FloatArray:
        """Return the (L,) different ones of the values, which are in this order, rising."""
        return values[self._order][self._ends]

    def sums(self, counts: FloatArray) -> FloatArray:
        """Return (L, B) sums of (n, B) counts over the values of each of the L levels."""
        return np.add.reduceat(counts[self._order], np.append(0, self._ends[:-1] + 1), axis=0)

    def ranks(self, counts: FloatArray) -> FloatArray:
        """Return the mid-ranks (n, B) of the values when value i stands counts[i, b] times.

        With s[j] counts up to and including level j, that level holds the ranks s[j-1] + 1 .. s[j],
        whose middle is (s[j-1] + s[j] + 1) / 2.
        """
        middle = np.cumsum(counts[self._order], axis=0)
        if len(self._ends) < len(middle):
            middle = middle[self._ends]
        middle[1:] += middle[:-1]
        middle += 1
        middle /= 2
        return middle[self._level]


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Return Spearman's correlation of (n,) values; NaN where one of them is constant."""
    once = np.ones((len(x), 1))
    return float(rank_correlation(Levels(x).ranks(once), Levels(y).ranks(once), once)[0])


def auc(score: FloatArray, beautiful: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of (n,) scores; NaN where all are of one class."""
    once = np.ones((len(score), 1))
    return float(_area(Levels(score).ranks(once)[beautiful], once[beautiful], once)[0])


def rank_correlation(x: FloatArray, y: FloatArray, counts: FloatArray) -> FloatArray:
    """Spearman's correlation is Pearson's of mid-ranks (n, B), whose mean is always (N + 1) / 2."""
    middle = (counts.sum(axis=0) + 1) / 2
    x, y = x - middle, y - middle
    weighted = counts * x
    var_x = np.einsum("nb,nb->b", weighted, x)
    cov = np.einsum("nb,nb->b", weighted, y)
    np.multiply(counts, y, out=weighted)
    var_y = np.einsum("nb,nb->b", weighted, y)
    return _ratio(cov, np.sqrt(var_x) * np.sqrt(var_y), np.nan)


def _area(ranks: FloatArray, positive: FloatArray, counts: FloatArray) -> FloatArray:
    """Area under the ROC curve by the sum of ranks: (R1 - n1 (n1 + 1) / 2) / (n1 n0).

    R1 is the sum of the mid-ranks of the beautiful, which are (n1, B) here (Mann and Whitney, 1947;
    Hanley and McNeil, 1982).
    """
    n1 = positive.sum(axis=0)
    n0 = counts.sum(axis=0) - n1
    rank_sum = np.einsum("nb,nb->b", positive, ranks)
    return _ratio(rank_sum - n1 * (n1 + 1) / 2, n1 * n0, np.nan)


def _mean_gap(gaps: FloatArray) -> float:
    """Return the mean over n photographs of their bin's absolute mean gap; (n,) in order."""
    size, larger = divmod(len(gaps), CALIBRATION_BINS)
    middle = larger * (size + 1)
    first = gaps[:middle].reshape(larger, size + 1).sum(axis=1)
    last = gaps[middle:].reshape(CALIBRATION_BINS - larger, size).sum(axis=1)
    return sum(abs(float(each)) for each in (*first, *last)) / len(gaps)


def _centred(values: FloatArray) -> FloatArray:
    """Move the mean to 0, so that sums of squares keep their digits; a constant becomes 0."""
    return np.zeros_like(values) if np.ptp(values) == 0 else values - values.mean()


def _moments(name: str, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
    terms = {"x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
    return {f"{name}_{key}": term for key, term in terms.items()}


def _covariances(name: str, sums: Mapping[str, FloatArray]) -> tuple[FloatArray, ...]:
    """Return var(x), var(y) and cov(x, y), each (B,); what is only rounding becomes 0."""
    x, y, xx, yy, xy = (sums[f"{name}_{key}"] / sums["n"] for key in ("x", "y", "xx", "yy", "xy"))
    var_x, var_y = xx - x * x, yy - y * y
    rounding = 1e-14
    return (
        np.where(var_x > rounding * xx, var_x, 0.0),
        np.where(var_y > rounding * yy, var_y, 0.0),
        xy - x * y,
    )


def _pearson(name: str, sums: Mapping[str, FloatArray]) -> FloatArray:
    var_x, var_y, cov = _covariances(name, sums)
    return _ratio(cov, np.sqrt(var_x) * np.sqrt(var_y), np.nan)


def _ratio(top: FloatArray, bottom: FloatArray, otherwise: float) -> FloatArray:
    out: FloatArray = np.full(np.shape(top), otherwise)
    return np.divide(top, bottom, out=out, where=bottom > 0)
