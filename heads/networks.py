"""Building, saving and running the small networks behind the neural heads.

Only Keras' own layers are used, so that a saved model loads in safe mode. Owns the network from
features to outputs, not what the outputs mean; must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cache.errors import RunError
from heads.losses import squared_emd
from heads.photographs import Standardiser
from heads.settings import NetworkSettings
from heads.trainer import Loss

FloatArray32 = npt.NDArray[np.float32]

# By the names of `heads.tasks`: (targets (n, width), outputs (n, width)) to one value a row.
LOSSES: dict[str, Loss] = {
    "emd": squared_emd,
    "mse": keras.losses.mean_squared_error,
    "bce": keras.losses.binary_crossentropy,
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a network: features in, outputs, and the activation of the outputs."""

    n_features: int
    width: int
    activation: str


def build_body(settings: NetworkSettings, shape: Shape, seed: int) -> Any:
    """Return the network behind the standardised features: hidden layers and the output layer.

    With `start` mean the output kernel is zero (see `start_at`); else it is Glorot's, Keras' own.
    """
    pull = settings.l2 if settings.l2 and settings.optimizer != "adamw" else None
    layers: list[Any] = [keras.Input((shape.n_features,))]
    for i, width in enumerate(settings.hidden):
        layers.append(_dense(width, "relu", keras.initializers.HeNormal(seed=seed + i), pull))
        if settings.dropout:
            layers.append(keras.layers.Dropout(settings.dropout, seed=seed + i))
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


def whole_model(body: Any, scaler: Standardiser | None) -> Any:
    """Return the model from raw features to outputs; it shares the body's layers."""
    layers: list[Any] = [keras.Input(body.input_shape[1:])]
    if scaler is not None:
        layers.append(
            keras.layers.Normalization(mean=scaler.mean, variance=np.square(scaler.deviation))
        )
    return keras.Sequential([*layers, *body.layers], name="head")


def forward(model: Any, inputs: FloatArray32) -> FloatArray32:
    """Return a model's outputs (n, width) for inputs (n, D), without dropout."""
    outputs: FloatArray32 = ops.convert_to_numpy(model(ops.convert_to_tensor(inputs)))
    return outputs


def model_state(model: Any) -> dict[str, npt.NDArray[Any]]:
    """Return what a whole model holds: `weight_i` and, if it standardises, `mean`, `variance`."""
    arrays = {f"weight_{i}": np.array(w) for i, w in enumerate(model.get_weights())}
    first = model.layers[0]
    if isinstance(first, keras.layers.Normalization):
        arrays["mean"] = np.array(first.input_mean, np.float32)
        arrays["variance"] = np.array(first.input_variance, np.float32)
    return arrays


def model_from_state(
    settings: NetworkSettings, shape: Shape, arrays: Mapping[str, npt.NDArray[Any]]
) -> Any:
    """Rebuild a whole model from `model_state`."""
    scaler = None
    if "mean" in arrays:
        scaler = Standardiser(arrays["mean"], np.sqrt(arrays["variance"]))
    model = whole_model(build_body(settings, shape, seed=0), scaler)
    n_weights = sum(name.startswith("weight_") for name in arrays)
    model.set_weights([arrays[f"weight_{i}"] for i in range(n_weights)])
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
