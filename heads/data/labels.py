"""Labels as the heads see them: the table of labels, and what is read off the votes.

Owns the meaning of `distribution` and `beautiful`. Numpy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from cache.labels import LabelTable
from cache.types import FloatArray, IntArray
from heads.errors import HeadError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels(LabelTable):
    """What people said of n photographs; the columns are those of `LabelTable`.

    Raises:
        HeadError: the threshold is no number.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            Fraction(self.threshold)
        except (ValueError, ZeroDivisionError):
            raise HeadError(
                f"The threshold of beautiful is a decimal number such as 5 or 4.5; "
                f"got {self.threshold!r}."
            ) from None

    @property
    def n_votes(self) -> IntArray:
        """(n,) int64 votes of each photograph. Raises HeadError for mean-only labels."""
        totals: IntArray = self.need_votes().sum(axis=1, dtype=np.int64)
        return totals

    @cached_property
    def distribution(self) -> FloatArray:
        """(n, K) float64 shares of each rating. Raises HeadError for mean-only labels."""
        return self.need_votes() / self.n_votes[:, None]

    @property
    def std(self) -> FloatArray:
        """(n,) float64 (population) standard deviation of each photograph's votes.

        With N votes, variance is (N sum(k^2 n_k) - sum(k n_k)^2) / N^2: one rounding of integers,
        so that equal deviations are equal numbers and stay ties. Raises HeadError for mean-only
        labels.
        """
        votes, n = self.need_votes(), self.n_votes
        levels = np.arange(1, self.levels + 1, dtype=np.int64)
        variance: FloatArray = (n * (votes @ levels**2) - (votes @ levels) ** 2) / n**2
        return np.sqrt(variance)

    @cached_property
    def beautiful(self) -> BoolArray:
        """(n,) bool: the mean lies above the threshold; an exact tie does not.

        With T = num / den, mean > T is den * sum(k n_k) > num * sum(n_k): integers, no rounding.
        """
        threshold = Fraction(self.threshold)
        if self.votes is None:
            return self.mean > float(threshold)
        total = self.votes @ np.arange(1, self.levels + 1, dtype=np.int64)
        return threshold.denominator * total > threshold.numerator * self.n_votes

    @cached_property
    def share_above(self) -> FloatArray:
        """(n,) float64 share of votes for ratings above the threshold: a soft label of beautiful.

        The hard label, 0 or 1, for mean-only labels.
        """
        if self.votes is None:
            return self.beautiful.astype(np.float64)
        first = math.floor(Fraction(self.threshold))  # ratings from first + 1 on lie above
        above = self.votes[:, max(first, 0) :].sum(axis=1, dtype=np.int64)
        return np.asarray(above / self.n_votes)

    @property
    def middle_logit(self) -> float:
        """The log-odds of `share_above` where the mean is the threshold; 0 for mean-only labels.

        Of a line through the photographs' log-odds, with half a vote added to either side.
        """
        if self.votes is None or np.ptp(self.mean) == 0:
            return 0.0
        above = self.share_above * self.n_votes
        log_odds = np.log((above + 0.5) / (self.n_votes - above + 0.5))
        slope, at_zero = np.polyfit(self.mean, log_odds, 1)
        return float(slope * float(self.threshold) + at_zero)

    def without_votes(self) -> Self:
        """Return the same means, as of labels that have nothing else."""
        return replace(self, votes=None)

    def need_votes(self) -> npt.NDArray[np.int32]:
        """Return the votes. Raises HeadError for mean-only labels."""
        if self.votes is None:
            raise HeadError(
                "This cache has means only, and distributions need vote counts r1..rK in the "
                "labels; with means, use heads that need none, such as ridge: see `heads list`."
            )
        return self.votes
