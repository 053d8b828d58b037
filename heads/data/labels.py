"""Labels and predictions as the heads see them, and what both are compared by.

Owns the meaning of `distribution`, `beautiful` and of a predicted label. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import HeadError
from cache.types import FloatArray, IntArray, Scale, TextArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labels:
    """What people said of n photographs.

    Shapes: `image_id` and `group` ('' = none) are (n,) texts; `votes` (n, K) int32 counts of the
    ratings 1..K, or None for mean-only labels; `mean` (n,) float64 on `scale`; `threshold` is a
    decimal text; `challenge` (n,) int32 (0 = unknown) or None.

    Raises:
        HeadError: the columns differ in length, or the threshold is no number.
    """

    image_id: TextArray
    group: TextArray
    votes: npt.NDArray[np.int32] | None
    mean: FloatArray
    scale: Scale
    threshold: str
    challenge: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        columns = (self.group, self.votes, self.mean, self.challenge)
        lengths = {len(self.image_id), *(len(c) for c in columns if c is not None)}
        if len(lengths) != 1:
            raise HeadError(f"The columns of labels need one length; got {sorted(lengths)}.")
        try:
            Fraction(self.threshold)
        except (ValueError, ZeroDivisionError):
            raise HeadError(
                f"The threshold of beautiful is a decimal number such as 5 or 4.5; "
                f"got {self.threshold!r}."
            ) from None

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def levels(self) -> int:
        """K, the number of ratings; 0 for mean-only labels."""
        return 0 if self.votes is None else int(self.votes.shape[1])

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

    def need_votes(self) -> npt.NDArray[np.int32]:
        """Return the votes. Raises HeadError for mean-only labels."""
        if self.votes is None:
            raise HeadError(
                "This cache has means only, and distributions need vote counts r1..rK in the "
                "labels; with means, use heads that need none, such as ridge: see `heads list`."
            )
        return self.votes

    def take(self, rows: npt.NDArray[Any] | slice) -> Labels:
        """Return the labels of some rows (indices, mask or slice)."""
        return Labels(
            image_id=self.image_id[rows],
            group=self.group[rows],
            votes=None if self.votes is None else self.votes[rows],
            mean=self.mean[rows],
            scale=self.scale,
            threshold=self.threshold,
            challenge=None if self.challenge is None else self.challenge[rows],
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a head says of n photographs.

    `score` (n,) float64 on the data's scale; `p_beautiful` (n,) float64 in [0, 1]; `distribution`
    (n, K) float64 whose rows sum to 1, or None. `ranking_only`: the score is a probability in
    disguise, so errors on the scale mean nothing. `label_by_p`: the label follows `p_beautiful`
    although the score is on the scale (see `predicted_label`).

    Raises:
        HeadError: the columns differ in length, or hold NaN or infinity.
    """

    score: FloatArray
    p_beautiful: FloatArray
    distribution: FloatArray | None = None
    ranking_only: bool = False
    label_by_p: bool = False

    def __post_init__(self) -> None:
        columns = [c for c in (self.score, self.p_beautiful, self.distribution) if c is not None]
        lengths = sorted({len(c) for c in columns})
        if len(lengths) != 1:
            raise HeadError(f"The columns of a prediction need one length; got {lengths}.")
        if not all(np.isfinite(c).all() for c in columns):
            raise HeadError(
                "A head predicted NaN or infinity: its training diverged or its features are "
                "damaged. Check them with `cache verify` and lower --lr."
            )

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: npt.NDArray[Any] | slice) -> Prediction:
        """Return the predictions of some rows (indices, mask or slice)."""
        return Prediction(
            score=self.score[rows],
            p_beautiful=self.p_beautiful[rows],
            distribution=None if self.distribution is None else self.distribution[rows],
            ranking_only=self.ranking_only,
            label_by_p=self.label_by_p,
        )


def predicted_label(prediction: Prediction, labels: Labels) -> BoolArray:
    """Return (n,) bool, whether a head calls each photograph beautiful; see `called_beautiful`."""
    return called_beautiful(prediction, labels.threshold)


def called_beautiful(prediction: Prediction, threshold: str) -> BoolArray:
    """Return (n,) bool, whether a head calls each photograph beautiful: the one place it is said.

    A score on the data's scale is compared with the threshold of beautiful, as the truth is;
    where the score only ranks, or the head says so, the probability is compared with 1/2.
    """
    if prediction.ranking_only or prediction.label_by_p:
        return prediction.p_beautiful > 0.5
    return prediction.score > float(Fraction(threshold))


def ranking_score(p_beautiful: FloatArray, scale: Scale) -> FloatArray:
    """Return lo + p (hi - lo): a probability dressed as a score, good for ranking only."""
    return scale.lo + p_beautiful * (scale.hi - scale.lo)
