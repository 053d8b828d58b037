"""Training a small network on cached features through all its epochs.

Features stay in memory as they are stored (float16; bfloat16 to multiply in that) and are gathered
by shuffled row numbers inside the graph of a pass; above a memory budget, blocks of rows stream
from the cache. Owns the loop, not what is learned; must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from keras import ops

from cache.console import bar
from heads.data.distributions import emd
from heads.data.features import FeatureRows, Float32Array, mean_of_views, memory_budget
from heads.data.labels import Labels
from heads.errors import HeadError
from heads.models.base import History
from heads.models.neural.epochs import Evaluate, RowNumbers, make_epoch, make_evaluate
from heads.models.neural.inputs import Photographs, Standardiser, spans, standardiser
from heads.models.neural.network import Network
from heads.models.neural.settings import ResolvedSettings
from heads.models.neural.tasks import Task

# The history's figures on train are measured on so many photographs, without dropout, so that
# they compare with those on val and cost little.
MEASURED_ROWS = 5000

Split = tuple[FeatureRows, Labels]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Standardised photographs of train with their targets (n, width), for one network or several.

    Tensors that stay where they fit into `memory_bytes`; else blocks, read anew in each epoch.
    """

    photographs: Photographs
    standardiser: Standardiser
    targets: Float32Array
    settings: ResolvedSettings
    memory_bytes: int

    @cached_property
    def resident(self) -> tuple[Any, Any] | None:
        """All features and targets as tensors; None where the features do not fit."""
        if self.photographs.nbytes > self.memory_bytes:
            return None
        return self._tensor(self.photographs.whole()), ops.convert_to_tensor(self.targets)

    def blocks(self, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        """Yield features and targets of all photographs once, whole or block by block."""
        if self.resident is not None:
            yield self.resident
            return
        # A quarter of the budget each: the block, its tensor, and room for what reading takes.
        per_row = self.photographs.nbytes // len(self.photographs)
        size = max(self.memory_bytes // 4 // per_row, self.settings.batch_size)
        # Whole batches, so that a pass makes as many steps as the schedule counts.
        size -= size % self.settings.batch_size
        pieces = spans(len(self.photographs), size)
        for piece in rng.permutation(len(pieces)):
            start, stop = pieces[piece]
            block = self._tensor(self.photographs.block(start, stop))
            yield block, ops.convert_to_tensor(self.targets[start:stop])

    def _tensor(self, block: npt.NDArray[Any]) -> Any:
        reduced = self.settings.precision == "bfloat16"
        dtype = ml_dtypes.bfloat16 if reduced else self.photographs.X.dtype
        return ops.convert_to_tensor(self.standardiser.stored(block, dtype))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Photographs on which a network is measured after each epoch, in inference mode.

    `inputs` (n, D) and `targets` (n, width) are tensors.
    """

    task: Task
    inputs: Any
    targets: Any
    labels: Labels

    @classmethod
    def of(cls, task: Task, scaler: Standardiser, X: FeatureRows, labels: Labels) -> Evaluation:
        """Take the mean of each photograph's views."""
        inputs = ops.convert_to_tensor(scaler.apply(mean_of_views(X)))
        return cls(task, inputs, ops.convert_to_tensor(task.encode(labels)), labels)

    def figures(self, evaluate: Evaluate) -> dict[str, float]:
        """Return loss and, where the head has them, mse of the mean score and emd_r2."""
        outputs, loss = map(ops.convert_to_numpy, evaluate(self.inputs, self.targets))
        figures = {"loss": float(loss)}
        if self.task.about.ranking_only:
            return figures
        answers = self.task.decode(outputs.astype(np.float64), np)
        figures["mse"] = float(np.mean((answers["score"] - self.labels.mean) ** 2))
        if "distribution" in answers:
            distances = emd(answers["distribution"], self.labels.distribution, r=2)
            figures["emd_r2"] = float(np.mean(distances))
        return figures


def prepared(
    task: Task, settings: ResolvedSettings, train: Split, val: Split
) -> tuple[TrainingData, Mapping[str, Evaluation]]:
    """Return what networks of these settings train on, and what they are measured on."""
    X, labels = train
    photographs = Photographs(X, mean_only=settings.views == "mean")
    scaler = standardiser(photographs, settings)
    data = TrainingData(photographs, scaler, task.encode(labels), settings, memory_budget(X))
    step = -(-len(labels) // MEASURED_ROWS)
    some = np.asarray(X[::step]), labels.take(slice(None, None, step))
    return data, {
        "train": Evaluation.of(task, scaler, *some),
        "val": Evaluation.of(task, scaler, *val),
    }


def train(
    network: Network, data: TrainingData, evaluations: Mapping[str, Evaluation], *, seed: int
) -> tuple[History, int]:
    """Train through the schedule, or with `patience` until val no longer gains.

    Args:
        network: what is trained.
        data: what it is trained on.
        evaluations: what the history has of each epoch, by split; val is among them.
        seed: decides the order of the photographs, their views, and what is dropped.

    Returns:
        The history, one row an epoch, and the number of the epoch whose weights the network has in
        the end: the last one, or with `patience` the one with the lowest loss on val. Never the
        start: a head that learned nothing is to show it.

    Raises:
        HeadError: the loss is no longer finite.
    """
    epoch, evaluate = make_epoch(network), make_evaluate(network)
    name, patience = evaluations["val"].task.about.name, network.settings.patience
    rng, history = np.random.default_rng(seed), History()
    best_epoch, best_loss, best_weights = 0, np.inf, []
    with bar(range(1, network.settings.epochs + 1), name) as epochs:
        for number in epochs:
            for features, targets in data.blocks(rng):
                epoch(features, targets, *draw_order(network, data, len(targets), rng))
            history.append({"epoch": number, **_figures(evaluations, evaluate)})
            loss = history[-1]["val_loss"]
            _check_finite(loss, number, name, network.settings.lr)
            epochs.set_postfix(val_loss=f"{loss:.5f}")
            if patience is None:
                continue
            if loss < best_loss:
                best_epoch, best_loss, best_weights = number, loss, network.body.get_weights()
            if number - best_epoch >= patience:
                break
    if patience is not None:
        network.body.set_weights(best_weights)
    return history, best_epoch or len(history)


def draw_order(
    network: Network, data: TrainingData, n: int, rng: np.random.Generator
) -> tuple[RowNumbers, RowNumbers, tuple[RowNumbers, ...]]:
    """Draw rows, photos and kept units of a pass over a block of n photographs (see `Epoch`)."""
    photos = rng.permutation(n).astype(np.int32)
    n_views, rows = data.photographs.n_views, photos
    if n_views > 1:
        rows = photos * np.int32(n_views) + rng.integers(n_views, size=n, dtype=np.int32)
    steps = -(-n // data.settings.batch_size)
    return rows, photos, tuple(dropout.draw(steps, rng) for dropout in network.dropouts)


def _figures(evaluations: Mapping[str, Evaluation], evaluate: Evaluate) -> dict[str, float]:
    """Return train_loss, val_loss, train_mse, ... of a network as it is now."""
    figures = {split: evaluation.figures(evaluate) for split, evaluation in evaluations.items()}
    return {f"{split}_{name}": figures[split][name] for name in figures["val"] for split in figures}


def _check_finite(loss: float, epoch: int, head: str, lr: float) -> None:
    if not np.isfinite(loss):
        raise HeadError(
            f"The head {head} diverged: its validation loss is {loss} after epoch {epoch} with "
            f"--lr {lr}. Try a tenth of it."
        )
