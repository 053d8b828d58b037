"""Training a small network on cached features through all its epochs.

Features stay in memory as they are stored (float16; bfloat16 to multiply in that) and are gathered
by shuffled row numbers inside the graph of a pass; above a memory budget, blocks of rows stream
from the memory-map. Owns the loop, not what is learned; must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import ml_dtypes
import numpy as np
import numpy.typing as npt
from keras import ops
from tqdm import tqdm

from heads.errors import HeadError
from heads.models.neural.epochs import Learner, Pass, make_epoch
from heads.models.neural.inputs import FloatArray32, Photographs, Standardiser, spans
from heads.models.neural.settings import NetworkSettings


@dataclass(frozen=True, eq=False)
class Training:
    """Everything that a training run is given.

    `targets` (n, width) float32 belong to `photographs`. `on_train` and `on_val` are called after
    each epoch for the figures of the history.
    """

    photographs: Photographs
    standardiser: Standardiser
    targets: FloatArray32
    memory_bytes: int
    on_train: Callable[[], dict[str, float]]
    on_val: Callable[[], dict[str, float]]
    label: str

    def measure(self) -> dict[str, float]:
        """Return train_loss, val_loss, train_mse, ... of the network as it is now."""
        figures = {"train": self.on_train(), "val": self.on_val()}
        return {f"{part}_{n}": figures[part][n] for n in figures["val"] for part in figures}


def make_optimizer(settings: NetworkSettings, n: int) -> Any:
    """Return the optimizer with its learning rate's course over all epochs on n photographs."""
    lr: Any = settings.lr
    if settings.schedule == "cosine":
        steps = int(settings.epochs or 1) * -(-n // int(settings.batch_size or 1))
        lr = keras.optimizers.schedules.CosineDecay(settings.lr, steps)
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(lr, momentum=0.9)
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(lr)
    optimizer = keras.optimizers.AdamW(lr, weight_decay=settings.l2)
    # A decaying bias would pull the prediction away from the mean target.
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def train(learner: Learner, training: Training, *, seed: int) -> tuple[list[dict[str, float]], int]:
    """Train through the schedule, or with `patience` until val no longer gains.

    Returns:
        The history, one row an epoch, and the number of the epoch whose weights the body has in
        the end: the last one, or with `patience` the one with the lowest loss on val. Never the
        start: a head that learned nothing is to show it.

    Raises:
        HeadError: the loss is no longer finite.
    """
    learner.optimizer.build(learner.body.trainable_variables)
    epoch, rng = make_epoch(learner), np.random.default_rng(seed)
    kept, history = _Kept(learner), list[dict[str, float]]()
    bar = tqdm(range(1, learner.epochs + 1), training.label, disable=None, leave=False)
    with bar, Blocks(training, learner.batch_size, learner.precision) as blocks:
        for number in bar:
            for features, targets in blocks.shuffled(rng):
                epoch(features, targets, draw_pass(learner, training, len(targets), rng))
            row = {"epoch": number, **training.measure()}
            history.append(row)
            _check_finite(row, training.label, learner.settings)
            bar.set_postfix(val_loss=f"{row['val_loss']:.5f}")
            if kept.have_patience_ended(number, row["val_loss"]):
                break
    return history, kept.restored() or len(history)


class _Kept:
    """The best weights so far, kept only where there is a patience."""

    def __init__(self, learner: Learner) -> None:
        self._body, self._patience = learner.body, learner.settings.patience
        self._loss, self._epoch, self._weights = np.inf, 0, []

    def have_patience_ended(self, number: int, loss: float) -> bool:
        if self._patience is None:
            return False
        if loss < self._loss:
            self._loss, self._epoch, self._weights = loss, number, self._body.get_weights()
        return number - self._epoch >= self._patience

    def restored(self) -> int:
        """Put the best weights back; return their epoch, 0 where none were kept."""
        if self._weights:
            self._body.set_weights(self._weights)
        return self._epoch


def draw_pass(learner: Learner, training: Training, n: int, rng: np.random.Generator) -> Pass:
    """Draw the order, the views and the noise of one pass over a block of n photographs."""
    photos, rows = draw_rows(training, n, rng)
    steps = -(-n // learner.batch_size)
    return Pass(rows, photos, tuple(dropout.draw(steps, rng) for dropout in learner.dropouts))


def draw_rows(
    training: Training, n: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return n photographs of a block in random order and a row of each: of a random view."""
    n_views = training.photographs.n_views
    photos = rng.permutation(n).astype(np.int32)
    if n_views == 1:
        return photos, photos
    return photos, photos * np.int32(n_views) + rng.integers(n_views, size=n, dtype=np.int32)


class Blocks:
    """Standardised blocks of train: the whole, kept, or pieces read anew each epoch."""

    def __init__(self, training: Training, batch_size: int, precision: str) -> None:
        self._training = training
        self._dtype = training.photographs.X.dtype
        if precision == "bfloat16":
            self._dtype = np.dtype(ml_dtypes.bfloat16)
        self._batch_size = batch_size
        self._resident: Any = None

    def __enter__(self) -> Blocks:
        if self._training.photographs.nbytes <= self._training.memory_bytes:
            self._resident = (
                ops.convert_to_tensor(self._stored(self._training.photographs.whole())),
                ops.convert_to_tensor(self._training.targets),
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._resident = None

    def _stored(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self._training.standardiser.stored(block, self._dtype)

    def shuffled(self, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        if self._resident is not None:
            yield self._resident
            return
        photographs, targets = self._training.photographs, self._training.targets
        # A quarter of the budget each: the block, its tensor, and room for what reading takes.
        per_row = photographs.nbytes // len(photographs)
        size = max(self._training.memory_bytes // 4 // per_row, self._batch_size)
        # Whole batches, so that a pass makes as many steps as the schedule counts.
        size -= size % self._batch_size
        pieces = spans(len(photographs), size)
        for piece in rng.permutation(len(pieces)):
            start, stop = pieces[piece]
            block = ops.convert_to_tensor(self._stored(photographs.block(start, stop)))
            yield block, ops.convert_to_tensor(targets[start:stop])


def _check_finite(row: dict[str, float], head: str, settings: NetworkSettings) -> None:
    if not np.isfinite(row["val_loss"]):
        raise HeadError(
            f"The head {head} diverged: its validation loss is {row['val_loss']} after "
            f"epoch {row['epoch']:.0f} with --lr {settings.lr}. Try a tenth of it."
        )
