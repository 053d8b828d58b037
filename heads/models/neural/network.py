"""The small networks behind the neural heads: building and running them, and their losses.

A whole model is kept as plain arrays, and made anew from them and the settings. Owns the
network from features to outputs, not what the outputs mean; must not import scikit-learn.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cache.frameworks import refuse_forked
from heads.data.features import Float32Array, signed_root
from heads.models.base import Arrays
from heads.models.neural.dropout import Dropout, dropouts
from heads.models.neural.inputs import Standardiser
from heads.models.neural.settings import NetworkSettings, ResolvedSettings
from heads.models.neural.tasks import Task

# (true, predicted), both (n, width), to one value a row.
Loss = Callable[[Any, Any], Any]


# --- losses ---------------------------------------------------------------------------------------


def squared_emd(true: Any, predicted: Any) -> Any:
    """Return the mean over ratings of the squared CDF gap: the square of EMD with r = 2.

    The root is left out on purpose: its gradient at equality is 0 / 0. Without it the gradient
    vanishes there, and the minimum is the same.

    Source: Talebi and Milanfar, "NIMA: Neural Image Assessment" (2018), equation 1, after Hou, Yu
    and Samaras (2016).

    Args:
        true, predicted: (..., K) distributions whose last axis sums to 1.

    Returns:
        (...) values in [0, 1), one for each photograph.
    """
    # The CDF of a difference is the difference of the CDFs, and loses fewer digits.
    # As a product, it and its gradient take a fraction of the time of ops.cumsum.
    ones = ops.ones((true.shape[-1], true.shape[-1]), dtype="float32")
    return ops.mean(ops.square(ops.matmul(predicted - true, ops.triu(ones))), axis=-1)


# By the names that tasks use.
LOSSES: dict[str, Loss] = {
    "emd": squared_emd,
    "mse": keras.losses.mean_squared_error,
    "bce": keras.losses.binary_crossentropy,
}


@cache
def loss_of(name: str, weight: float = 0.0) -> Loss:
    """Return a loss by its name, the same each time; "emd" with so much of cross-entropy."""
    if name != "emd" or not weight:
        return LOSSES[name]

    def emd_and_cross_entropy(true: Any, predicted: Any) -> Any:
        entropy = keras.losses.categorical_crossentropy(true, predicted)
        return squared_emd(true, predicted) + weight * entropy

    return emd_and_cross_entropy


# --- one network ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Network:
    """A network behind standardised features, and all that its optimizer steps need.

    `dropouts` are those of the features and of each hidden layer; over `decay_steps` the learning
    rate falls to 0.
    """

    body: Any
    loss: Loss
    dropouts: Sequence[Dropout]
    settings: ResolvedSettings
    decay_steps: float

    @classmethod
    def build(
        cls,
        task: Task,
        targets: Float32Array,
        settings: ResolvedSettings,
        n_features: int,
        seed: int,
    ) -> Network:
        """Return a network that has learned nothing yet of targets (n, width)."""
        body = build_body(settings, n_features, targets.shape[1], task.activation, seed)
        if settings.start == "mean":
            start_at(body, task.start_bias(targets))
        return cls.of(body, task, settings, len(targets), dropouts(settings, n_features))

    @classmethod
    def of(
        cls,
        body: Any,
        task: Task,
        settings: ResolvedSettings,
        n: int,
        dropouts: Sequence[Dropout] = (),
    ) -> Network:
        """Return a body with its loss, and the course of its steps on n photographs."""
        steps = settings.epochs * -(-n // settings.batch_size)
        decay_steps = steps if settings.schedule == "cosine" else math.inf
        loss = loss_of(task.loss, settings.cross_entropy)
        return cls(body, loss, dropouts, settings, decay_steps)


def build_body(
    settings: NetworkSettings, n_features: int, width: int, activation: str, seed: int
) -> Any:
    """Return dense layers from (n, n_features) standardised features to (n, width) outputs.

    With `start` mean the output kernel is zero (see `start_at`); else it is Glorot's, Keras' own.
    """
    layers: list[Any] = [keras.Input((n_features,))]
    for i, units in enumerate(settings.hidden):
        layers.append(_dense(units, "relu", keras.initializers.HeNormal(seed=seed + i)))
    at_mean = settings.start == "mean"
    start = keras.initializers.Zeros() if at_mean else keras.initializers.GlorotUniform(seed=seed)
    layers.append(_dense(width, activation, start))
    return keras.Sequential(layers)


def _dense(width: int, activation: str, start: Any) -> Any:
    return keras.layers.Dense(width, activation=activation, kernel_initializer=start)


def start_at(body: Any, bias: Float32Array) -> None:
    """Set the output's bias (width,), so that with a zero kernel the network begins as constant.

    A softmax that starts at random on many large inputs is at once sure of one rating, where its
    gradient is all but zero, and stays there. From the mean target it can only get better.
    """
    body.layers[-1].bias.assign(bias)


# --- the whole model, from raw features -----------------------------------------------------------


def trained_weights(body: Any) -> list[Float32Array]:
    """Return kernel and bias of each dense layer, in order."""
    return [variable.numpy() for variable in body.trainable_variables]


def whole_model(bodies: Sequence[Any], scaler: Standardiser) -> Any:
    """Return the model from raw features (n, D) to outputs (n, width): the bodies' mean.

    Standardisation is folded into each first kernel, so that it is built of nothing but the root,
    dense layers and one average; it shares no weights with the bodies.
    """
    first = [folded(trained_weights(body), scaler) for body in bodies]
    activations = [
        layer.activation for layer in bodies[0].layers if isinstance(layer, keras.layers.Dense)
    ]
    return _assembled(scaler.root, activations, first)


def folded(weights: Sequence[Float32Array], scaler: Standardiser) -> list[Float32Array]:
    """Return weights that give from x what the given ones give from (x - mean) / deviation.

    ((x - m) / s) W + b = x (W / s) + (b - (m / s) W)
    """
    kernel, bias, *rest = weights
    scaled = kernel.astype(np.float64) / scaler.deviation[:, None]
    moved = bias - scaler.mean.astype(np.float64) @ scaled
    return [scaled.astype(np.float32), moved.astype(np.float32), *rest]


def _assembled(
    root: bool, activations: Sequence[Any], members: Sequence[Sequence[Float32Array]]
) -> Any:
    inputs = keras.Input((members[0][0].shape[0],))
    x = signed_root(inputs, ops) if root else inputs
    outputs = []
    for weights in members:
        out = x
        for activation, bias in zip(activations, weights[1::2], strict=True):
            out = keras.layers.Dense(len(bias), activation=activation)(out)
        outputs.append(out)
    whole = keras.layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    model = keras.Model(inputs, whole, name="head")
    # Keras sorts layers by depth, so the members' weights are set layer by layer.
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for layer, weights in zip(dense, _by_depth(members), strict=True):
        layer.set_weights(weights)
    return model


def _by_depth(members: Sequence[Sequence[Float32Array]]) -> list[list[Float32Array]]:
    """First layers of all members, then their second layers, ...: kernel and bias each."""
    depth = len(members[0]) // 2
    return [list(member[2 * i : 2 * i + 2]) for i in range(depth) for member in members]


def forward(model: Any, inputs: Float32Array) -> Float32Array:
    """Return a model's outputs (n, width) for inputs (n, D), without dropout.

    Raises:
        EngineError: this process was forked from one that uses a framework.
    """
    refuse_forked()
    outputs: Float32Array = ops.convert_to_numpy(model(ops.convert_to_tensor(inputs)))
    return outputs


def model_state(model: Any) -> dict[str, npt.NDArray[Any]]:
    """Return a whole model's weights, `weight_0`, `weight_1`, ..."""
    return {f"weight_{i}": np.array(w) for i, w in enumerate(model.get_weights())}


def rebuilt_model(arrays: Arrays, settings: NetworkSettings, activation: str) -> Any:
    """Return the whole model of `model_state`, made anew from what its settings say.

    Raises:
        ValueError, KeyError: they do not fit.
    """
    weights = [arrays[f"weight_{i}"] for i in range(len(arrays))]
    depth = len(settings.hidden) + 1
    n_members, left = divmod(len(weights), 2 * depth)
    if left or not n_members:
        raise ValueError(f"{len(weights)} arrays of weights for networks of {depth} layers")
    members = [
        [weights[2 * (n_members * i + m) + part] for i in range(depth) for part in (0, 1)]
        for m in range(n_members)
    ]
    activations = ["relu"] * (depth - 1) + [activation]
    return _assembled(settings.transform == "root", activations, members)


def weights_of_keras_file(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return what `model_state` returned for the model.keras of a run of an earlier version.

    Its layers' descriptions are not looked at: in them code can hide, Keras' safe mode or not.

    Raises:
        ValueError, KeyError, OSError, BadZipFile: it is damaged, or no such file.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("model.weights.h5").compress_type != zipfile.ZIP_STORED:
            raise ValueError("model.weights.h5 is compressed, which Keras does not do")
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        layers = [f"layers/dense_{i}" if i else "layers/dense" for i in range(len(file["layers"]))]
        parts = [f"{layer}/vars/{part}" for layer in layers if layer in file for part in "01"]
        return {f"weight_{i}": _plain_array(file, part) for i, part in enumerate(parts)}


def _plain_array(file: h5py.File, name: str) -> npt.NDArray[Any]:
    place, _, last = name.rpartition("/")
    link = file[place].get(last, getlink=True)
    if not isinstance(link, h5py.HardLink) or file[name].external or file[name].is_virtual:
        raise ValueError(f"{name} leads to another place")
    return np.asarray(file[name][:])
