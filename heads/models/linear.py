"""Linear models on raw features, and ridge regression for every penalty at once.

Numpy only. Features pass in blocks, so nothing of the size of the features is held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from cache.types import FloatArray
from heads.data.features import FeatureRows, Float32Array, mean_of_views, view_mean_blocks
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.models.base import About, Answers, Arrays, State, Values

# Strongest first, so that of equally good penalties the strongest is taken. Relative to
# correlations: scikit-learn's alpha is n times as large.
PENALTIES: FloatArray = np.logspace(3, -4, 22)
# A feature whose variance is below this share of its squared mean is constant but for rounding:
# float16 itself resolves a share of 1e-7.
CONSTANT = 1e-10
SHIFT_ROWS = 1024


@dataclass(frozen=True, eq=False)
class LinearModel:
    """outputs = features @ kernel + bias, from raw features.

    `kernel` (D, K) float32, `bias` (K,) float64.
    """

    kernel: Float32Array
    bias: FloatArray

    def outputs(self, X: FeatureRows) -> FloatArray:
        """Return (n, K) float64 from (n, V, D) features, of the mean of the views.

        Raises:
            HeadError: another number of features than the model has.
        """
        width, outputs = self.kernel.shape
        if X.shape[2] != width:
            raise HeadError(
                f"This head was trained on {width} features a photograph; these have "
                f"{X.shape[2]}. Extract them with the settings of its own cache."
            )
        values = np.empty((X.shape[0], outputs))
        for rows, block in view_mean_blocks(X):
            values[rows] = block @ self.kernel
        return values + self.bias


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Mean and standard deviation of each feature, (D,) float64; inf for a constant feature.

    Dividing by inf takes a constant feature out: its kernel is 0.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, mean: FloatArray, variance: FloatArray) -> FeatureMoments:
        varies = variance > CONSTANT * mean**2
        return cls(mean, np.sqrt(np.where(varies, variance, np.inf)))

    def raw_model(self, coefficients: FloatArray, at_mean: FloatArray) -> LinearModel:
        """Fold the standardisation into a model: (D, K) coefficients, (K,) outputs at the mean."""
        kernel = (coefficients / self.deviation[:, None]).astype(np.float32)
        return LinearModel(kernel, at_mean - self.mean @ kernel.astype(np.float64))


def feature_moments(features: Float32Array) -> FeatureMoments:
    """Return the moments of (n, D) float32 features; sums are taken in float64."""
    mean = features.mean(axis=0, dtype=np.float64)
    variance = np.zeros_like(mean)
    step = max(1, 2**23 // features.shape[1])
    for start in range(0, len(features), step):
        away = features[start : start + step] - mean
        variance += np.einsum("nd,nd->d", away, away)
    return FeatureMoments.of(mean, variance / len(features))


@dataclass(frozen=True)
class PenaltyChoice:
    """The penalties that were tried, their validation losses, and the one with the lowest."""

    penalty: float
    penalties: tuple[float, ...]
    val_losses: tuple[float, ...]

    @classmethod
    def lowest(cls, penalties: list[float], losses: list[float]) -> PenaltyChoice:
        return cls(penalties[int(np.argmin(losses))], tuple(penalties), tuple(losses))


class LinearHead(ABC):
    """What heads of one `LinearModel` share: predicting, and how they are saved and come back.

    `learns` names what such a head learns besides the model, `scale_` (lo, hi) or `platt_` (a, b);
    `choice_` is that of its penalty; `note_` what must be said of it, mostly ''.
    """

    about: About
    learns: ClassVar[tuple[str, ...]]
    model_: LinearModel
    choice_: PenaltyChoice
    note_: str
    scale_: tuple[float, float]
    platt_: tuple[float, float]

    @abstractmethod
    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Turn the model's outputs (n, width) into answers."""

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from (n, V, D) features. Raises HeadError if D differs."""
        answers = self.decode(self.model_.outputs(X), np)
        return Prediction(**answers, ranking_only=self.about.ranking_only)

    def state(self) -> State:
        """Return kernel and bias, and how penalty and probabilities were chosen."""
        learned = {name: list(getattr(self, f"{name}_")) for name in self.learns}
        values: dict[str, Any] = {**vars(self.choice_), "note": self.note_, **learned}
        return {"kernel": self.model_.kernel, "bias": self.model_.bias}, values

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head."""
        head = cls()
        head.model_ = LinearModel(arrays["kernel"], arrays["bias"])
        tried = tuple(values["penalties"]), tuple(values["val_losses"])
        head.choice_ = PenaltyChoice(float(values["penalty"]), *tried)
        head.note_ = str(values["note"])
        for name in cls.learns:
            setattr(head, f"{name}_", tuple(values[name]))
        return head


def choose_ridge(
    X: FeatureRows,
    targets: FloatArray,
    X_val: FeatureRows,
    val_loss: Callable[[FloatArray], float],
) -> tuple[LinearModel, PenaltyChoice]:
    """Fit ridge regression for all of `PENALTIES` and keep the best on validation.

    Args:
        X, X_val: (n, V, D) features.
        targets: (n, K) float64.
        val_loss: from outputs (n_val, K) to what is to be low.
    """
    models = ridge_path(X, targets, PENALTIES)
    width = targets.shape[1]
    together = LinearModel(
        np.concatenate([m.kernel for m in models], axis=1),
        np.concatenate([m.bias for m in models]),
    )
    outputs = together.outputs(X_val).reshape(-1, len(models), width)
    losses = [val_loss(outputs[:, p]) for p in range(len(models))]
    choice = PenaltyChoice.lowest(PENALTIES.tolist(), losses)
    return models[int(np.argmin(losses))], choice


def ridge_path(X: FeatureRows, targets: FloatArray, penalties: FloatArray) -> list[LinearModel]:
    """Return the ridge model of each penalty, from one eigendecomposition.

    With Z (n, D) the standardised features and Y (n, K) the centred targets, the coefficients
    minimise |Y - Z W|^2 / n + penalty |W|^2 (Hoerl and Kennard, 1970). With Z'Z / n = Q E Q',

        W = Q (E + penalty)^-1 Q' Z'Y / n                         for n >= D,

    and with Z Z' / n = U E U' the same W is Z' U (E + penalty)^-1 U' Y / n (Saunders, Gammerman
    and Vovk, 1998): the smaller matrix is decomposed. The intercept is not penalised.
    """
    at_mean = targets.mean(axis=0)
    solve = _gram_path if X.shape[0] >= X.shape[2] else _kernel_path
    moments, coefficients = solve(X, targets - at_mean, penalties)
    return [moments.raw_model(w, at_mean) for w in coefficients]


def _gram_path(
    X: FeatureRows, centred: FloatArray, penalties: FloatArray
) -> tuple[FeatureMoments, list[FloatArray]]:
    """Accumulate Z'Z in float64 from float32 products of blocks: fast, and exact enough.

    Sums are taken about the mean of the first rows, or the subtraction of the squared mean
    would eat the digits.
    """
    n, _, width = X.shape
    gram, cross = np.zeros((width, width)), np.zeros((width, centred.shape[1]))
    total, shift = np.zeros(width), mean_of_views(X[:SHIFT_ROWS]).mean(axis=0)
    targets = centred.astype(np.float32)
    for rows, block in view_mean_blocks(X):
        block -= shift
        total += block.sum(axis=0, dtype=np.float64)
        gram += block.T @ block
        cross += block.T @ targets[rows]
    shifted = total / n
    covariance = gram / n - np.outer(shifted, shifted)
    moments = FeatureMoments.of(shifted + shift, np.diagonal(covariance))
    covariance /= moments.deviation
    covariance /= moments.deviation[:, None]
    values, vectors = np.linalg.eigh(covariance)
    rotated = vectors.T @ (cross / n / moments.deviation[:, None])
    return moments, [vectors @ _shrunk(rotated, values, p) for p in penalties]


def _kernel_path(
    X: FeatureRows, centred: FloatArray, penalties: FloatArray
) -> tuple[FeatureMoments, list[FloatArray]]:
    features = mean_of_views(X)
    moments = feature_moments(features)
    standard = (features - moments.mean) / moments.deviation
    values, vectors = np.linalg.eigh(standard @ standard.T / len(standard))
    rotated = vectors.T @ centred / len(standard)
    back = standard.T @ vectors
    return moments, [back @ _shrunk(rotated, values, p) for p in penalties]


def _shrunk(rotated: FloatArray, values: FloatArray, penalty: float) -> FloatArray:
    return rotated / (np.maximum(values, 0.0) + penalty)[:, None]
