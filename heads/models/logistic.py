"""Logistic regression of beautiful: the only module that uses scikit-learn, imported when it fits.

Never imports keras.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cache.types import FloatArray, Scale
from heads.data.features import FeatureRows, Float32Array, mean_of_views
from heads.data.labels import BoolArray, Labels
from heads.data.predictions import ranking_score
from heads.errors import UnsuitableLabelsError
from heads.models.base import About, Answers, History, need_photographs
from heads.models.calibration import sigmoid
from heads.models.linear import (
    FeatureMoments,
    LinearHead,
    LinearModel,
    PenaltyChoice,
    feature_moments,
)

# Mean log-loss + penalty / 2 |w|^2: scikit-learn's C is 1 / (n penalty). Strongest first: each fit
# starts from the one before, and the walk ends where validation grows worse.
LOGISTIC_PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
MAX_ITERATIONS = 300


class LogisticHead(LinearHead):
    """Logistic regression of beautiful, by scikit-learn, on standardised features.

    The penalty has the lowest log-loss on validation. The score is the probability on the scale:
    good for ranking only. Holds the mean of the views of all training photographs in memory.
    """

    about = About(
        "logistic",
        "beautiful or not, logistic regression",
        ranking_only=True,
        linear_output="log-odds of being beautiful",
    )
    learns = ("scale",)

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit from the strongest penalty on, until val grows worse; no draws from the seed.

        Raises:
            HeadError: train holds one class only, or there are too few photographs.
        """
        need_photographs(self.about.name, labels, labels_val)
        _need_two_classes(labels.beautiful)
        self.scale_ = (labels.scale.lo, labels.scale.hi)
        features = mean_of_views(X)
        moments = feature_moments(features)
        features -= moments.mean.astype(np.float32)
        features /= moments.deviation.astype(np.float32)
        self.model_, self.choice_, self.note_ = _logistic_path(
            features, labels.beautiful, moments, X_val, labels_val.beautiful
        )
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the probabilities of log-odds (n, 1)."""
        p_beautiful = sigmoid(outputs[:, 0], xp)
        return {
            "score": ranking_score(p_beautiful, Scale(*self.scale_)),
            "p_beautiful": p_beautiful,
        }


def _logistic_path(
    features: Float32Array,
    beautiful: BoolArray,
    moments: FeatureMoments,
    X_val: FeatureRows,
    beautiful_val: BoolArray,
) -> tuple[LinearModel, PenaltyChoice, str]:
    """Return the best model, the losses, and a note where the solver was cut short."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    learner = LogisticRegression(warm_start=True, max_iter=MAX_ITERATIONS)
    models: list[LinearModel] = []
    losses: list[float] = []
    cut_short: list[float] = []
    for penalty in LOGISTIC_PENALTIES:
        learner.set_params(C=1 / (len(features) * penalty))
        with warnings.catch_warnings():
            # Said in the note instead, with the penalty it belongs to.
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(features, beautiful)
        if learner.n_iter_.max() >= MAX_ITERATIONS:
            cut_short.append(penalty)
        coefficients, at_mean = learner.coef_.T, learner.intercept_
        models.append(moments.raw_model(coefficients, at_mean.astype(np.float64)))
        losses.append(_log_loss(models[-1].outputs(X_val)[:, 0], beautiful_val))
        if losses[-1] > min(losses):
            break
    best = int(np.argmin(losses))
    choice = PenaltyChoice.lowest(list(LOGISTIC_PENALTIES[: len(losses)]), losses)
    return models[best], choice, _cut_short_note(choice.penalty in cut_short)


def _cut_short_note(cut_short: bool) -> str:
    if not cut_short:
        return ""
    return f"The solver was stopped after {MAX_ITERATIONS} iterations, before it had converged."


def _log_loss(logits: FloatArray, beautiful: BoolArray) -> float:
    return float(np.mean(np.logaddexp(0.0, logits) - beautiful * logits))


def _need_two_classes(beautiful: BoolArray) -> None:
    if beautiful.all() == beautiful.any():
        kind = "beautiful" if beautiful.any() else "not beautiful"
        raise UnsuitableLabelsError(
            f"The head logistic needs both classes, and all {len(beautiful)} training photographs "
            f"are {kind}. Choose another --threshold, or train ridge instead."
        )
