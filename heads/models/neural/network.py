"""Building, saving and running the small networks behind the neural heads.

A whole model is made of Keras' own layers only, so that once saved it loads in safe mode. Owns the
network from features to outputs, not what the outputs mean; must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from heads.errors import RunError
from heads.models.neural.inputs import Standardiser
from heads.models.neural.losses import Loss, squared_emd
from heads.models.neural.settings import NetworkSettings

FloatArray32 = npt.NDArray[np.float32]

# By the names that tasks use: (targets (n, width), outputs (n, width)) to one value a row.
LOSSES: dict[str, Loss] = {
    "emd": squared_emd,
    "mse": keras.losses.mean_squared_error,
    "bce": keras.losses.binary_crossentropy,
}


def loss_of(name: str, settings: NetworkSettings) -> Loss:
    """Return a loss by its name; "emd" with its share of cross-entropy."""
    if name != "emd" or not settings.cross_entropy:
        return LOSSES[name]
    weight = settings.cross_entropy

    def emd_and_cross_entropy(true: Any, predicted: Any) -> Any:
        entropy = keras.losses.categorical_crossentropy(true, predicted)
        return squared_emd(true, predicted) + weight * entropy

    return emd_and_cross_entropy


@dataclass(frozen=True)
class Shape:
    """Sizes of a network: features in, outputs, and the activation of the outputs."""

    n_features: int
    width: int
    activation: str


class Gate(keras.layers.Layer):  # type: ignore[misc]
    """In training, multiplies a layer's units by one mask for the whole batch: dropout's."""

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Start with every unit let through."""
        self.mask = self.add_weight(
            shape=input_shape[-1:], initializer="ones", trainable=False, name="mask"
        )

    def call(self, units: Any, training: bool = False) -> Any:
        """Return units (n, width), masked in training alone."""
        return units * self.mask if training else units


def build_body(settings: NetworkSettings, shape: Shape, seed: int) -> Any:
    """Return the network behind the standardised features: a gate before each dense layer.

    With `start` mean the output kernel is zero (see `start_at`); else it is Glorot's, Keras' own.
    """
    pull = settings.l2 if settings.l2 and settings.optimizer != "adamw" else None
    layers: list[Any] = [keras.Input((shape.n_features,)), Gate()]
    for i, width in enumerate(settings.hidden):
        layers.append(_dense(width, "relu", keras.initializers.HeNormal(seed=seed + i), pull))
        layers.append(Gate())
    at_mean = settings.start == "mean"
    start = keras.initializers.Zeros() if at_mean else keras.initializers.GlorotUniform(seed=seed)
    layers.append(_dense(shape.width, shape.activation, start, pull))
    return keras.Sequential(layers)


def _dense(width: int, activation: str, start: Any, pull: float | None) -> Any:
    return keras.layers.Dense(
        width,
        activation=activation,
        kernel_initializer=start,
        kernel_regularizer=None if pull is None else keras.regularizers.L2(pull),
    )


def start_at(body: Any, bias: FloatArray32) -> None:
    """Set the output's bias (width,), so that with a zero kernel the network begins as constant.

    A softmax that starts at random on many large inputs is at once sure of one rating, where its
    gradient is all but zero, and stays there. From the mean target it can only get better.
    """
    body.layers[-1].bias.assign(bias)


def trained_weights(body: Any) -> list[FloatArray32]:
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


def folded(weights: Sequence[FloatArray32], scaler: Standardiser) -> list[FloatArray32]:
    """Return weights that give from x what the given ones give from (x - mean) / deviation.

    ((x - m) / s) W + b = x (W / s) + (b - (m / s) W)
    """
    kernel, bias, *rest = weights
    scaled = kernel.astype(np.float64) / scaler.deviation[:, None]
    moved = bias - scaler.mean.astype(np.float64) @ scaled
    return [scaled.astype(np.float32), moved.astype(np.float32), *rest]


def _assembled(
    root: bool, activations: Sequence[Any], members: Sequence[Sequence[FloatArray32]]
) -> Any:
    inputs = keras.Input((members[0][0].shape[0],))
    x = ops.sign(inputs) * ops.sqrt(ops.abs(inputs)) if root else inputs
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


def _by_depth(members: Sequence[Sequence[FloatArray32]]) -> list[list[FloatArray32]]:
    """First layers of all members, then their second layers, ...: kernel and bias each."""
    depth = len(members[0]) // 2
    return [list(member[2 * i : 2 * i + 2]) for i in range(depth) for member in members]


def forward(model: Any, inputs: FloatArray32) -> FloatArray32:
    """Return a model's outputs (n, width) for inputs (n, D), without dropout."""
    outputs: FloatArray32 = ops.convert_to_numpy(model(ops.convert_to_tensor(inputs)))
    return outputs


def model_state(model: Any) -> dict[str, npt.NDArray[Any]]:
    """Return a whole model's weights, `weight_0`, `weight_1`, ..."""
    return {f"weight_{i}": np.array(w) for i, w in enumerate(model.get_weights())}


def model_from_state(
    settings: NetworkSettings, shape: Shape, arrays: Mapping[str, npt.NDArray[Any]]
) -> Any:
    """Rebuild a whole model from `model_state`."""
    activations = ["relu"] * len(settings.hidden) + [shape.activation]
    widths = [shape.n_features, *settings.hidden, shape.width]
    blank = [np.zeros(size, np.float32) for a, b in pairwise(widths) for size in ((a, b), (b,))]
    members = len(arrays) // len(blank)
    model = _assembled(settings.transform == "root", activations, [blank] * members)
    model.set_weights([arrays[f"weight_{i}"] for i in range(len(arrays))])
    return model


def save_model(model: Any, path: Path) -> None:
    """Write a model as a .keras file."""
    model.save(path)


def load_model(path: Path) -> Any:
    """Read a .keras file in safe mode: no code is run from it.

    Raises:
        RunError: the file is missing or no Keras model.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} cannot be loaded as a Keras model: {error} Train the head again."
        ) from error
