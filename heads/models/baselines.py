"""Heads without a network: ridge in closed form, logistic by scikit-learn, and the floors' names.

The only module that uses scikit-learn, which is imported where it is needed: the other heads here
train without it. Never imports keras.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import HeadError, UnsuitableLabelsError
from cache.types import FloatArray, Scale
from heads.data.distributions import distribution_mean, project_onto_simplex
from heads.data.labels import (
    BoolArray,
    Labels,
    Prediction,
    ranking_score,
)
from heads.models.base import FeatureRows, Float32Array, History, mean_of_views
from heads.models.calibration import calibration_note, fit_platt, platt_probability, sigmoid
from heads.models.constant import (
    Arrays,
    ConstantHead,
    MeanRatingsHead,
    State,
    Values,
    need_training,
)
from heads.models.linear import (
    FeatureMoments,
    LinearModel,
    PenaltyChoice,
    choose_ridge,
    feature_moments,
)

# Mean log-loss + penalty / 2 |w|^2: scikit-learn's C is 1 / (n penalty). Strongest first: each fit
# starts from the one before, and the walk ends where validation grows worse.
LOGISTIC_PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
MAX_ITERATIONS = 300


class RidgeHead:
    """Ridge regression of the mean score; scores are clipped to the scale.

    The penalty has the lowest mean squared error on validation. (By rank correlation it would be
    nearly free: that hardly moves with the penalty, and cannot see scores shrunk to one value.)
    """

    name = "ridge"

    def __init__(self, settings: None = None) -> None:
        self.settings = settings

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose one and calibrate on val; nothing is drawn from the seed.

        Raises:
            HeadError: there are too few photographs in train or val.
        """
        need_training(labels, self.name)
        _need_validation(labels_val, self.name)
        self.scale_ = labels.scale

        def val_mse(outputs: FloatArray) -> float:
            return float(np.mean((self._score(outputs) - labels_val.mean) ** 2))

        self.model_, self.choice_ = choose_ridge(X, labels.mean[:, None], X_val, val_mse)
        score = self._score(self.model_.outputs(X_val))
        self.platt_ = fit_platt(score, labels_val.beautiful)
        self.note_ = calibration_note(score, labels_val.beautiful)
        return []

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict scores; X is (n, V, D). Raises HeadError if D differs."""
        score = self._score(self.model_.outputs(X))
        return Prediction(score, platt_probability(score, *self.platt_))

    def _score(self, outputs: FloatArray) -> FloatArray:
        return np.clip(outputs[:, 0], self.scale_.lo, self.scale_.hi)

    def state(self) -> State:
        """Return kernel and bias, and how penalty and probabilities were chosen."""
        values = _linear_values(self.choice_, self.note_)
        values |= {"scale": [self.scale_.lo, self.scale_.hi], "platt": list(self.platt_)}
        return _linear_arrays(self.model_), values

    @classmethod
    def from_state(cls, settings: None, arrays: Arrays, values: Values) -> RidgeHead:
        """Rebuild a fitted head."""
        head = cls(settings)
        head.scale_ = Scale(*values["scale"])
        head.model_, head.choice_, head.note_ = _restored(arrays, values)
        head.platt_ = _pair(values["platt"])
        return head


class RidgeDistHead:
    """Ridge regression of each rating's share, projected onto the simplex of distributions.

    The penalty has the lowest `emd_r2` on validation, after the projection.
    """

    name = "ridge-dist"

    def __init__(self, settings: None = None) -> None:
        self.settings = settings

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit all penalties, choose one and calibrate on val; nothing is drawn from the seed.

        Raises:
            HeadError: mean-only labels, or too few photographs in train or val.
        """
        need_training(labels, self.name)
        _need_validation(labels_val, self.name)
        true = labels_val.distribution

        def val_emd(outputs: FloatArray) -> float:
            gap = np.cumsum(project_onto_simplex(outputs) - true, axis=1)
            return float(np.sqrt(np.mean(gap**2, axis=1)).mean())

        self.model_, self.choice_ = choose_ridge(X, labels.distribution, X_val, val_emd)
        score = distribution_mean(project_onto_simplex(self.model_.outputs(X_val)))
        self.platt_ = fit_platt(score, labels_val.beautiful)
        self.note_ = calibration_note(score, labels_val.beautiful)
        return []

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict distributions; X is (n, V, D). Raises HeadError if D differs."""
        distribution = project_onto_simplex(self.model_.outputs(X))
        score = distribution_mean(distribution)
        return Prediction(score, platt_probability(score, *self.platt_), distribution)

    def state(self) -> State:
        """Return kernel and bias, and how penalty and probabilities were chosen."""
        values = _linear_values(self.choice_, self.note_) | {"platt": list(self.platt_)}
        return _linear_arrays(self.model_), values

    @classmethod
    def from_state(cls, settings: None, arrays: Arrays, values: Values) -> RidgeDistHead:
        """Rebuild a fitted head."""
        head = cls(settings)
        head.model_, head.choice_, head.note_ = _restored(arrays, values)
        head.platt_ = _pair(values["platt"])
        return head


class LogisticHead:
    """Logistic regression of beautiful, by scikit-learn, on standardised features.

    The penalty has the lowest log-loss on validation. The score is the probability on the scale:
    good for ranking only. Holds the mean of the views of all training photographs in memory.
    """

    name = "logistic"

    def __init__(self, settings: None = None) -> None:
        self.settings = settings

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit from the strongest penalty on, until val grows worse; no draws from the seed.

        Raises:
            HeadError: train holds one class only, or there are too few photographs.
        """
        need_training(labels, self.name)
        _need_validation(labels_val, self.name)
        _need_two_classes(labels.beautiful)
        self.scale_ = labels.scale
        features = mean_of_views(X)
        moments = feature_moments(features)
        features -= moments.mean.astype(np.float32)
        features /= moments.deviation.astype(np.float32)
        self.model_, self.choice_, self.note_ = _logistic_path(
            features, labels.beautiful, moments, X_val, labels_val.beautiful
        )
        return []

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict probabilities; X is (n, V, D). Raises HeadError if D differs."""
        p_beautiful = sigmoid(self.model_.outputs(X)[:, 0])
        score = ranking_score(p_beautiful, self.scale_)
        return Prediction(score, p_beautiful, ranking_only=True)

    def state(self) -> State:
        """Return kernel and bias, and how the penalty was chosen."""
        values = _linear_values(self.choice_, self.note_)
        return _linear_arrays(self.model_), values | {"scale": [self.scale_.lo, self.scale_.hi]}

    @classmethod
    def from_state(cls, settings: None, arrays: Arrays, values: Values) -> LogisticHead:
        """Rebuild a fitted head."""
        head = cls(settings)
        head.scale_ = Scale(*values["scale"])
        head.model_, head.choice_, head.note_ = _restored(arrays, values)
        return head


BASELINES = {
    head.name: head
    for head in (ConstantHead, MeanRatingsHead, LogisticHead, RidgeHead, RidgeDistHead)
}


# --- what they share ------------------------------------------------------------------------------


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


def _linear_arrays(model: LinearModel) -> dict[str, npt.NDArray[Any]]:
    return {"kernel": model.kernel, "bias": model.bias}


def _linear_values(choice: PenaltyChoice, note: str) -> dict[str, Any]:
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(choice).items()}
    return values | {"note": note}


def _restored(arrays: Arrays, values: Values) -> tuple[LinearModel, PenaltyChoice, str]:
    choice = PenaltyChoice(
        float(values["penalty"]), tuple(values["penalties"]), tuple(values["val_losses"])
    )
    return LinearModel(arrays["kernel"], arrays["bias"]), choice, str(values["note"])


def _pair(values: list[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _need_validation(labels: Labels, head: str) -> None:
    if not len(labels):
        raise HeadError(
            f"The head {head} chooses its penalty on validation photographs, and there are none. "
            "Extract a val split (--val-fraction above 0)."
        )


def _need_two_classes(beautiful: BoolArray) -> None:
    if beautiful.all() == beautiful.any():
        kind = "beautiful" if beautiful.any() else "not beautiful"
        raise UnsuitableLabelsError(
            f"The head logistic needs both classes, and all {len(beautiful)} training photographs "
            f"are {kind}. Choose another --threshold, or train ridge instead."
        )
