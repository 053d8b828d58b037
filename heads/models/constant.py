"""Heads that never look at a photograph: what every other head has to beat. Numpy only."""

from __future__ import annotations

from typing import Self

import numpy as np

from cache.types import FloatArray
from heads.data.distributions import distribution_mean
from heads.data.features import FeatureRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.models.base import About, Arrays, History, State, Values, need_photographs
from heads.models.neural.settings import ClosedFormSettings


class ConstantHead:
    """The floor: one answer for every photograph, the same for all metrics.

    The score is the mean of the training means, the distribution the mean of the training
    distributions (none for mean-only labels), `p_beautiful` the share of beautiful. The label is
    the majority's, by `p_beautiful`, even where the mean lies on the other side of the threshold.
    Of comparisons alone it says the middle of the scale, and one half.
    """

    about = About(
        "constant",
        "one answer for all, the floor of every metric",
        learns_pairs=True,
        looks_at_photographs=False,
    )
    tuned = ClosedFormSettings()
    distribution_: FloatArray | None

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Average the labels; the features are not looked at."""
        need_photographs(self.about, labels)
        self.score_ = float(labels.mean.mean())
        self.p_beautiful_ = float(labels.beautiful.mean())
        if labels.pairs_alone:
            self.score_, self.p_beautiful_ = (labels.scale.lo + labels.scale.hi) / 2, 0.5
        self.distribution_ = None if labels.votes is None else labels.distribution.mean(axis=0)
        return []

    def predict(self, X: FeatureRows) -> Prediction:
        """Give each of the n photographs the same answer."""
        n, shares = X.shape[0], self.distribution_
        return Prediction(
            score=np.full(n, self.score_),
            p_beautiful=np.full(n, self.p_beautiful_),
            distribution=None if shares is None else np.tile(shares, (n, 1)),
            label_by_p=True,
        )

    def state(self) -> State:
        """Return the distribution, if there is one, and the two numbers."""
        arrays = {} if self.distribution_ is None else {"distribution": self.distribution_}
        return arrays, {"score": self.score_, "p_beautiful": self.p_beautiful_}

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head."""
        head = cls()
        head.score_, head.p_beautiful_ = float(values["score"]), float(values["p_beautiful"])
        head.distribution_ = arrays.get("distribution")
        return head


class MeanRatingsHead(ConstantHead):
    """The blog's baseline: the average count of each rating over the sum of these averages.

    This pools all votes, so that a photograph counts by its number of votes. The score is the mean
    of that distribution; the label is the majority's, as the constant head's.
    """

    about = About(
        "mean-ratings",
        "the blog's baseline: all votes pooled",
        needs_votes=True,
        looks_at_photographs=False,
    )

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Pool the votes; the features are not looked at. Raises HeadError without votes."""
        need_photographs(self.about, labels)
        average = labels.need_votes().mean(axis=0, dtype=np.float64)
        self.distribution_ = average / average.sum()
        self.score_ = _mean(self.distribution_)
        self.p_beautiful_ = float(labels.beautiful.mean())
        return []

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head; runs of earlier versions do not hold the score."""
        return super().from_state(arrays, {**values, "score": _mean(arrays["distribution"])})


def _mean(distribution: FloatArray) -> float:
    return float(distribution_mean(distribution[None])[0])
