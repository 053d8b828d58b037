"""A grid of settings trained side by side: one pass over the features moves all of them.

Reading, standardising and masking a batch costs more than a linear head's products with it, so
sixteen heads in one pass take little longer than one. Their kernels lie beside each other in one
matrix, and AdamW gets a rate and a decay for each. Needs Keras' backend TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from tqdm import tqdm

from cache.errors import EngineError
from cache.types import FloatArray
from heads.data.features import mean_of_views, memory_budget
from heads.data.labels import Labels
from heads.errors import HeadError
from heads.metrics.weighted import spearman
from heads.models.neural.dropout import dropouts
from heads.models.neural.epochs import kept_units, multiplied, thinned
from heads.models.neural.inputs import Photographs, Standardiser, spans, standardiser
from heads.models.neural.network import Shape, build_body, loss_of, start_at, trained_weights
from heads.models.neural.precision import precision_of
from heads.models.neural.settings import NetworkSettings
from heads.models.neural.tasks import TASKS, Task
from heads.models.neural.training import Blocks, Training, draw_rows

# Keras' own for AdamW (Kingma and Ba, "Adam", 2015; Loshchilov and Hutter, "Decoupled Weight Decay
# Regularization", 2019).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
VAL_ROWS = 4096


@dataclass(frozen=True)
class Grid:
    """Values to try of each setting; no `dropout` leaves the base's.

    `dropout` acts behind hidden layers, or on the features of a linear head.
    """

    lr: tuple[float, ...]
    l2: tuple[float, ...]
    dropout: tuple[float, ...]
    seeds: int

    def settings(self, base: NetworkSettings) -> list[NetworkSettings]:
        """Return the settings of every point, dropout outermost and lr innermost."""
        rates = self.dropout or (swept_dropout(base),)
        return [
            _with_dropout(replace(base, lr=lr, l2=l2), rate)
            for rate, l2, lr in product(rates, self.l2, self.lr)
        ]


def swept_dropout(settings: NetworkSettings) -> float:
    """Return the rate that a grid's `dropout` sets."""
    return float((settings.dropout if settings.hidden else settings.input_dropout) or 0.0)


def _with_dropout(settings: NetworkSettings, rate: float) -> NetworkSettings:
    if settings.hidden:
        return replace(settings, dropout=rate)
    return replace(settings, input_dropout=rate)


@dataclass(frozen=True)
class Point:
    """One point of the grid: its settings, and loss and SRCC on val, a value a seed."""

    settings: NetworkSettings
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


@dataclass(frozen=True, eq=False)
class Lessons:
    """Features (n, V, D) and labels of train and val."""

    X: Any
    labels: Labels
    X_val: Any
    labels_val: Labels


def sweep(head: str, base: NetworkSettings, grid: Grid, lessons: Lessons, seed: int) -> list[Point]:
    """Train every point of the grid once for each seed, and measure it on val.

    Raises:
        EngineError: Keras' backend is not TensorFlow.
        HeadError: a setting cannot be swept, or the labels do not suit the head.
    """
    if keras.backend.backend() != "tensorflow":
        raise EngineError(
            f"heads sweep needs Keras' backend tensorflow; it is {keras.backend.backend()}. Set "
            "KERAS_BACKEND=tensorflow, or train the settings one by one with heads train."
        )
    if base.optimizer != "adamw" or base.patience is not None:
        raise HeadError(
            "heads sweep trains with adamw to the end of the schedule. Leave out --preset, "
            "--optimizer and --patience."
        )
    base = base.resolved(head, len(lessons.labels), lessons.X.shape[2])
    points = grid.settings(base)
    measured = [_trained(head, points, lessons, seed + i) for i in range(grid.seeds)]
    return [
        Point(settings, *(tuple(m[kind][i] for m in measured) for kind in (0, 1)))
        for i, settings in enumerate(points)
    ]


def best(points: Sequence[Point]) -> Point:
    """Return the point with the lowest loss on val.

    Raises:
        HeadError: every point diverged.
    """
    finite = [point for point in points if np.isfinite(point.val_loss)]
    if not finite:
        raise HeadError("Every setting of the sweep diverged. Try smaller --lr.")
    return min(finite, key=lambda point: point.val_loss)


def _trained(
    head: str, points: Sequence[NetworkSettings], lessons: Lessons, seed: int
) -> tuple[list[float], list[float]]:
    base, labels = points[0], lessons.labels
    task = TASKS[head].learn(labels)
    targets = task.encode(labels)
    photographs = Photographs(lessons.X, mean_only=base.views == "mean")
    scaler = standardiser(photographs, base)
    memory = memory_budget(lessons.X)
    training = Training(photographs, scaler, targets, memory, dict, dict, head)
    shape = Shape(lessons.X.shape[2], targets.shape[1], task.activation)
    stacks = [
        _Stack([p for p in points if swept_dropout(p) == rate], shape, task, targets, seed)
        for rate in dict.fromkeys(swept_dropout(p) for p in points)
    ]
    _run(stacks, training, base, seed)
    return _measured(stacks, task, scaler, lessons)


# --- training -------------------------------------------------------------------------------------


class _Stack:
    """Networks that differ in rate and decay alone, their kernels beside each other."""

    def __init__(
        self,
        points: Sequence[NetworkSettings],
        shape: Shape,
        task: Task,
        targets: npt.NDArray[np.float32],
        seed: int,
    ) -> None:
        import tensorflow as tf

        self.size, self.base = len(points), points[0]
        self.dropouts = dropouts(self.base, shape.n_features)
        self.loss = loss_of(task.loss, self.base)
        self.activation = keras.activations.get(shape.activation)
        body = build_body(self.base, shape, seed)
        if self.base.start == "mean":
            start_at(body, task.start_bias(targets))
        first, *rest = trained_weights(body)
        # The first kernel (D, size, units) is one matrix to multiply with; others (size, ...).
        self.weights = [tf.Variable(np.stack([first] * self.size, axis=1))]
        self.weights += [tf.Variable(np.stack([w] * self.size)) for w in rest]
        self.moments = [
            (tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for w in self.weights
        ]
        self.lr = np.array([p.lr for p in points], np.float32)
        self.decay = np.array([p.l2 for p in points], np.float32)

    def outputs(self, x: Any, kept: Sequence[Any] = ()) -> Any:
        """Return (batch, size, width) for standardised features (batch, D).

        In training, `kept` are the blocks of the features and of each hidden layer that a step
        keeps, and `x` are the features of those blocks.
        """
        import tensorflow as tf

        first, bias, *rest = thinned(self.weights, self.dropouts, kept) if kept else self.weights
        h = multiplied(x, tf.reshape(first, (first.shape[0], -1)))
        h = tf.reshape(h, (-1, *bias.shape)) + bias
        for kernel, bias in zip(rest[::2], rest[1::2], strict=True):
            h = tf.einsum("bsh,sho->bso", tf.nn.relu(h), kernel) + bias
        return self.activation(h)

    def losses(self, y: Any, outputs: Any) -> Any:
        """Return (batch, size) losses for targets (batch, width)."""
        return self.loss(ops.broadcast_to(y[:, None], ops.shape(outputs)), outputs)

    def step(self, batch: Any, y: Any, kept: Sequence[Any], number: Any, course: Any) -> None:
        """Move all networks by one batch; `course` is the schedule's share of each rate."""
        import tensorflow as tf

        x = kept_units(batch, 1, self.dropouts[0], kept[0])
        x = tf.cast(x, precision_of(self.base))
        with tf.GradientTape() as tape:
            # Each network's loss depends on its own weights alone, so that their sum's gradient
            # is each one's own.
            total = tf.reduce_sum(tf.reduce_mean(self.losses(y, self.outputs(x, kept)), 0))
        gradients = tape.gradient(total, self.weights)
        correction = tf.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
        for i, (w, g, (m, v)) in enumerate(zip(self.weights, gradients, self.moments, strict=True)):
            rate, decay = self._spread(i, self.lr) * course, self._spread(i, self.decay)
            m.assign_add((g - m) * (1 - BETA_1))
            v.assign_add((tf.square(g) - v) * (1 - BETA_2))
            moved = w * (1 - rate * decay) if i % 2 == 0 else w
            w.assign(moved - rate * correction * m / (tf.sqrt(v) + EPSILON))

    def _spread(self, i: int, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give each of `size` values the shape that multiplies weight i."""
        shape = self.weights[i].shape
        return values.reshape(-1, *[1] * (len(shape) - (2 if i == 0 else 1)))


def _run(stacks: Sequence[_Stack], training: Training, base: NetworkSettings, seed: int) -> None:
    import tensorflow as tf

    size, n = int(base.batch_size or 0), len(training.photographs)
    total = int(base.epochs or 0) * -(-n // size)
    done = tf.Variable(0.0)

    @tf.function(reduce_retracing=True)
    def run(features: Any, targets: Any, rows: Any, photos: Any, kept: Any) -> None:
        n_here = tf.shape(rows)[0]
        for step in tf.range((n_here + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n_here)
            batch, y = tf.gather(features, rows[a:b]), tf.gather(targets, photos[a:b])
            course = tf.constant(1.0)
            if base.schedule == "cosine":
                course = 0.5 * (1 + tf.cos(np.pi * done / total))
            done.assign_add(1.0)
            for stack, blocks in zip(stacks, kept, strict=True):
                stack.step(batch, y, [of_layer[step] for of_layer in blocks], done, course)

    rng = np.random.default_rng(seed)
    bar = tqdm(range(int(base.epochs or 0)), "sweep", disable=None, leave=False)
    with bar, Blocks(training, size, precision_of(base)) as blocks:
        for _ in bar:
            for features, targets in blocks.shuffled(rng):
                photos, rows = draw_rows(training, len(targets), rng)
                steps = -(-len(targets) // size)
                kept = tuple(tuple(d.draw(steps, rng) for d in s.dropouts) for s in stacks)
                run(features, targets, rows, photos, kept)


# --- measuring ------------------------------------------------------------------------------------


def _measured(
    stacks: Sequence[_Stack], task: Task, scaler: Standardiser, lessons: Lessons
) -> tuple[list[float], list[float]]:
    """Return loss and SRCC on val of every network, stack by stack."""
    labels = lessons.labels_val
    targets, mean = task.encode(labels), labels.mean
    inputs = scaler.apply(mean_of_views(lessons.X_val))
    losses: list[float] = []
    srccs: list[float] = []
    for stack in stacks:
        loss, outputs = _of_stack(stack, inputs, targets)
        losses += loss.tolist()
        for number in range(stack.size):
            here = outputs[:, number]
            finite = np.isfinite(here).all()
            srccs.append(spearman(task.decode(here).score, mean) if finite else np.nan)
    return losses, srccs


def _of_stack(
    stack: _Stack, inputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    losses, outputs = [], []
    for a, b in spans(len(inputs), VAL_ROWS):
        given = stack.outputs(ops.convert_to_tensor(inputs[a:b]))
        outputs.append(ops.convert_to_numpy(given))
        losses.append(
            ops.convert_to_numpy(stack.losses(ops.convert_to_tensor(targets[a:b]), given))
        )
    return np.concatenate(losses).mean(axis=0, dtype=np.float64), np.concatenate(outputs)
