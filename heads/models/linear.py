"""Linear models on the signed root of features, and ridge regression for every penalty at once.

Numpy only. Features pass in blocks, so nothing of the size of the features is held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cache.text import quoted
from cache.types import FloatArray, IntArray
from heads.data.features import (
    FeatureRows,
    Float32Array,
    roots_of_views,
    signed_root,
    view_mean_blocks,
)
from heads.data.labels import Labels, clusters
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.models.base import About, Answers, Arrays, State, Values
from heads.models.calibration import calibrate
from heads.models.neural.settings import LEFT_OUT, ClosedFormSettings

# Strongest first, so that of equally good penalties the strongest is taken. Relative to
# correlations: scikit-learn's alpha is n times as large.
PENALTIES: FloatArray = np.logspace(3, -4, 22)
# A feature whose variance is below this share of its squared mean is constant but for rounding:
# float16 itself resolves a share of 1e-7.
CONSTANT = 1e-10
# Deviations below this share of the median one are raised to it: a feature that is almost always
# zero would otherwise stand at hundreds of deviations in the few photographs that have it.
SMALLEST_DEVIATION = 0.01
SHIFT_ROWS, BLOCK_ROWS = 1024, 8192
MOST_LEFT_OUT = 5_000
GROUPS, VAL = "groups of train", "val"


@dataclass(frozen=True, eq=False)
class LinearModel:
    """outputs = f(features) @ kernel + bias, where f is the signed root if `root`, else nothing.

    `kernel` (D, K) float32, `bias` (K,) float64. Models of earlier versions have no root.
    """

    kernel: Float32Array
    bias: FloatArray
    root: bool = True

    def outputs(self, X: FeatureRows) -> FloatArray:
        """Return (n, K) float64 from (n, V, D) features, of the mean of the views.

        Raises:
            HeadError: another number of features than the model has.
        """
        width, outputs = self.kernel.shape
        if X.shape[2] != width:
            raise HeadError(
                f"This head was trained on {width} features a photograph; these have "
                f"{X.shape[2]}. Make them as those of its own cache."
            )
        values = np.empty((X.shape[0], outputs))
        for rows, block in view_mean_blocks(X):
            values[rows] = (signed_root(block) if self.root else block) @ self.kernel
        return values + self.bias


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Mean and standard deviation of each feature's root, (D,) float64; inf for a constant feature.

    Dividing by inf takes a constant feature out: its kernel is 0.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, mean: FloatArray, variance: FloatArray) -> FeatureMoments:
        varies = variance > CONSTANT * mean**2
        deviation: FloatArray = np.sqrt(np.where(varies, variance, np.inf))
        if varies.any():
            least = SMALLEST_DEVIATION * float(np.median(deviation[varies]))
            deviation = np.maximum(deviation, least)
        return cls(mean, deviation)

    def standard(self, roots: Float32Array) -> Float32Array:
        """Return (roots - mean) / deviation of (n, D) float32."""
        standard = roots - self.mean.astype(np.float32)
        standard /= self.deviation.astype(np.float32)
        return standard

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
    """The penalties that were tried, their losses on photographs left out, and the best of them.

    `on` says which photographs those were: `GROUPS` or `VAL`.

    Raises:
        ValueError: there is not one loss for each penalty, or the best is none of them.
    """

    penalty: float
    penalties: tuple[float, ...]
    losses: tuple[float, ...]
    on: str

    def __post_init__(self) -> None:
        if len(self.penalties) != len(self.losses) or self.penalty not in self.penalties:
            raise ValueError(
                f"{len(self.penalties)} penalties have {len(self.losses)} losses, or "
                f"{self.penalty:g} is none of them"
            )
        if min(self.penalties) <= 0 or self.on not in (GROUPS, VAL):
            raise ValueError(f"a penalty is not above 0, or was chosen on {quoted(self.on)}")

    @classmethod
    def lowest(cls, penalties: Sequence[float], losses: Sequence[float], on: str) -> PenaltyChoice:
        return cls(penalties[int(np.argmin(losses))], tuple(penalties), tuple(losses), on)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "penalty": self.penalty,
            "penalties": self.penalties,
            "left_out_losses": self.losses,
            "left_out": self.on,
        }

    @classmethod
    def from_dict(cls, values: Values) -> PenaltyChoice:
        """Rebuild it; earlier versions chose on val."""
        losses = values["left_out_losses" if "left_out_losses" in values else "val_losses"]
        tried = tuple(values["penalties"]), tuple(losses)
        return cls(float(values["penalty"]), *tried, str(values.get("left_out", VAL)))


class LinearHead(ABC):
    """What heads of one `LinearModel` share: predicting, and how they are saved and come back.

    `chosen_by` names the loss that its penalty is to make low, as the axis of a plot does;
    `learns` names what such a head learns besides the model, `scale_` (lo, hi) or `platt_` (a, b);
    `choice_` is that of its penalty; `note_` what must be said of it, mostly ''.
    """

    about: About
    tuned: ClassVar[ClosedFormSettings] = ClosedFormSettings(penalty=LEFT_OUT)
    chosen_by: ClassVar[str]
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

    def _calibrate(self, left_out: FloatArray, labels: Labels, middle: float) -> None:
        """Learn probabilities from what was said (m,) of photographs while they were left out."""
        self.platt_, self.note_ = calibrate(left_out, labels.beautiful, middle)

    def state(self) -> State:
        """Return kernel and bias, and how penalty and probabilities were chosen."""
        learned = {name: list(getattr(self, f"{name}_")) for name in self.learns}
        values: dict[str, Any] = {
            **self.choice_.to_dict(),
            "note": self.note_,
            "root": self.model_.root,
            **learned,
        }
        return {"kernel": self.model_.kernel, "bias": self.model_.bias}, values

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head; earlier versions took no root."""
        head = cls()
        head.model_ = LinearModel(arrays["kernel"], arrays["bias"], bool(values.get("root")))
        head.choice_ = PenaltyChoice.from_dict(values)
        head.note_ = str(values["note"])
        for name in cls.learns:
            setattr(head, f"{name}_", tuple(values[name]))
        return head


# --- ridge regression -----------------------------------------------------------------------------


def choose_ridge(
    X: FeatureRows,
    targets: FloatArray,
    labels: Labels,
    val: tuple[FeatureRows, Labels],
    loss: Callable[[FloatArray, Labels], float],
) -> tuple[LinearModel, PenaltyChoice, LeftOut]:
    """Fit ridge regression for all of `PENALTIES` and keep the best on photographs left out.

    Those are the groups of train, each in turn: all, or the first that hold `MOST_LEFT_OUT`, which
    tell the penalties apart as well. Where there are no groups they are val: of near-duplicates
    that nobody named, the others would give away the one that is left out.

    Args:
        X: (n, V, D) features.
        targets: (n, K) float64.
        labels: of the same n photographs.
        val: features and labels of val.
        loss: from outputs (m, K), and labels of the same photographs, to what is to be low.

    Returns:
        The model, the choice, and what was said at that penalty of the photographs left out.
    """
    at_mean = targets.mean(axis=0)
    basis = Basis.of(X, targets - at_mean)
    cluster = groups_of(labels)
    if cluster is None:
        outputs, some, on = basis.outputs(val[0], at_mean, PENALTIES), val[1], VAL
    else:
        rows = np.flatnonzero(cluster < np.unique(cluster[:MOST_LEFT_OUT]).size)
        outputs = at_mean + basis.left_out(X, targets - at_mean, cluster, rows, PENALTIES)
        some, on = labels.take(rows), GROUPS
    losses = [loss(each, some) for each in outputs]
    choice = PenaltyChoice.lowest(PENALTIES.tolist(), losses, on)
    left_out = LeftOut(outputs[int(np.argmin(losses))], some)
    return basis.model(choice.penalty, at_mean), choice, left_out


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What was said of m photographs by models that did not see their groups.

    `outputs` (m, K); `labels` are those of the photographs.
    """

    outputs: FloatArray
    labels: Labels


def groups_of(labels: Labels) -> IntArray | None:
    """Return (n,) numbers of the groups, a photograph without one by itself; None without groups.

    They count up from the first photograph on. All photographs in one group are none, too.
    """
    cluster = clusters(labels.group)
    if not cluster.any() or not (labels.group != "").any():
        return None
    _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


@dataclass(frozen=True, eq=False)
class Basis:
    """The eigenvectors of the features' correlations, in which every penalty is solved at once.

    With Z (n, D) the standardised roots of the features and Y (n, K) the centred targets, the
    coefficients minimise |Y - Z W|^2 / n + penalty |W|^2 (Hoerl and Kennard, 1970), the intercept
    apart. With Z'Z / n = Q E Q',

        W = Q (E + penalty)^-1 Q' Z'Y / n.

    Where n < D, Z Z' / n = U E U' is the smaller matrix, and Q = Z' U (n E)^-1/2 (Saunders,
    Gammerman and Vovk, 1998).

    `values` E (r,), `vectors` Q (D, r), `rotated` Q' Z'Y / n (r, K).
    """

    n: int
    moments: FeatureMoments
    values: FloatArray
    vectors: FloatArray
    rotated: FloatArray

    @classmethod
    def of(cls, X: FeatureRows, centred: FloatArray) -> Basis:
        """Decompose (n, V, D) features; `centred` are the targets (n, K)."""
        solve = _gram_basis if X.shape[0] >= X.shape[2] else _kernel_basis
        return solve(X, centred)

    def model(self, penalty: float, at_mean: FloatArray) -> LinearModel:
        """Return the model with one penalty."""
        shrunk = self.rotated / (self.values + penalty)[:, None]
        return self.moments.raw_model(self.vectors @ shrunk, at_mean)

    def outputs(self, X: FeatureRows, at_mean: FloatArray, penalties: FloatArray) -> FloatArray:
        """Return (P, m, K) what each penalty's model says of (m, V, D) features, read once."""
        models = [self.model(penalty, at_mean) for penalty in penalties]
        kernels = np.concatenate([model.kernel for model in models], axis=1)
        joined = LinearModel(kernels, np.concatenate([model.bias for model in models]))
        return joined.outputs(X).reshape(-1, len(models), len(at_mean)).swapaxes(0, 1)

    def left_out(
        self,
        X: FeatureRows,
        centred: FloatArray,
        cluster: IntArray,
        rows: IntArray,
        penalties: FloatArray,
    ) -> Float32Array:
        """Return (P, m, K) what each penalty's model says of m photographs that it did not see.

        `rows` (m,) are theirs, whole clusters. Exactly that of fits to the photographs of all other
        clusters, with the moments and n times the penalty as they are: the fit is linear in the
        targets, Y~ = H Y with

            H = 1 1' / n + Z (Z'Z + n penalty)^-1 Z' = 1 1' / n + P w P',

        P = Z Q and w = 1 / (n (E + penalty)), so that the residuals of a cluster g that is left out
        are (I - H_gg)^-1 (Y - Y~)_g (Cook and Weisberg, "Residuals and Influence in Regression",
        1982, section 3.6).
        """
        weights = 1 / (self.n * (self.values + penalties[:, None]))
        fits = self.n * weights[:, :, None] * self.rotated  # (P, r, K)
        weights = np.concatenate([weights, np.full((len(penalties), 1), 1 / self.n)], axis=1)
        result = np.empty((len(penalties), len(rows), centred.shape[1]), np.float32)
        for some, sizes in _whole_clusters(cluster[rows]):
            places, true = self._places(X[rows[some]]), centred[rows[some]]
            residual = true - places[:, :-1] @ fits
            result[:, some] = true - _left_out_residuals(places, residual, weights, sizes)
        return result

    def _places(self, features: npt.NDArray[Any]) -> FloatArray:
        """Return P = Z Q (m, r) of (m, V, D) features, and a column of ones."""
        exact = np.float32 if self.n >= len(self.vectors) else np.float64
        standard = self.moments.standard(roots_of_views(features))
        places = standard.astype(exact) @ self.vectors.astype(exact)
        return np.concatenate([places, np.ones((len(places), 1))], axis=1)


def _left_out_residuals(
    places: FloatArray, residual: FloatArray, weights: FloatArray, sizes: IntArray
) -> FloatArray:
    """Return (P, m, K) residuals of whole clusters, whose rows lie together, each left out."""
    if (sizes == 1).all():
        leverage = weights @ (places**2).T
        alone: FloatArray = residual / (1 - leverage)[:, :, None]
        return alone
    parts, start = [], 0
    for size in sizes.tolist():
        rows = slice(start, start + size)
        parts.append(_solved(places[rows], residual[:, rows], weights))
        start += size
    return np.concatenate(parts, axis=1)


def _solved(places: FloatArray, residual: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (I - p w p')^-1 r for one cluster's places (m, r), each weights (r,) and residuals.

    A cluster of more photographs than there are places takes the smaller inverse (Woodbury, 1950),
    I + p (w^-1 - p'p)^-1 p', penalty by penalty.
    """
    m, r = places.shape
    if m <= r:
        hat = (places * weights[:, None]) @ places.T
        return np.asarray(np.linalg.solve(np.eye(m) - hat, residual), np.float64)
    inner, across = places.T @ places, places.T @ residual
    each = zip(weights, across, strict=True)
    solved = np.stack([np.linalg.solve(np.diag(1 / w) - inner, a) for w, a in each])
    return np.asarray(residual + places @ solved)


def _whole_clusters(cluster: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield row numbers of about `BLOCK_ROWS` photographs, cluster by cluster, and their sizes."""
    _, sizes = np.unique(cluster, return_counts=True)
    order = np.argsort(cluster, kind="stable")
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        begin = ends[first] - sizes[first]
        last = max(int(np.searchsorted(ends, begin + BLOCK_ROWS, side="right")), first + 1)
        yield order[begin : ends[last - 1]], sizes[first:last]
        first = last


def _gram_basis(X: FeatureRows, centred: FloatArray) -> Basis:
    """Accumulate Z'Z in float64 from float32 products of blocks: fast, and exact enough.

    Sums are taken about the mean of the first rows, or the subtraction of the squared mean
    would eat the digits.
    """
    n, _, width = X.shape
    gram, cross = np.zeros((width, width)), np.zeros((width, centred.shape[1]))
    total = np.zeros(width)
    shift = roots_of_views(X[:SHIFT_ROWS]).mean(axis=0)
    targets = centred.astype(np.float32)
    for rows, block in view_mean_blocks(X):
        roots = signed_root(block)
        roots -= shift
        total += roots.sum(axis=0, dtype=np.float64)
        gram += roots.T @ roots
        cross += roots.T @ targets[rows]
    shifted = total / n
    covariance = gram / n - np.outer(shifted, shifted)
    moments = FeatureMoments.of(shifted + shift, np.diagonal(covariance))
    covariance /= moments.deviation
    covariance /= moments.deviation[:, None]
    values, vectors = np.linalg.eigh(covariance)
    rotated = vectors.T @ (cross / n / moments.deviation[:, None])
    return Basis(n, moments, np.maximum(values, 0.0), vectors, rotated)


def _kernel_basis(X: FeatureRows, centred: FloatArray) -> Basis:
    roots = roots_of_views(X)
    moments, n = feature_moments(roots), len(roots)
    standard = (roots - moments.mean) / moments.deviation
    values, vectors = np.linalg.eigh(standard @ standard.T / n)
    # Beyond the rank of Z there are directions of rounding only.
    there = values > np.finfo(np.float64).eps * n * max(values[-1], 0.0)
    values, vectors = values[there], vectors[:, there]
    singular = np.sqrt(n * values)
    rotated = (vectors.T @ centred) * (singular / n)[:, None]
    return Basis(n, moments, values, standard.T @ (vectors / singular), rotated)
