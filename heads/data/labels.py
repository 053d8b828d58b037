"""Labels as the heads see them: the table of labels, and what is read off the votes.

Owns the meaning of `distribution`, `beautiful` and of what is drawn together. Numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cache.labels import LabelTable, check_votes
from cache.text import quoted
from cache.types import FloatArray, IntArray, TextArray, decimal_number, decimal_of
from heads.errors import HeadError

BoolArray = npt.NDArray[np.bool_]
MAX_INT64, EXACT_IN_FLOAT64 = 2**63 - 1, 2**53


def above(values: FloatArray, threshold: str) -> BoolArray:
    """Return (n,) bool, which of the values (n,) float64 lie above a decimal threshold, exactly.

    A value stands for the shortest decimal that reads back as it, which is the one that people
    wrote: 5.1 ties with the threshold 5.1, though the nearest float64 is a little less.
    """
    exact = decimal_number(threshold)
    nearest = float(exact)
    # Rounding keeps the order, so only values equal to the rounded threshold need a closer look.
    return values >= nearest if decimal_of(nearest) > exact else values > nearest


def clusters(group: TextArray) -> IntArray:
    """Return (n,) int64 numbers 0..C-1 of what is drawn together; without a group, each alone.

    Where each is alone, photograph i has the number i.
    """
    grouped = group != ""
    names, number = np.unique(group[grouped], return_inverse=True)
    cluster = np.empty(len(group), np.int64)
    cluster[grouped] = number
    cluster[~grouped] = len(names) + np.arange(np.count_nonzero(~grouped))
    if len(cluster) and cluster.max() + 1 == len(cluster):
        return np.arange(len(cluster))
    return cluster


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels(LabelTable):
    """What people said of n photographs; the columns are those of `LabelTable`.

    `pairs` (P, 2) are row numbers of each comparison's winner and loser, None where there is no
    file of them.

    Raises:
        HeadError: the threshold is no number.
        LabelError: as `check_votes`.
    """

    pairs: IntArray | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_votes(self)
        try:
            decimal_number(self.threshold)
        except ValueError as error:
            raise HeadError(
                f"The threshold of beautiful is {quoted(self.threshold)}, {error}."
            ) from None

    def take(self, rows: npt.NDArray[Any] | slice) -> Self:
        """Return some rows (indices, mask or slice), with the comparisons of two of them."""
        taken = super().take(rows)
        if self.pairs is None:
            return taken
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(taken))
        pairs = place[self.pairs]
        return replace(taken, pairs=pairs[(pairs >= 0).all(axis=1)])

    @classmethod
    def concat(cls, parts: Sequence[LabelTable]) -> Self:
        """Put tables below each other, as `LabelTable`, with the comparisons of each."""
        joined, start, pairs = super().concat(parts), 0, []
        for part in parts:
            if isinstance(part, Labels) and part.pairs is not None:
                pairs.append(part.pairs + start)
            start += len(part)
        return replace(joined, pairs=np.concatenate(pairs)) if pairs else joined

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
        n, levels = self.n_votes, np.arange(1, self.levels + 1, dtype=np.int64)
        total, squares = (self.need_votes() @ levels**power for power in (1, 2))
        if self.levels**2 * int(n.max(initial=0)) ** 2 > EXACT_IN_FLOAT64:
            n, total, squares = (each.astype(object) for each in (n, total, squares))
        variance: FloatArray = ((n * squares - total**2) / n**2).astype(np.float64)
        return np.sqrt(variance)

    @cached_property
    def beautiful(self) -> BoolArray:
        """(n,) bool: the mean lies above the threshold; an exact tie does not.

        With T = num / den, mean > T is den * sum(k n_k) > num * sum(n_k): integers, no rounding.
        """
        if self.votes is None:
            return above(self.mean, self.threshold)
        num, den = decimal_number(self.threshold).as_integer_ratio()
        n, total = self.n_votes, self.votes @ np.arange(1, self.levels + 1, dtype=np.int64)
        if max(den * int(total.max(initial=1)), abs(num) * int(n.max(initial=1))) > MAX_INT64:
            n, total = n.astype(object), total.astype(object)  # Python's integers, of any size
        result: BoolArray = den * total > num * n
        return result

    @cached_property
    def share_above(self) -> FloatArray:
        """(n,) float64 share of votes for ratings above the threshold: a soft label of beautiful.

        The hard label, 0 or 1, for mean-only labels.
        """
        if self.votes is None:
            return self.beautiful.astype(np.float64)
        first = math.floor(decimal_number(self.threshold))  # ratings from first + 1 on lie above
        voted = self.votes[:, max(first, 0) :].sum(axis=1, dtype=np.int64)
        return np.asarray(voted / self.n_votes)

    @property
    def middle_logit(self) -> float:
        """The log-odds of `share_above` where the mean is the threshold; 0 for mean-only labels.

        Of a line through the photographs' log-odds, with half a vote added to either side.
        """
        if self.votes is None or np.ptp(self.mean) == 0:
            return 0.0
        voted = self.share_above * self.n_votes
        log_odds = np.log((voted + 0.5) / (self.n_votes - voted + 0.5))
        slope, at_zero = np.polyfit(self.mean, log_odds, 1)
        return float(slope * float(self.threshold) + at_zero)

    def without_votes(self) -> Self:
        """Return the same means, as of labels that have nothing else."""
        return replace(self, votes=None)

    @cached_property
    def has_means(self) -> bool:
        """Whether there are means that say more than 0 or 1, which is picked or not."""
        if self.pairs_alone:
            return False
        picked = self.votes is None and (self.scale.lo, self.scale.hi) == (0.0, 1.0)
        return not (picked and np.isin(self.mean, (0.0, 1.0)).all())

    def need_votes(self) -> npt.NDArray[np.int32]:
        """Return the votes. Raises HeadError for mean-only labels."""
        if not self.has_means:
            raise HeadError(
                "The labels of this cache are 0 or 1, and distributions need vote counts r1..rK; "
                "with 0 and 1, use logistic or binary."
            )
        if self.votes is None:
            raise HeadError(
                "This cache has means only, and distributions need vote counts r1..rK in the "
                "labels; with means, use heads that need none, such as ridge: see `heads list`."
            )
        return self.votes
