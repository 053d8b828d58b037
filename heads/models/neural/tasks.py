"""What each neural head is asked to output, and how its outputs become scores.

Numpy only. A task is learned from the training labels (a frozen dataclass of plain numbers, saved
as JSON), encodes labels as targets in the range of its activation, and decodes outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol, Self, cast

import numpy as np
import numpy.typing as npt

from cache.types import Scale
from heads.data.distributions import distribution_mean
from heads.data.labels import Labels, ranking_score

# Start biases stay finite where a target's mean touches the end of the activation's range: a
# rating that nobody gave, a column that is constant, a set that is beautiful throughout.
EDGE = 1e-4
# Outputs of tanh on train that differ by no more than float32 rounds are the same.
COLLAPSED = 1e-6

FloatArray = npt.NDArray[np.float64]
TargetArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Decoded:
    """Scores (n,) on the data's scale and, where there is one, the distribution (n, K)."""

    score: FloatArray
    distribution: FloatArray | None = None


class Task(Protocol):
    """Target, activation and loss of a head, learned from the training labels."""

    activation: ClassVar[str]
    loss: ClassVar[str]
    ranking_only: ClassVar[bool]

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn what encoding needs. Raises HeadError where the labels do not suffice."""
        ...

    def encode(self, labels: Labels) -> TargetArray:
        """Return targets (n, width), float32."""
        ...

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return the bias (width,) that alone gives the mean target."""
        ...

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Turn outputs (n, width) into scores and distributions."""
        ...


@dataclass(frozen=True)
class DistributionTask:
    """Head `emd`: the share of each rating 1..levels, by softmax and squared EMD."""

    activation: ClassVar[str] = "softmax"
    loss: ClassVar[str] = "emd"
    ranking_only: ClassVar[bool] = False
    levels: int

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the number of ratings."""
        return cls(labels.need_votes().shape[1])

    def encode(self, labels: Labels) -> TargetArray:
        """Return each photograph's distribution."""
        return labels.distribution.astype(np.float32)

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return log of the mean distribution: softmax gives that distribution back."""
        return np.log(np.maximum(targets.mean(axis=0, dtype=np.float64), EDGE)).astype(np.float32)

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Return the distribution and its mean."""
        return _of_shares(outputs.astype(np.float64))


@dataclass(frozen=True)
class UnitMeanTask:
    """Head `sigmoid`: the mean score, scaled from the data's scale to [0, 1]."""

    activation: ClassVar[str] = "sigmoid"
    loss: ClassVar[str] = "mse"
    ranking_only: ClassVar[bool] = False
    lo: float
    hi: float

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the scale."""
        return cls(labels.scale.lo, labels.scale.hi)

    def encode(self, labels: Labels) -> TargetArray:
        """Return (mean - lo) / (hi - lo)."""
        return _column((labels.mean - self.lo) / (self.hi - self.lo))

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return the logit of the mean target."""
        return _logit(targets)

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Return lo + output (hi - lo)."""
        return Decoded(self.lo + outputs[:, 0].astype(np.float64) * (self.hi - self.lo))


@dataclass(frozen=True)
class SignedMeanTask:
    """Head `tanh`: the mean score scaled to [-1, 1].

    A tanh trained with MSE shrinks towards 0, so scores are stretched: the range `out_lo..out_hi`
    of the outputs on train is mapped to the range `mean_lo..mean_hi` of the training means, and
    clipped to it (the blog's method). Outputs that are all the same have no range to stretch: the
    score is then `mean_score`, the mean of the training means.
    """

    activation: ClassVar[str] = "tanh"
    loss: ClassVar[str] = "mse"
    ranking_only: ClassVar[bool] = False
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
        ends = [float(labels.mean.min()), float(labels.mean.max())]
        middle = float(labels.mean.mean())
        return cls(lo, hi, *ends, middle, *(2 * (end - lo) / (hi - lo) - 1 for end in ends))

    def encode(self, labels: Labels) -> TargetArray:
        """Return 2 (mean - lo) / (hi - lo) - 1."""
        return _column(2 * (labels.mean - self.lo) / (self.hi - self.lo) - 1)

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return atanh of the mean target."""
        mean = targets.mean(axis=0, dtype=np.float64)
        return np.arctanh(np.clip(mean, EDGE - 1, 1 - EDGE)).astype(np.float32)

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Stretch the outputs' range to that of the training means, and clip."""
        span = self.out_hi - self.out_lo
        if span <= COLLAPSED:
            return Decoded(np.full(len(outputs), self.mean_score))
        share = (outputs[:, 0].astype(np.float64) - self.out_lo) / span
        score = self.mean_lo + share * (self.mean_hi - self.mean_lo)
        return Decoded(np.clip(score, self.mean_lo, self.mean_hi))

    def stretched(self, outputs: npt.NDArray[np.floating[Any]]) -> Self:
        """Return the task with the range of the outputs (n, 1) on train."""
        return replace(self, out_lo=float(outputs.min()), out_hi=float(outputs.max()))


@dataclass(frozen=True)
class BeautifulTask:
    """Head `binary`: whether the mean lies above the threshold, by cross-entropy."""

    activation: ClassVar[str] = "sigmoid"
    loss: ClassVar[str] = "bce"
    ranking_only: ClassVar[bool] = True
    lo: float
    hi: float

    @classmethod
    def learn(cls, labels: Labels) -> Self:
        """Learn the scale."""
        return cls(labels.scale.lo, labels.scale.hi)

    def encode(self, labels: Labels) -> TargetArray:
        """Return 1 for beautiful, else 0."""
        return _column(labels.beautiful)

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return the logit of the share of beautiful photographs."""
        return _logit(targets)

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Return lo + p (hi - lo): good for ranking only."""
        return Decoded(ranking_score(outputs[:, 0].astype(np.float64), Scale(self.lo, self.hi)))


@dataclass(frozen=True)
class ColumnsTask:
    """Head `columns`: each rating's count, min-max normalised over the training set."""

    activation: ClassVar[str] = "sigmoid"
    loss: ClassVar[str] = "mse"
    ranking_only: ClassVar[bool] = False
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

    def encode(self, labels: Labels) -> TargetArray:
        """Return (count - lo) / (hi - lo) for each rating; 0 for one that never varies."""
        lo, span = self._range()
        span = np.where(span > 0, span, 1.0)
        return ((labels.need_votes() - lo) / span).astype(np.float32)

    def start_bias(self, targets: TargetArray) -> TargetArray:
        """Return the logit of each rating's mean target."""
        return _logit(targets)

    def decode(self, outputs: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Go back to counts, clip at 0, and divide by their sum."""
        lo, span = self._range()
        counts = np.clip(lo + outputs.astype(np.float64) * span, 0.0, None)
        total = counts.sum(axis=1, keepdims=True)
        even = np.full_like(counts, 1 / counts.shape[1])
        return _of_shares(np.divide(counts, total, out=even, where=total > 0))

    def _range(self) -> tuple[FloatArray, FloatArray]:
        lo, hi = np.array(self.count_lo), np.array(self.count_hi)
        return lo, hi - lo


TASKS: dict[str, type[Task]] = {
    "emd": DistributionTask,
    "sigmoid": UnitMeanTask,
    "tanh": SignedMeanTask,
    "binary": BeautifulTask,
    "columns": ColumnsTask,
}


def task_values(task: Task) -> dict[str, Any]:
    """Return what a task learned, JSON-ready."""
    return asdict(cast(Any, task))


def restore_task(head: str, values: Mapping[str, Any]) -> Task:
    """Rebuild a task from `task_values`."""
    return TASKS[head](**values)


def _column(values: npt.NDArray[Any]) -> TargetArray:
    return values.astype(np.float32)[:, None]


def _logit(targets: TargetArray) -> TargetArray:
    mean = np.clip(targets.mean(axis=0, dtype=np.float64), EDGE, 1 - EDGE)
    return np.log(mean / (1 - mean)).astype(np.float32)


def _of_shares(shares: FloatArray) -> Decoded:
    shares = shares / shares.sum(axis=1, keepdims=True)
    return Decoded(distribution_mean(shares), shares)
