"""How far a score may be from what people say, known from val: split conformal intervals.

Owns what is learned of the errors on val, and what it is applied to. Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from cache.types import FloatArray, IntArray
from heads.data.distributions import distribution_std
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.metrics.choosing import belonging, pairs_within

INTENDED = 0.9
# So many groups are the fewest of which a ninety-percent bound is known: 0.9 (K + 1) <= K.
LEAST_GROUPS = 9
MOST_PAIRS = 2**20
LEAST_STD, ROUNDING = 1e-6, 1e-9


@dataclass(frozen=True)
class Intervals:
    """How far off the scores of val were, of `n_groups` groups of photographs.

    `score` is half the width of the 90 % interval of a photograph's mean, on the scale or, where
    `by_std`, in predicted deviations of its votes; `difference` is that of the difference of two
    photographs of one group, on the scale. None for fewer than 9 groups. Where fewer than 9,
    `n_paired`, have two photographs, it is that of photographs of different groups, which is wider
    where errors of one group go together.
    """

    score: float | None
    by_std: bool
    n_groups: int
    difference: float | None
    n_paired: int

    @classmethod
    def of(cls, prediction: Prediction, labels: Labels) -> Self | None:
        """Learn from what a head says of val; None where scores are not on the means' scale."""
        if prediction.ranking_only or not labels.has_means:
            return None
        away, group = labels.mean - prediction.score, belonging(labels)
        std = _deviation(prediction)
        once = np.ones(len(labels))
        difference, n_paired = _difference(away, group)
        return cls(
            score=bound(np.abs(away) / (once if std is None else std), group, once),
            by_std=std is not None,
            n_groups=len(np.unique(group)),
            difference=difference,
            n_paired=n_paired,
        )

    def applied(self, prediction: Prediction) -> Prediction:
        """Return a prediction with what its scores, and differences of them, stay within."""
        std = _deviation(prediction) if self.by_std else None
        once = np.ones(len(prediction))
        score, difference = (np.inf if q is None else q for q in (self.score, self.difference))
        return replace(
            prediction, margin=score * (once if std is None else std), apart=difference * once
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`. Raises TypeError for other names."""
        return cls(**values)


def bounded(prediction: Prediction, intervals: Intervals | None) -> Prediction:
    """Return a prediction with its intervals, or as it is where there are none."""
    return prediction if intervals is None else intervals.applied(prediction)


def bound(errors: FloatArray, group: IntArray, weight: FloatArray) -> float | None:
    """Return what the error of a photograph of a new group stays within, 90 times of 100.

    Groups are exchangeable, photographs of one group are not with others. So beside the errors of K
    groups stands a further group of mean weight, the new one, whose errors may be any; the bound is
    the 0.9 quantile of them all (Lee, Barber and Willett, "Distribution-Free Inference with
    Hierarchical Data", 2023, who give each group one weight). Where each photograph is alone, that
    is the ceil(0.9 (n + 1))-th smallest of n errors (Papadopoulos et al., 2002; Lei et al., 2018).

    Args:
        errors: (m,) float64, at least 0.
        group: numbers, equal ones belong together, of which there are K.
        weight: (m,) float64 above 0, of the errors.

    Returns:
        None for fewer than 9 groups.
    """
    n_groups = len(np.unique(group))
    if n_groups < LEAST_GROUPS:
        return None
    order = np.argsort(errors)
    mass = np.cumsum(weight[order])
    at = np.searchsorted(mass / mass[-1], INTENDED * (1 + 1 / n_groups) - ROUNDING)
    return float(errors[order[at]])


def _difference(away: FloatArray, group: IntArray) -> tuple[float | None, int]:
    """Return the bound of errors' differences, and how many groups have two photographs.

    Of pairs within groups, a group weighing the same whatever its pairs: a series of thirty has
    435. Where such groups are too few, of pairs across groups.
    """
    order = np.argsort(group, kind="stable")
    first, second = (order[place] for place in _joined(pairs_within(group[order])))
    _, member, sizes = np.unique(group[first], return_inverse=True, return_counts=True)
    weight = 1 / sizes[member]
    if len(sizes) < LEAST_GROUPS:
        steps = range(1, min(len(group), 1 + MOST_PAIRS // len(group)))
        first, second = _joined(
            (np.arange(len(group) - s), np.arange(s, len(group))) for s in steps
        )
        apart = group[first] != group[second]
        first, second, member = first[apart], second[apart], group
        weight = np.ones(len(first))
    return bound(np.abs(away[first] - away[second]), member, weight), len(sizes)


def _joined(pairs: Iterable[tuple[IntArray, IntArray]]) -> tuple[IntArray, IntArray]:
    found = [(np.empty(0, np.int64), np.empty(0, np.int64)), *pairs]
    first, second = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second


def _deviation(prediction: Prediction) -> FloatArray | None:
    """Return the predicted standard deviation (n,) of votes, kept above 0; None without."""
    if prediction.distribution is None:
        return None
    return np.maximum(distribution_std(prediction.distribution), LEAST_STD)
