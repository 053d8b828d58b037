"""Ridge regression in closed form: of the mean score, and of the whole distribution. Numpy only."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from cache.types import FloatArray
from heads.data.distributions import (
    centred_log_shares,
    distribution_mean,
    emd,
    project_onto_simplex,
    softmax,
)
from heads.data.features import FeatureRows
from heads.data.labels import Labels
from heads.models.base import (
    About,
    Answers,
    Arrays,
    History,
    State,
    Values,
    need_means,
    need_photographs,
)
from heads.models.calibration import platt_probability
from heads.models.linear import LinearHead, choose_ridge


class RidgeHead(LinearHead):
    """Ridge regression of the mean score; scores are clipped to the scale.

    The penalty has the lowest mean squared error on groups of train left out, or val. (By rank
    correlation it would be nearly free: that hardly moves with the penalty, and cannot see scores
    shrunk to one value.)
    """

    about = About(
        "ridge",
        "the mean score, ridge regression",
        needs_means=True,
        linear_output="score before it is clipped to the scale",
    )
    chosen_by = "MSE (points²)"
    learns = ("scale", "platt")

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose and calibrate on what is left out; no draws from the seed.

        Raises:
            HeadError: there are too few photographs in train or val.
        """
        need_photographs(self.about, labels, labels_val)
        need_means(self.about, labels)
        self.scale_ = (labels.scale.lo, labels.scale.hi)

        def mse(outputs: FloatArray, true: Labels) -> float:
            return float(np.mean((self._score(outputs, np) - true.mean) ** 2))

        self.model_, self.choice_, left_out = choose_ridge(
            X, labels.mean[:, None], labels, (X_val, labels_val), mse
        )
        score = self._score(left_out.outputs, np)
        self._calibrate(score, left_out.labels, float(labels.threshold))
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Clip the outputs (n, 1) to the scale."""
        score = self._score(outputs, xp)
        return {"score": score, "p_beautiful": platt_probability(score, *self.platt_, xp)}

    def _score(self, outputs: Any, xp: Any) -> Any:
        return xp.clip(outputs[:, 0], *self.scale_)


class RidgeDistHead(LinearHead):
    """Ridge regression of the logarithms of the ratings' shares, from which softmax leads back.

    The penalty has the lowest `emd_r2` on groups of train left out, or val. Runs of earlier
    versions learned the shares themselves, projected onto the simplex.
    """

    about = About("ridge-dist", "the vote distribution, ridge regression", needs_votes=True)
    chosen_by = "EMD, r = 2 (share)"
    learns = ("platt",)
    link_ = "softmax"

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose and calibrate on what is left out; no draws from the seed.

        Raises:
            HeadError: mean-only labels, or too few photographs in train or val.
        """
        need_photographs(self.about, labels, labels_val)
        targets, val = centred_log_shares(labels.need_votes()), (X_val, labels_val)
        self.model_, self.choice_, left_out = choose_ridge(X, targets, labels, val, _mean_emd)
        score = distribution_mean(softmax(left_out.outputs))
        self._calibrate(score, left_out.labels, float(labels.threshold))
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the distributions of the outputs (n, K)."""
        link = softmax if self.link_ == "softmax" else project_onto_simplex
        distribution = link(outputs, xp)
        score = distribution_mean(distribution, xp)
        p_beautiful = platt_probability(score, *self.platt_, xp)
        return {"score": score, "p_beautiful": p_beautiful, "distribution": distribution}

    def state(self) -> State:
        """Return what every linear head has, and the link."""
        arrays, values = super().state()
        return arrays, values | {"link": self.link_}

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head."""
        head = super().from_state(arrays, values)
        head.link_ = values.get("link", "simplex")
        return head


def _mean_emd(outputs: FloatArray, true: Labels) -> float:
    return float(emd(softmax(outputs), true.distribution, r=2).mean())
