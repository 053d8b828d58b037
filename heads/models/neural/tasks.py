"""The neural heads: what each is asked to output, and how its outputs become scores.

Numpy only. A task is learned from the training labels (a frozen dataclass of plain numbers, saved
as JSON), encodes labels as targets in the range of its activation, and decodes outputs: with `xp`
numpy arrays in float64, with `xp` keras.ops the tensors of an exported model.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray, Scale
from heads.data.distributions import distribution_mean
from heads.data.features import Float32Array
from heads.data.labels import Labels
from heads.models.base import About, Answers
from heads.models.neural.settings import BLOG, NetworkSettings

# Start biases stay finite where a target's mean touches the end of the activation's range: a
# rating that nobody gave, a column that is constant, a set that is beautiful throughout.
EDGE = 1e-4
# A sigmoid in float32 can come out as 0 or 1, whose log-odds are infinite.
CERTAIN = 1e-6
# Outputs of tanh on train that differ by no more than float32 rounds are the same.
COLLAPSED = 1e-6


class Task(Protocol):
    """Target, activation and loss of a head, learned from the training labels: a dataclass.

    `loss` is a key of `heads.models.neural.network.LOSSES`. `linear_rate` multiplies the learning
    rate of a network without hidden layers. `tuned` are its default settings, `blog` those of the
    blog post.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    about: ClassVar[About]
    activation: ClassVar[str]
    loss: ClassVar[str]
    linear_rate: ClassVar[float] = 1.0
    tuned: ClassVar[NetworkSettings] = NetworkSettings()
    blog: ClassVar[NetworkSettings] = BLOG

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn what encoding needs. Raises HeadError where the labels do not suffice."""
        ...

    def encode(self, labels: Labels) -> Float32Array:
        """Return targets (n, width)."""
        ...

    def start_bias(self, targets: Float32Array) -> Float32Array:
        """Return the bias (width,) that alone gives the mean target."""
        ...

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Turn outputs (n, width) into answers, but for `p_beautiful`.

        The score of a task that only ranks is its log-odds.
        """
        ...


@runtime_checkable
class StretchedTask(Protocol):
    """A task that must see the trained network's outputs on train before it decodes any."""

    def stretched(self, outputs: npt.NDArray[np.floating[Any]]) -> Task:
        """Return the task with the range of the outputs (n, 1) on train."""
        ...


@dataclass(frozen=True)
class DistributionTask(Task):
    """Head `emd`: the share of each rating 1..levels, by softmax and squared EMD."""

    about = About(
        "emd",
        "the vote distribution, softmax and earth mover's distance",
        needs_votes=True,
        linear_rival="ridge-dist",
    )
    activation = "softmax"
    loss = "emd"
    levels: int

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the number of ratings."""
        return cls(labels.need_votes().shape[1])

    def encode(self, labels: Labels) -> Float32Array:
        """Return each photograph's distribution."""
        return labels.distribution.astype(np.float32)

    def start_bias(self, targets: Float32Array) -> Float32Array:
        """Return log of the mean distribution: softmax gives that distribution back."""
        mean: FloatArray = targets.mean(axis=0, dtype=np.float64)
        return np.log(np.maximum(mean, EDGE)).astype(np.float32)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the distribution and its mean."""
        return _of_shares(outputs, xp)


class SigmoidTask(Task):
    """A task whose activation is the sigmoid."""

    activation = "sigmoid"

    def start_bias(self, targets: Float32Array) -> Float32Array:
        """Return the logit of the mean target, of the share of beautiful photographs for one."""
        mean: FloatArray = np.clip(targets.mean(axis=0, dtype=np.float64), EDGE, 1 - EDGE)
        return np.log(mean / (1 - mean)).astype(np.float32)


@dataclass(frozen=True)
class ScaleTask(SigmoidTask):
    """A task with one output on the data's scale `lo` to `hi`."""

    lo: float
    hi: float

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the scale."""
        return cls(labels.scale.lo, labels.scale.hi)


@dataclass(frozen=True)
class UnitMeanTask(ScaleTask):
    """Head `sigmoid`: the mean score, scaled from the data's scale to [0, 1]."""

    about = About(
        "sigmoid",
        "the mean score in [0, 1], sigmoid and squared error",
        needs_means=True,
        linear_output="logit of the score's place on the scale",
        linear_rival="ridge",
    )
    loss = "mse"

    def encode(self, labels: Labels) -> Float32Array:
        """Return (mean - lo) / (hi - lo)."""
        return _column((labels.mean - self.lo) / (self.hi - self.lo))

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return lo + output (hi - lo)."""
        return {"score": self.lo + outputs[:, 0] * (self.hi - self.lo)}


@dataclass(frozen=True)
class SignedMeanTask(Task):
    """Head `tanh`: the mean score scaled to [-1, 1].

    A tanh trained with MSE shrinks towards 0, so scores are stretched: the range `out_lo..out_hi`
    of the outputs on train is mapped to the range `mean_lo..mean_hi` of the training means, and
    clipped to it (the blog's method). Outputs that are all the same have no range to stretch: the
    score is then `mean_score`, the mean of the training means.
    """

    about = About(
        "tanh",
        "the mean score in [-1, 1], tanh and squared error",
        needs_means=True,
        linear_output="output before tanh",
    )
    activation = "tanh"
    loss = "mse"
    # The slope of tanh is four times that of a sigmoid.
    linear_rate = 0.25
    lo: float
    hi: float
    mean_lo: float
    mean_hi: float
    mean_score: float
    out_lo: float
    out_hi: float

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the scale and the range of means; outputs are taken to span the same range."""
        lo, hi = labels.scale.lo, labels.scale.hi
        least, most = float(labels.mean.min()), float(labels.mean.max())
        ends = [2 * (end - lo) / (hi - lo) - 1 for end in (least, most)]
        return cls(lo, hi, least, most, float(labels.mean.mean()), ends[0], ends[1])

    def encode(self, labels: Labels) -> Float32Array:
        """Return 2 (mean - lo) / (hi - lo) - 1."""
        return _column(2 * (labels.mean - self.lo) / (self.hi - self.lo) - 1)

    def start_bias(self, targets: Float32Array) -> Float32Array:
        """Return atanh of the mean target."""
        mean: FloatArray = targets.mean(axis=0, dtype=np.float64)
        return np.arctanh(np.clip(mean, EDGE - 1, 1 - EDGE)).astype(np.float32)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Stretch the outputs' range to that of the training means, and clip."""
        span = self.out_hi - self.out_lo
        if span <= COLLAPSED:
            return {"score": 0.0 * outputs[:, 0] + self.mean_score}
        share = (outputs[:, 0] - self.out_lo) / span
        score = self.mean_lo + share * (self.mean_hi - self.mean_lo)
        return {"score": xp.clip(score, self.mean_lo, self.mean_hi)}

    def stretched(self, outputs: npt.NDArray[np.floating[Any]]) -> Self:
        """Return the task with the range of the outputs (n, 1) on train."""
        return replace(self, out_lo=float(outputs.min()), out_hi=float(outputs.max()))


@dataclass(frozen=True)
class BeautifulTask(ScaleTask):
    """Head `binary`: how far people call a photograph beautiful, by cross-entropy.

    Where there are votes it learns soft labels, the share of votes above the threshold; `middle` is
    the log-odds of that share where the mean is the threshold.
    """

    about = About(
        "binary",
        "beautiful or not, sigmoid and cross-entropy",
        ranking_only=True,
        linear_output="log-odds of being beautiful",
        linear_rival="logistic",
    )
    loss = "bce"
    tuned = NetworkSettings(labels="soft")
    blog = replace(BLOG, batch_size=64, l2=0.1)
    middle: float = 0.0

    @property
    def scale(self) -> Scale:
        """The data's scale."""
        return Scale(self.lo, self.hi)

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the scale and the middle."""
        return cls(labels.scale.lo, labels.scale.hi, labels.middle_logit)

    def encode(self, labels: Labels) -> Float32Array:
        """Return the share of votes above the threshold; without votes 1 for beautiful, else 0."""
        return _column(labels.share_above)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the log-odds as the score."""
        share = xp.clip(outputs[:, 0], CERTAIN, 1 - CERTAIN)
        return {"score": xp.log(share / (1 - share))}


@dataclass(frozen=True)
class ColumnsTask(SigmoidTask):
    """Head `columns`: each rating's count, min-max normalised over the training set."""

    about = About("columns", "each rating's count by itself, sigmoid", needs_votes=True)
    loss = "mse"
    count_lo: tuple[float, ...]
    count_hi: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "count_lo", tuple(self.count_lo))
        object.__setattr__(self, "count_hi", tuple(self.count_hi))

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn each rating's smallest and largest count."""
        votes = labels.need_votes()
        return cls(
            tuple(votes.min(axis=0).astype(float).tolist()),
            tuple(votes.max(axis=0).astype(float).tolist()),
        )

    def encode(self, labels: Labels) -> Float32Array:
        """Return (count - lo) / (hi - lo) for each rating; 0 for one that never varies."""
        lo, span = self._range(np.float64)
        span = np.where(span > 0, span, 1.0)
        return ((labels.need_votes() - lo) / span).astype(np.float32)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Go back to counts, clip at 0, and divide by their sum; without any, give all the same."""
        lo, span = self._range(np.float64 if xp is np else np.float32)
        counts = xp.maximum(outputs * span + lo, 0.0)
        some = xp.sum(counts, axis=1, keepdims=True) > 0.0
        counts = xp.where(some, counts, xp.ones_like(counts))
        return _of_shares(counts / xp.sum(counts, axis=1, keepdims=True), xp)

    def _range(self, dtype: npt.DTypeLike) -> tuple[FloatArray, FloatArray]:
        lo, hi = np.array(self.count_lo, dtype), np.array(self.count_hi, dtype)
        return lo, hi - lo


def _column(values: npt.NDArray[Any]) -> Float32Array:
    return values.astype(np.float32)[:, None]


def _of_shares(shares: Any, xp: Any) -> Answers:
    distribution = shares / xp.sum(shares, axis=1, keepdims=True)
    return {"score": distribution_mean(distribution, xp), "distribution": distribution}
