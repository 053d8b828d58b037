"""Ridge regression in closed form: of the mean score, and of the whole distribution. Numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from cache.types import FloatArray
from heads.data.distributions import distribution_mean, emd, project_onto_simplex
from heads.data.features import FeatureRows
from heads.data.labels import Labels
from heads.models.base import About, Answers, History, need_means, need_photographs
from heads.models.calibration import calibration_note, fit_platt, platt_probability
from heads.models.linear import LinearHead, choose_ridge


class RidgeHead(LinearHead):
    """Ridge regression of the mean score; scores are clipped to the scale.

    The penalty has the lowest mean squared error on validation. (By rank correlation it would be
    nearly free: that hardly moves with the penalty, and cannot see scores shrunk to one value.)
    """

    about = About(
        "ridge",
        "the mean score, ridge regression",
        needs_means=True,
        linear_output="score before it is clipped to the scale",
    )
    learns = ("scale", "platt")

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose one and calibrate on val; nothing is drawn from the seed.

        Raises:
            HeadError: there are too few photographs in train or val.
        """
        need_photographs(self.about.name, labels, labels_val)
        need_means(self.about, labels)
        self.scale_ = (labels.scale.lo, labels.scale.hi)

        def val_mse(outputs: FloatArray) -> float:
            return float(np.mean((self._score(outputs, np) - labels_val.mean) ** 2))

        self.model_, self.choice_ = choose_ridge(X, labels.mean[:, None], X_val, val_mse)
        score = self._score(self.model_.outputs(X_val), np)
        self.platt_ = fit_platt(score, labels_val.beautiful)
        self.note_ = calibration_note(score, labels_val.beautiful)
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Clip the outputs (n, 1) to the scale."""
        score = self._score(outputs, xp)
        return {"score": score, "p_beautiful": platt_probability(score, *self.platt_, xp)}

    def _score(self, outputs: Any, xp: Any) -> Any:
        return xp.clip(outputs[:, 0], *self.scale_)


class RidgeDistHead(LinearHead):
    """Ridge regression of each rating's share, projected onto the simplex of distributions.

    The penalty has the lowest `emd_r2` on validation, after the projection.
    """

    about = About("ridge-dist", "the vote distribution, ridge regression", needs_votes=True)
    learns = ("platt",)

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose one and calibrate on val; nothing is drawn from the seed.

        Raises:
            HeadError: mean-only labels, or too few photographs in train or val.
        """
        need_photographs(self.about.name, labels, labels_val)
        true = labels_val.distribution

        def val_emd(outputs: FloatArray) -> float:
            return float(emd(project_onto_simplex(outputs), true, r=2).mean())

        self.model_, self.choice_ = choose_ridge(X, labels.distribution, X_val, val_emd)
        score = distribution_mean(project_onto_simplex(self.model_.outputs(X_val)))
        self.platt_ = fit_platt(score, labels_val.beautiful)
        self.note_ = calibration_note(score, labels_val.beautiful)
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the distributions nearest to the outputs (n, K)."""
        distribution = project_onto_simplex(outputs, xp)
        score = distribution_mean(distribution, xp)
        p_beautiful = platt_probability(score, *self.platt_, xp)
        return {"score": score, "p_beautiful": p_beautiful, "distribution": distribution}
