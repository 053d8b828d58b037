"""A grid of settings, each trained as `heads train` would, on features that are prepared once.

Owns the grid and its measures on val; the training is that of `heads.models.neural`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.console import bar
from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.experiments.train import TrainedRun, train
from heads.metrics.catalogue import ranked_by
from heads.metrics.weighted import auc, spearman
from heads.models.base import need_means, need_photographs
from heads.models.neural.settings import NetworkSettings, ResolvedSettings, layer_widths
from heads.models.registry import HEADS, load_keras

if TYPE_CHECKING:
    from heads.models.neural.training import Evaluation, TrainingData


@dataclass(frozen=True)
class Grid:
    """Values to try of each setting, a network a seed at each point; none leaves the base's.

    `dropout` acts behind hidden layers, or on the features of a linear head.
    """

    lr: tuple[float, ...] = ()
    l2: tuple[float, ...] = ()
    dropout: tuple[float, ...] = ()
    seeds: int = 1

    def settings(self, base: ResolvedSettings) -> list[ResolvedSettings]:
        """Return the settings of every point, dropout outermost and lr innermost."""
        rates = self.dropout or (swept_dropout(base),)
        name = "dropout" if base.hidden else "input_dropout"
        points = product(rates, self.l2 or (base.l2,), self.lr or (base.lr,))
        changes: list[dict[str, Any]] = [{name: p, "l2": l2, "lr": lr} for p, l2, lr in points]
        return [replace(base, **change) for change in changes]


def swept_dropout(settings: ResolvedSettings) -> float:
    """Return the rate that a grid's `dropout` sets."""
    return settings.dropout if settings.hidden else settings.input_dropout


@dataclass(frozen=True)
class Point:
    """One point of the grid: its settings, and loss and `metric` on val, a value a seed."""

    settings: ResolvedSettings
    val_losses: tuple[float, ...]
    val_values: tuple[float, ...]
    metric: str = "srcc"

    @property
    def dropout(self) -> float:
        """The rate that the grid set."""
        return swept_dropout(self.settings)

    @property
    def val_loss(self) -> float:
        """Mean over the seeds; NaN where one diverged."""
        return float(np.mean(self.val_losses))

    @property
    def val_value(self) -> float:
        """Mean of the metric over the seeds; an SRCC is 0 for a seed whose scores are constant."""
        return float(np.mean(np.nan_to_num(self.val_values, nan=0.0)))


@dataclass(frozen=True, eq=False)
class Sweep:
    """What was tried, the point with the lowest loss on val, and the run that it was trained as."""

    points: tuple[Point, ...]
    chosen: Point
    run: TrainedRun


def sweep(
    head: str,
    data: Mapping[str, SplitData],
    grid: Grid,
    out: str | Path = "runs",
    *,
    settings: NetworkSettings | None = None,
    seed: int = 0,
    overwrite: bool = False,
    measured: Callable[[Sequence[Point], Point], None] | None = None,
) -> Sweep:
    """Try a grid of settings on val, and train the best one as a run, which test measures.

    The other arguments and errors are those of `heads.train`.

    Args:
        head: a neural one.
        grid: what is tried, by single networks.
        settings: what the grid does not change; the tuned ones if None.
        seed: the first of the grid's, and that of the run.
        measured: is called with all points and the best one before that is trained as a run.

    Raises:
        HeadError: every point diverged.
    """
    points = measure_points(head, data, grid, settings or NetworkSettings(), seed)
    chosen = best(points)
    if measured is not None:
        measured(points, chosen)
    run = train(head, data, out, settings=chosen.settings, seed=seed, overwrite=overwrite)
    return Sweep(tuple(points), chosen, run)


def measure_points(
    head: str, data: Mapping[str, SplitData], grid: Grid, base: NetworkSettings, seed: int
) -> list[Point]:
    """Train a single network of every point of the grid for each seed, and measure it on val.

    Raises:
        HeadError: the labels do not suit the head.
    """
    load_keras()
    from heads.models.neural.epochs import for_this_machine
    from heads.models.neural.training import prepared

    (X, labels), (X_val, labels_val) = ((data[s].X, data[s].labels) for s in ("train", "val"))
    kind, widths = HEADS[head].load(), layer_widths(data["train"].cache.spec.layers)
    resolved = base.resolve(len(labels), widths, kind.linear_rate)
    need_photographs(kind.about, labels, labels_val)
    need_means(kind.about, labels)
    task = kind.learn(labels)
    train_on, evaluations = prepared(
        task, for_this_machine(resolved), (X, labels), (X_val, labels_val)
    )
    points = []
    for point in bar(grid.settings(resolved), "sweep"):
        seeds = range(seed, seed + grid.seeds)
        pairs = [_measured(point, train_on, evaluations["val"], own) for own in seeds]
        losses, values = zip(*pairs, strict=True)
        points.append(Point(point, losses, values, ranked_by(labels_val)))
    return points


def _measured(
    settings: ResolvedSettings, data: TrainingData, val: Evaluation, seed: int
) -> tuple[float, float]:
    """Return loss on val in the end, and what heads are ranked by; NaN where it diverged."""
    from heads.models.neural.epochs import for_this_machine
    from heads.models.neural.network import Network, forward
    from heads.models.neural.training import train as train_network

    own, n_features = for_this_machine(settings), data.photographs.X.shape[2]
    network = Network.build(val.task, data.targets, own, n_features, seed)
    try:
        history, _ = train_network(network, data, {"val": val}, seed=seed)
    except HeadError:
        return np.nan, np.nan
    outputs = forward(network.body, val.inputs).astype(np.float64)
    score = val.task.decode(outputs, np)["score"]
    by_auc = ranked_by(val.labels) == "auc"
    value = auc(score, val.labels.beautiful) if by_auc else spearman(score, val.labels.mean)
    return history[-1]["val_loss"], value


def best(points: Sequence[Point]) -> Point:
    """Return the point with the lowest loss on val.

    Raises:
        HeadError: every point diverged.
    """
    finite = [point for point in points if np.isfinite(point.val_loss)]
    if not finite:
        raise HeadError("Every setting of the sweep diverged. Try smaller --lr.")
    return min(finite, key=lambda point: point.val_loss)
