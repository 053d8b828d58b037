"""Training a small network on cached features: one epoch is one compiled graph.

Features stay in memory as they are stored (float16) and are gathered by shuffled row numbers
inside the graph; above a memory budget, blocks of rows stream from the memory-map. Owns the loop,
not what is learned; must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from tqdm import tqdm

from cache.errors import HeadError
from heads.photographs import FloatArray32, Photographs, Standardiser, spans
from heads.settings import NetworkSettings

# The input dropout's masks are windows at random places of a pool that is drawn anew each epoch,
# this many batches long. Drawing each mask anew took two thirds of an epoch's time.
POOL_BATCHES = 4

Loss = Callable[[Any, Any], Any]


# --- one epoch over one block ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pass:
    """The order in which a block is seen, and its noise.

    `rows` (n,) int32 are rows of the block's standardised features, `photos` (n,) int32 the rows of
    its targets.
    `pool` (P,) float32 holds 0 or 1 / keep, `offsets` (steps,) int32 where each step's mask starts;
    both are empty without input dropout.
    """

    rows: npt.NDArray[np.int32]
    photos: npt.NDArray[np.int32]
    pool: FloatArray32
    offsets: npt.NDArray[np.int32]


class Epoch(Protocol):
    """Makes one pass over a block: standardised features (m, D), targets (n, width)."""

    def __call__(self, features: Any, targets: Any, order: Pass) -> None: ...


@dataclass(frozen=True, eq=False)
class Learner:
    """What a pass changes and how: the network behind standardised inputs.

    `settings` are resolved: no None in them.
    """

    body: Any
    optimizer: Any
    loss: Loss
    settings: NetworkSettings

    @property
    def batch_size(self) -> int:
        """Photographs in a step."""
        return int(self.settings.batch_size or 0)

    @property
    def epochs(self) -> int:
        """Passes over all photographs."""
        return int(self.settings.epochs or 0)


def make_epoch(learner: Learner) -> Epoch:
    """Return the compiled pass where TensorFlow is the backend, else the neutral one."""
    if keras.backend.backend() == "tensorflow":
        return tensorflow_epoch(learner)
    return neutral_epoch(learner)


def tensorflow_epoch(learner: Learner) -> Epoch:
    """Return a pass that is one TensorFlow graph: gather, mask, step."""
    import tensorflow as tf

    body, optimizer, size = learner.body, learner.optimizer, learner.batch_size
    variables = body.trainable_variables

    @tf.function(reduce_retracing=True)
    def run(features: Any, targets: Any, rows: Any, photos: Any, pool: Any, offsets: Any) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            x = tf.cast(tf.gather(features, rows[a:b]), tf.float32)
            if offsets.shape[0] != 0:
                window = pool[offsets[step] : offsets[step] + tf.size(x)]
                x *= tf.reshape(window, tf.shape(x))
            y = tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(learner.loss(y, body(x, training=True)))
                value += tf.add_n(body.losses) if body.losses else 0.0
            optimizer.apply(tape.gradient(value, variables), variables)

    def epoch(features: Any, targets: Any, order: Pass) -> None:
        run(features, targets, order.rows, order.photos, order.pool, order.offsets)

    return epoch


def neutral_epoch(learner: Learner) -> Epoch:
    """Return a pass through Keras' own training step, on any backend."""
    learner.body.compile(optimizer=learner.optimizer, loss=learner.loss, jit_compile=False)

    def epoch(features: Any, targets: Any, order: Pass) -> None:
        features, targets = ops.convert_to_numpy(features), ops.convert_to_numpy(targets)
        for step, (a, b) in enumerate(spans(len(order.rows), learner.batch_size)):
            x = features[order.rows[a:b]].astype(np.float32)
            if len(order.offsets):
                start = order.offsets[step]
                x *= order.pool[start : start + x.size].reshape(x.shape)
            learner.body.train_on_batch(x, targets[order.photos[a:b]])

    return epoch


# --- all epochs -----------------------------------------------------------------------------------


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
    with bar, Blocks(training, learner.batch_size) as blocks:
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
    n_views, dropout = training.photographs.n_views, learner.settings.input_dropout
    photos = rng.permutation(n).astype(np.int32)
    rows = photos
    if n_views > 1:
        rows = photos * np.int32(n_views) + rng.integers(n_views, size=n, dtype=np.int32)
    if not dropout:
        return Pass(rows, photos, np.zeros(0, np.float32), np.zeros(0, np.int32))
    batch = min(n, learner.batch_size) * int(training.photographs.X.shape[2])
    kept = rng.random(POOL_BATCHES * batch, dtype=np.float32) >= dropout
    steps = -(-n // learner.batch_size)
    offsets = rng.integers((POOL_BATCHES - 1) * batch + 1, size=steps, dtype=np.int32)
    return Pass(rows, photos, kept.astype(np.float32) / np.float32(1 - dropout), offsets)


class Blocks:
    """Standardised blocks of train: the whole, kept, or pieces read anew each epoch."""

    def __init__(self, training: Training, batch_size: int) -> None:
        self._training = training
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
        return self._training.standardiser.stored(block)

    def shuffled(self, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        if self._resident is not None:
            yield self._resident
            return
        photographs, targets = self._training.photographs, self._training.targets
        # A quarter of the budget each: the block, its tensor, and room for what reading takes.
        per_row = photographs.nbytes // len(photographs)
        size = max(self._training.memory_bytes // 4 // per_row, self._batch_size)
        pieces = spans(len(photographs), size)
        for piece in rng.permutation(len(pieces)):
            start, stop = pieces[piece]
            block = ops.convert_to_tensor(self._stored(photographs.block(start, stop)))
            yield block, ops.convert_to_tensor(targets[start:stop])


def mean_loss(loss: Loss, targets: FloatArray32, outputs: FloatArray32) -> float:
    """Return a loss's mean over photographs."""
    value = loss(ops.convert_to_tensor(targets), ops.convert_to_tensor(outputs))
    return float(ops.convert_to_numpy(ops.mean(value)))


def _check_finite(row: dict[str, float], head: str, settings: NetworkSettings) -> None:
    if not np.isfinite(row["val_loss"]):
        raise HeadError(
            f"The head {head} diverged: its validation loss is {row['val_loss']} after "
            f"epoch {row['epoch']:.0f} with --lr {settings.lr}. Try a tenth of it."
        )
