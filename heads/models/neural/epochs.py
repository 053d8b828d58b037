"""One pass over a block of features as one compiled TensorFlow graph, and its precision.

In bfloat16, a step rounds the features and the first kernel to 8 binary digits, multiplies those,
and rounds the product and its gradients in the same way. The weights and their moments, all other
layers, the figures of the history and every prediction are float32 (Kalamkar et al., "A Study of
BFLOAT16 for Deep Learning Training", 2019).

Owns the steps of a pass; the passes of a training are in `heads.models.neural.training`. Must not
import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from heads.models.neural.dropout import Dropout
from heads.models.neural.network import Network
from heads.models.neural.settings import NetworkSettings, ResolvedSettings

CPUINFO = Path("/proc/cpuinfo")

RowNumbers = npt.NDArray[np.int32]
# Inputs (n, D) and targets (n, width) to outputs (n, width) and their mean loss; tensors.
Evaluate = Callable[[Any, Any], tuple[Any, Any]]
# One pass over a block of standardised features (m, D) and targets (n, width), tensors both. Then
# the order, (n,) each: rows of the features, and of the targets. Last the blocks of units that each
# step keeps, (steps, n_kept), of the features and of each hidden layer.
Epoch = Callable[[Any, Any, RowNumbers, RowNumbers, tuple[RowNumbers, ...]], None]


def precision_of(settings: NetworkSettings) -> str:
    """Return `float32` or `bfloat16`: what the settings ask for, else what this machine does fast.

    A linear head's product is too narrow to gain.
    """
    if settings.precision is not None:
        return settings.precision
    return "bfloat16" if settings.hidden and multiplies_bfloat16() else "float32"


def for_this_machine(settings: ResolvedSettings) -> ResolvedSettings:
    """Return settings with the precision that this machine is to train in."""
    return replace(settings, precision=precision_of(settings))


@cache
def multiplies_bfloat16() -> bool:
    """Return whether TensorFlow runs on a processor that multiplies bfloat16 faster than float32.

    Read off AVX512-BF16 among the flags that Linux lists; False where nothing is listed, or where a
    GPU does the work.
    """
    if not CPUINFO.exists() or tf.config.list_physical_devices("GPU"):
        return False
    return "avx512_bf16" in CPUINFO.read_text().split()


def make_evaluate(network: Network) -> Evaluate:
    """Return a network's outputs and mean loss in inference mode, as a compiled function.

    Layer by layer, a small set would take longer to measure than to train on.
    """
    body = network.body
    widths = body.input_shape[-1], body.output_shape[-1]

    def evaluate(inputs: Any, targets: Any) -> tuple[Any, Any]:
        outputs = body(inputs)
        return outputs, ops.mean(network.loss(targets, outputs))

    signature = [tf.TensorSpec((None, width), tf.float32) for width in widths]
    compiled: Evaluate = tf.function(evaluate, input_signature=signature)
    return compiled


def make_epoch(network: Network) -> Epoch:
    """Return a pass: gather, leave out what is dropped, step."""
    if not network.dropouts:
        return _make_epoch_of_any_model(network)
    body, size = network.body, network.settings.batch_size
    variables, precision = body.trainable_variables, network.settings.precision
    apply = optimizer_step(network.optimizer, variables)
    activations = [dense.activation for dense in body.layers if isinstance(dense, layers.Dense)]

    def epoch(features: Any, targets: Any, rows: Any, photos: Any, kept: tuple[Any, ...]) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            blocks = [of_layer[step] for of_layer in kept]
            x = kept_units(tf.gather(features, rows[a:b]), 1, network.dropouts[0], blocks[0])
            x, y = tf.cast(x, precision), tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                weights = thinned([v.value for v in variables], network.dropouts, blocks)
                for activation, kernel, bias in zip(
                    activations, weights[::2], weights[1::2], strict=True
                ):
                    product = tf.cast(x @ tf.cast(kernel, x.dtype), tf.float32)
                    x = activation(product + bias)
                value = tf.reduce_mean(network.loss(y, x))
                value += tf.add_n(body.losses) if body.losses else 0.0
            apply(tape.gradient(value, variables))

    compiled: Epoch = tf.function(epoch, reduce_retracing=True)
    return compiled


def _make_epoch_of_any_model(network: Network) -> Epoch:
    """Return a pass over a model whose layers are its own affair, in training mode."""
    body, size = network.body, network.settings.batch_size
    variables = body.trainable_variables
    apply = optimizer_step(network.optimizer, variables)

    def epoch(features: Any, targets: Any, rows: Any, photos: Any, kept: tuple[Any, ...]) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            x, y = tf.gather(features, rows[a:b]), tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                outputs = body(tf.cast(x, tf.float32), training=True)
                value = tf.reduce_mean(network.loss(y, outputs))
                value += tf.add_n(body.losses) if body.losses else 0.0
            apply(tape.gradient(value, variables))

    compiled: Epoch = tf.function(epoch, reduce_retracing=True)
    return compiled


def optimizer_step(optimizer: Any, variables: Sequence[Any]) -> Callable[[Sequence[Any]], None]:
    """Return an optimizer's step from the gradients of variables, for a TensorFlow graph.

    Adam and AdamW go over each variable once, in TensorFlow's own kernel; Keras' go over it ten
    times, which took a fifth of a pass.
    """
    if not isinstance(optimizer, keras.optimizers.Adam):
        return lambda gradients: optimizer.apply(gradients, variables)
    moments = [[tf.Variable(tf.zeros(v.shape)) for _ in range(2)] for v in variables]

    def apply(gradients: Sequence[Any]) -> None:
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

    return apply


def thinned(weights: Sequence[Any], dropouts: Sequence[Dropout], kept: Sequence[Any]) -> list[Any]:
    """Return a network's kernels and biases without what a step drops, TensorFlow tensors.

    Args:
        weights: kernel (inputs, outputs) and bias of each layer in order.
        dropouts: of the features and of each hidden layer.
        kept: (n_kept,) of each of them.
    """
    thin = list(weights)
    for i, (dropout, blocks) in enumerate(zip(dropouts, kept, strict=True)):
        if dropout.keeps_all:
            continue
        thin[2 * i] = kept_units(thin[2 * i], 0, dropout, blocks) * dropout.scale
        if i:
            thin[2 * i - 2] = kept_units(thin[2 * i - 2], 1, dropout, blocks)
            thin[2 * i - 1] = kept_units(thin[2 * i - 1], 0, dropout, blocks)
    return thin


def kept_units(tensor: Any, axis: int, dropout: Dropout, blocks: Any) -> Any:
    """Return the units of `blocks` (n_kept,) along a TensorFlow tensor's axis.

    The gradient is put back by a gather too, from the kept blocks and one of zeros: TensorFlow's
    own adds up segments, after two transpositions.
    """
    if dropout.keeps_all:
        return tensor
    sizes = [-1 if n is None else n for n in tensor.shape]
    before, after = sizes[:axis], sizes[axis + 1 :]

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

    return tf.custom_gradient(kept)(tensor)
