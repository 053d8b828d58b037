"""One pass over a block of features: one compiled graph, or Keras' own steps on any backend.

Owns the steps of a pass; the passes of a training are `trainer`'s. Must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from heads.models.neural.dropout import Dropout
from heads.models.neural.inputs import spans
from heads.models.neural.losses import Loss
from heads.models.neural.network import Gate
from heads.models.neural.precision import precision_of
from heads.models.neural.settings import NetworkSettings


@dataclass(frozen=True, eq=False)
class Pass:
    """The order in which a block is seen, and its noise.

    `rows` (n,) int32 are rows of the block's standardised features, `photos` (n,) int32 the rows of
    its targets. `kept` has the blocks of units that each step keeps, (steps, n_kept) int32, of the
    features and of each hidden layer.
    """

    rows: npt.NDArray[np.int32]
    photos: npt.NDArray[np.int32]
    kept: tuple[npt.NDArray[np.int32], ...]


# Inputs (n, D) and targets (n, width) to outputs (n, width) and a loss; tensors.
Measure = Callable[[Any, Any], tuple[Any, Any]]


class Epoch(Protocol):
    """Makes one pass over a block: standardised features (m, D), targets (n, width)."""

    def __call__(self, features: Any, targets: Any, order: Pass) -> None: ...


@dataclass(frozen=True, eq=False)
class Learner:
    """What a pass changes and how: the network behind standardised inputs.

    `dropouts` are those of the features and of each hidden layer. `settings` are resolved: no None
    in them.
    """

    body: Any
    optimizer: Any
    loss: Loss
    dropouts: Sequence[Dropout]
    settings: NetworkSettings

    @property
    def precision(self) -> str:
        """What the features are multiplied in."""
        return precision_of(self.settings)

    @property
    def batch_size(self) -> int:
        """Photographs in a step."""
        return int(self.settings.batch_size or 0)

    @property
    def epochs(self) -> int:
        """Passes over all photographs."""
        return int(self.settings.epochs or 0)


def make_measure(body: Any, loss: Loss) -> Measure:
    """Return what tells a network's outputs as it is, without dropout, and their mean loss.

    Compiled where TensorFlow is the backend: layer by layer, a small set would take longer to
    measure than to train on.
    """

    def measured(inputs: Any, targets: Any) -> tuple[Any, Any]:
        outputs = body(inputs)
        return outputs, ops.mean(loss(targets, outputs))

    if keras.backend.backend() != "tensorflow":
        return measured
    import tensorflow as tf

    widths = body.input_shape[-1], body.output_shape[-1]
    signature = [tf.TensorSpec((None, width), tf.float32) for width in widths]
    compiled: Measure = tf.function(measured, input_signature=signature)
    return compiled


def make_epoch(learner: Learner) -> Epoch:
    """Return the compiled pass where TensorFlow is the backend, else the neutral one."""
    if keras.backend.backend() == "tensorflow":
        return tensorflow_epoch(learner)
    return neutral_epoch(learner)


def tensorflow_epoch(learner: Learner) -> Epoch:
    """Return a pass that is one TensorFlow graph: gather, leave out what is dropped, step."""
    import tensorflow as tf

    body, size, variables = learner.body, learner.batch_size, learner.body.trainable_variables
    move = mover(learner.optimizer, variables)
    activations = [dense.activation for dense in body.layers if isinstance(dense, layers.Dense)]

    @tf.function(reduce_retracing=True)
    def run(features: Any, targets: Any, rows: Any, photos: Any, kept: tuple[Any, ...]) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            blocks = [of_layer[step] for of_layer in kept]
            x = kept_units(tf.gather(features, rows[a:b]), 1, learner.dropouts[0], blocks[0])
            x, y = tf.cast(x, learner.precision), tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                weights = thinned([v.value for v in variables], learner.dropouts, blocks)
                for activation, kernel, bias in zip(
                    activations, weights[::2], weights[1::2], strict=True
                ):
                    x = activation(multiplied(x, kernel) + bias)
                value = tf.reduce_mean(learner.loss(y, x))
                value += tf.add_n(body.losses) if body.losses else 0.0
            move(tape.gradient(value, variables))

    def epoch(features: Any, targets: Any, order: Pass) -> None:
        run(features, targets, order.rows, order.photos, order.kept)

    return epoch


def multiplied(x: Any, kernel: Any) -> Any:
    """Return x @ kernel as float32, multiplied and rounded in the precision of x; tensors."""
    import tensorflow as tf

    return tf.cast(x @ tf.cast(kernel, x.dtype), tf.float32)


def mover(optimizer: Any, variables: Sequence[Any]) -> Callable[[Sequence[Any]], None]:
    """Return what an optimizer does to variables with their gradients, inside a TensorFlow graph.

    Adam and AdamW go over each variable once, in TensorFlow's own kernel; Keras' go over it ten
    times, which took a fifth of a pass.
    """
    import tensorflow as tf

    if not isinstance(optimizer, keras.optimizers.Adam):
        return lambda gradients: optimizer.apply(gradients, variables)
    moments = [[tf.Variable(tf.zeros(v.shape)) for _ in range(2)] for v in variables]

    def move(gradients: Sequence[Any]) -> None:
        rate, done = optimizer.learning_rate, tf.cast(optimizer.iterations.value, tf.float32) + 1
        for variable, gradient, (m, v) in zip(variables, gradients, moments, strict=True):
            held = variable.value
            if optimizer.weight_decay and len(held.shape) > 1:
                held.assign(held * (1 - rate * optimizer.weight_decay))
            tf.raw_ops.ResourceApplyAdam(
                var=held.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=tf.pow(optimizer.beta_1, done),
                beta2_power=tf.pow(optimizer.beta_2, done),
                lr=rate,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )
        optimizer.iterations.assign_add(1)

    return move


def thinned(weights: Sequence[Any], dropouts: Sequence[Dropout], kept: Sequence[Any]) -> list[Any]:
    """Return a network's kernels and biases without what a step drops, TensorFlow tensors.

    Args:
        weights: kernel and bias of each layer in order. A kernel's last axis are its outputs; its
            inputs are axis 0 of the first kernel and the last but one of others.
        dropouts: of the features and of each hidden layer.
        kept: (n_kept,) of each of them.
    """
    thin = list(weights)
    for i, (dropout, blocks) in enumerate(zip(dropouts, kept, strict=True)):
        if dropout.keeps_all:
            continue
        inputs = -2 if i else 0
        thin[2 * i] = kept_units(thin[2 * i], inputs, dropout, blocks) * dropout.scale
        if i:
            thin[2 * i - 2] = kept_units(thin[2 * i - 2], -1, dropout, blocks)
            thin[2 * i - 1] = kept_units(thin[2 * i - 1], -1, dropout, blocks)
    return thin


def kept_units(tensor: Any, axis: int, dropout: Dropout, blocks: Any) -> Any:
    """Return the units of `blocks` (n_kept,) along a TensorFlow tensor's axis.

    The gradient is put back by a gather too, from the kept blocks and one of zeros: TensorFlow's
    own adds up segments, after two transpositions.
    """
    import tensorflow as tf

    if dropout.keeps_all:
        return tensor
    sizes = [-1 if n is None else n for n in tensor.shape]
    axis %= len(sizes)
    before, after = sizes[:axis], sizes[axis + 1 :]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def kept(whole: Any) -> tuple[Any, Callable[[Any], Any]]:
        cut = tf.reshape(whole, [*before, dropout.n_blocks, dropout.block, *after])
        part = tf.gather(cut, blocks, axis=axis)

        def put_back(gradient: Any) -> Any:
            cut = tf.reshape(gradient, [*before, dropout.n_kept, dropout.block, *after])
            padding = [[int(i == axis), 0] for i in range(len(sizes) + 1)]
            places = tf.range(1, dropout.n_kept + 1)
            places = tf.scatter_nd(blocks[:, None], places, [dropout.n_blocks])
            return tf.reshape(tf.gather(tf.pad(cut, padding), places, axis=axis), sizes)

        return tf.reshape(part, [*before, dropout.n_kept * dropout.block, *after]), put_back

    return kept(tensor)


def neutral_epoch(learner: Learner) -> Epoch:
    """Return a pass through Keras' own training step, on any backend: gates drop by zeros."""
    # JAX would make each step operation by operation if it did not compile it.
    on_jax = keras.backend.backend() == "jax"
    learner.body.compile(optimizer=learner.optimizer, loss=learner.loss, jit_compile=on_jax)
    gates = [gate for gate in learner.body.layers if isinstance(gate, Gate)]

    def epoch(features: Any, targets: Any, order: Pass) -> None:
        features, targets = ops.convert_to_numpy(features), ops.convert_to_numpy(targets)
        for step, (a, b) in enumerate(spans(len(order.rows), learner.batch_size)):
            for gate, dropout, kept in zip(gates, learner.dropouts, order.kept, strict=True):
                gate.mask.assign(dropout.mask(kept[step]))
            x = features[order.rows[a:b]].astype(np.float32)
            learner.body.train_on_batch(x, targets[order.photos[a:b]])

    return epoch
