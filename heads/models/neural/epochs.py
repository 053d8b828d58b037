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
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from heads.models.neural.dropout import Dropout
from heads.models.neural.network import Loss, Network
from heads.models.neural.settings import NetworkSettings, ResolvedSettings

CPUINFO = Path("/proc/cpuinfo")
# Of sgd, and of adam and adamw: Keras' own but for the first.
MOMENTUM = 0.9
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

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
    """Return a pass: gather, leave out what is dropped, step.

    Networks that differ in weights, rates and numbers of photographs alone share its graph: tracing
    one takes a third of a second, as long as some hundred steps.
    """
    if not network.dropouts:
        return _make_epoch_of_any_model(network)
    body, settings = network.body, network.settings
    graph = _traced(
        tuple(dense.activation for dense in body.layers if isinstance(dense, layers.Dense)),
        tuple(tuple(variable.shape) for variable in body.trainable_variables),
        network.loss,
        tuple(network.dropouts),
        str(settings.precision),
        settings.optimizer,
    )
    return partial(graph, OptimizerState.of(network), tf.constant(settings.batch_size))


@lru_cache(maxsize=8)
def _traced(
    activations: tuple[Any, ...],
    shapes: tuple[tuple[int, ...], ...],
    loss: Loss,
    dropouts: tuple[Dropout, ...],
    precision: str,
    optimizer: str,
) -> Any:
    """Return the graph of a pass over dense layers; `shapes` tells those of other widths apart."""

    def epoch(
        state: OptimizerState,
        size: Any,
        features: Any,
        targets: Any,
        rows: Any,
        photos: Any,
        kept: tuple[Any, ...],
    ) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            blocks = [of_layer[step] for of_layer in kept]
            x = kept_units(tf.gather(features, rows[a:b]), 1, dropouts[0], blocks[0])
            x, y = tf.cast(x, precision), tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                weights = thinned(state.variables, dropouts, blocks)
                for activation, kernel, bias in zip(
                    activations, weights[::2], weights[1::2], strict=True
                ):
                    product = tf.cast(x @ tf.cast(kernel, x.dtype), tf.float32)
                    x = activation(product + bias)
                value = tf.reduce_mean(loss(y, x))
                if optimizer != "adamw":
                    squares = [tf.reduce_sum(tf.square(v)) for v in state.variables[::2]]
                    value += state.l2 * tf.add_n(squares)
            take_step(optimizer, state, tape.gradient(value, state.variables))

    return tf.function(epoch, reduce_retracing=True)


def _make_epoch_of_any_model(network: Network) -> Epoch:
    """Return a pass over a model whose layers are its own affair, in training mode."""
    body, size, state = network.body, network.settings.batch_size, OptimizerState.of(network)

    def epoch(features: Any, targets: Any, rows: Any, photos: Any, kept: tuple[Any, ...]) -> None:
        n = tf.shape(rows)[0]
        for step in tf.range((n + size - 1) // size):
            a, b = step * size, tf.minimum((step + 1) * size, n)
            x, y = tf.gather(features, rows[a:b]), tf.gather(targets, photos[a:b])
            with tf.GradientTape() as tape:
                outputs = body(tf.cast(x, tf.float32), training=True)
                value = tf.reduce_mean(network.loss(y, outputs))
                value += tf.add_n(body.losses) if body.losses else 0.0
            take_step(network.settings.optimizer, state, tape.gradient(value, state.variables))

    compiled: Epoch = tf.function(epoch, reduce_retracing=True)
    return compiled


class OptimizerState(NamedTuple):
    """What a network's steps change, and what rules them; TensorFlow variables and scalars.

    `slots` are two moments of each variable, or with sgd its momentum; `done` counts the steps. The
    rate falls from `lr` to 0 over `decay_steps`, and stays where these are infinitely many.
    """

    variables: list[Any]
    slots: list[list[Any]]
    done: Any
    lr: Any
    decay_steps: Any
    l2: Any

    @classmethod
    def of(cls, network: Network) -> OptimizerState:
        """Return the state before the first step."""
        settings = network.settings
        variables = [variable.value for variable in network.body.trainable_variables]
        n_slots = 1 if settings.optimizer == "sgd" else 2
        slots = [[tf.Variable(tf.zeros(v.shape)) for _ in range(n_slots)] for v in variables]
        rules = (settings.lr, network.decay_steps, settings.l2)
        scalars = (tf.constant(rule, tf.float32) for rule in rules)
        return cls(variables, slots, tf.Variable(0, dtype=tf.int64), *scalars)


def take_step(optimizer: str, state: OptimizerState, gradients: Sequence[Any]) -> None:
    """Make a step of an optimizer of the settings, within a TensorFlow graph.

    Its kernels go over each variable once; those of Keras' optimizers, whose steps these are, go
    over it ten times, which took a fifth of a pass.

    Source of the rate: Loshchilov and Hutter, "SGDR" (2017), equation 5, without restarts.
    """
    done = tf.cast(state.done, tf.float32)
    share = tf.minimum(done, state.decay_steps) / state.decay_steps
    rate = state.lr * (0.5 * (1.0 + tf.cos(np.pi * share)))
    for variable, gradient, slots in zip(state.variables, gradients, state.slots, strict=True):
        if optimizer == "sgd":
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.handle,
                accum=slots[0].handle,
                lr=rate,
                grad=gradient,
                momentum=MOMENTUM,
            )
        else:
            # A decaying bias would move the prediction away from the mean target.
            if optimizer == "adamw" and len(variable.shape) > 1:
                variable.assign(variable * (1 - rate * state.l2))
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=slots[0].handle,
                v=slots[1].handle,
                beta1_power=tf.pow(BETA_1, done + 1),
                beta2_power=tf.pow(BETA_2, done + 1),
                lr=rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                grad=gradient,
            )
    state.done.assign_add(1)


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
