"""The metrics' formulas, for photographs that count any number of times.

Numpy only. The plain value of a metric lets each photograph count once; a bootstrap lets it count
as often as it was drawn. One formula serves both, over many draws at once. NaN stands for a value
that is not defined (the correlation of a constant), None for one that does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cache.types import FloatArray
from heads.data.distributions import distribution_std
from heads.data.labels import Labels, Prediction, predicted_label

FAST = (
    *("srcc", "plcc", "mse", "mae", "dist_mse", "emd_r1", "emd_r2", "std_srcc", "std_plcc"),
    *("acc", "balanced_acc", "precision", "recall", "f1", "auc", "spread"),
)


class FastMetrics:
    """The metrics of `FAST` for n photographs that count any number of times."""

    def __init__(self, prediction: Prediction, labels: Labels) -> None:
        called, beautiful = predicted_label(prediction, labels), labels.beautiful
        x, y = _centred(prediction.score), _centred(labels.mean)
        self._terms = {
            **_moments("score", x, y),
            "n": np.ones(len(labels)),
            "tp": called & beautiful,
            "called": called,
            "beautiful": beautiful,
            "right": called == beautiful,
        }
        self._score, self._mean = Levels(prediction.score), Levels(labels.mean)
        self._p_beautiful, self._beautiful = Levels(prediction.p_beautiful), beautiful
        self._p_like_score = self._p_beautiful.same_order(self._score)
        self._errors: list[str] = []
        if not prediction.ranking_only:
            self._add_errors(mse=(prediction.score - labels.mean) ** 2)
            self._add_errors(mae=np.abs(prediction.score - labels.mean))
        self._stds: tuple[Levels, Levels] | None = None
        if prediction.distribution is not None and labels.votes is not None:
            self._add_distributions(prediction.distribution, labels)

    def _add_errors(self, **errors: FloatArray) -> None:
        self._errors += errors
        self._terms |= errors

    def _add_distributions(self, predicted: FloatArray, labels: Labels) -> None:
        gap = predicted - labels.distribution
        self._add_errors(dist_mse=np.mean(gap**2, axis=1))
        np.cumsum(gap, axis=1, out=gap)
        self._add_errors(emd_r1=np.abs(gap).mean(axis=1))
        # NIMA (Talebi and Milanfar, 2018), equation 1 with r = 2, for each photograph.
        self._add_errors(emd_r2=np.sqrt(np.mean(gap**2, axis=1)))
        stds = distribution_std(predicted), labels.std
        self._terms |= _moments("std", *map(_centred, stds))
        self._stds = Levels(stds[0]), Levels(stds[1])

    def of(self, counts: FloatArray) -> dict[str, FloatArray | None]:
        """Return each metric as (B,) values, or None where it does not apply.

        Args:
            counts: (n, B) float64; column b says how often draw b holds each photograph.
        """
        columns = np.array([*self._terms.values()], np.float64) @ counts
        sums = dict(zip(self._terms, columns, strict=True))
        values: dict[str, FloatArray | None] = dict.fromkeys(FAST)
        values |= {name: sums[name] / sums["n"] for name in self._errors}
        values |= _label_metrics(sums) | self._rank_metrics(counts)
        values["plcc"] = _pearson("score", sums)
        if self._stds is not None:
            values["std_plcc"] = _pearson("std", sums)
        var_x, var_y, _ = _covariances("score", sums)
        values["spread"] = np.sqrt(_ratio(var_x, var_y, np.nan))
        return values

    def _rank_metrics(self, counts: FloatArray) -> dict[str, FloatArray]:
        score = self._score.ranks(counts)
        p_beautiful = score if self._p_like_score else self._p_beautiful.ranks(counts)
        values = {
            "auc": _area(p_beautiful[self._beautiful], counts[self._beautiful], counts),
            "srcc": rank_correlation(score, self._mean.ranks(counts), counts),
        }
        if self._stds is not None:
            x, y = (std.ranks(counts) for std in self._stds)
            values["std_srcc"] = rank_correlation(x, y, counts)
        return values


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


def _label_metrics(sums: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Precision and recall are 0 where nothing was found, as in scikit-learn.

    Balanced accuracy is not defined where the truth has one class.
    """
    tp, called, beautiful, n = (sums[key] for key in ("tp", "called", "beautiful", "n"))
    true_negative = sums["right"] - tp
    recalls = _ratio(tp, beautiful, np.nan), _ratio(true_negative, n - beautiful, np.nan)
    return {
        "acc": sums["right"] / n,
        "balanced_acc": (recalls[0] + recalls[1]) / 2,
        "precision": _ratio(tp, called, 0.0),
        "recall": _ratio(tp, beautiful, 0.0),
        "f1": _ratio(2 * tp, called + beautiful, 0.0),
    }


def _ratio(top: FloatArray, bottom: FloatArray, otherwise: float) -> FloatArray:
    out: FloatArray = np.full(np.shape(top), otherwise)
    return np.divide(top, bottom, out=out, where=bottom > 0)
