"""A grid of settings, each trained as `heads train` would, on features that are prepared once.

Owns the grid and its measures on val; the training is that of `heads.models.neural`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from tqdm import tqdm

from cache.errors import HeadError
from heads.data.splits import SplitData
from heads.metrics.weighted import spearman
from heads.models.neural.epochs import for_this_machine
from heads.models.neural.network import Network, forward
from heads.models.neural.settings import ResolvedSettings
from heads.models.neural.training import Evaluation, TrainingData, prepared, train
from heads.models.registry import find_head


@dataclass(frozen=True)
class Grid:
    """Values to try of each setting; no `dropout` leaves the base's.

    `dropout` acts behind hidden layers, or on the features of a linear head.
    """

    lr: tuple[float, ...]
    l2: tuple[float, ...]
    dropout: tuple[float, ...]
    seeds: int

    def settings(self, base: ResolvedSettings) -> list[ResolvedSettings]:
        """Return the settings of every point, dropout outermost and lr innermost."""
        rates = self.dropout or (swept_dropout(base),)
        return [
            _with_dropout(replace(base, lr=lr, l2=l2), rate)
            for rate, l2, lr in product(rates, self.l2, self.lr)
        ]


def swept_dropout(settings: ResolvedSettings) -> float:
    """Return the rate that a grid's `dropout` sets."""
    return settings.dropout if settings.hidden else settings.input_dropout


def _with_dropout(settings: ResolvedSettings, rate: float) -> ResolvedSettings:
    if settings.hidden:
        return replace(settings, dropout=rate)
    return replace(settings, input_dropout=rate)


@dataclass(frozen=True)
class Point:
    """One point of the grid: its settings, and loss and SRCC on val, a value a seed."""

    settings: ResolvedSettings
    val_losses: tuple[float, ...]
    val_srccs: tuple[float, ...]

    @property
    def dropout(self) -> float:
        """The rate that the grid set."""
        return swept_dropout(self.settings)

    @property
    def val_loss(self) -> float:
        """Mean over the seeds; NaN where one diverged."""
        return float(np.mean(self.val_losses))

    @property
    def val_srcc(self) -> float:
        """Mean over the seeds; 0 for a seed whose scores are constant."""
        return float(np.mean(np.nan_to_num(self.val_srccs, nan=0.0)))


def sweep(
    head: str,
    base: ResolvedSettings,
    grid: Grid,
    data: tuple[SplitData, SplitData],
    seed: int,
    memory_bytes: int | None = None,
) -> list[Point]:
    """Train a single network of every point of the grid for each seed, and measure it on val.

    Args:
        head: a neural one.
        base: the settings that the grid does not change.
        grid: what is tried.
        data: train and val.
        seed: the first.
        memory_bytes: features above this size stream from the disk; half of the machine's if None.

    Raises:
        HeadError: the labels do not suit the head.
    """
    train_split, val_split = ((split.X, split.labels) for split in data)
    task = find_head(head).load().learn(data[0].labels)
    train_on, evaluations = prepared(
        task, for_this_machine(base), train_split, val_split, memory_bytes
    )
    points = []
    for settings in tqdm(grid.settings(base), "sweep", disable=None, leave=False):
        seeds = range(seed, seed + grid.seeds)
        measured = [_trained(settings, train_on, evaluations["val"], own) for own in seeds]
        points.append(Point(settings, *zip(*measured, strict=True)))
    return points


def _trained(
    settings: ResolvedSettings, data: TrainingData, val: Evaluation, seed: int
) -> tuple[float, float]:
    """Return loss and SRCC on val in the end, NaN where the network diverged."""
    own, n_features = for_this_machine(settings), data.photographs.X.shape[2]
    network = Network.build(val.task, data.targets, own, n_features, seed)
    try:
        history, _ = train(network, data, {"val": val}, seed=seed)
    except HeadError:
        return np.nan, np.nan
    outputs = forward(network.body, val.inputs).astype(np.float64)
    score = val.task.decode(outputs, np)["score"]
    return history[-1]["val_loss"], spearman(score, val.labels.mean)


def best(points: Sequence[Point]) -> Point:
    """Return the point with the lowest loss on val.

    Raises:
        HeadError: every point diverged.
    """
    finite = [point for point in points if np.isfinite(point.val_loss)]
    if not finite:
        raise HeadError("Every setting of the sweep diverged. Try smaller --lr.")
    return min(finite, key=lambda point: point.val_loss)
