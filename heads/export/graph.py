"""One Keras model from 8-bit pixels to score and distribution: what `heads export` writes.

Resizing, cropping, scaling, backbone and head, of Keras' own operations only, so that it loads in
safe mode and converts to other formats. Owns the graph; reads and writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from heads.data.features import signed_root
from heads.models.base import LookingHead
from heads.models.linear import LinearModel
from heads.photos import MEAN_COLOUR, View, build_graph, views_of
from heads.runs.loaded import LoadedRun

Tensor = Any
Outputs = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class ExportGraph:
    """The exported model and the two halves that it is made of.

    `whole`: (batch, height, width, 3) uint8 RGB of any size to `score` (batch,) on the data's
    scale, `p_beautiful` (batch,) and, where the head has one, `distribution` (batch, K).
    `crops`: the same pixels to (batch, V, 224, 224, 3) uint8, the views.
    `answers`: those to the outputs.
    """

    whole: keras.Model
    crops: keras.Model
    answers: keras.Model


def build(run: LoadedRun, *, weights: str = "auto") -> ExportGraph:
    """Build the model of a run.

    Raises:
        MismatchError, WeightsError: its features cannot be made here.
    """
    spec = run.config.extractor
    crops = build_crops(views_of(spec), spec.resize, spec.crop)
    answers = _build_answers(run, build_graph(spec, weights=weights), len(spec.views))
    pixels_u8 = keras.Input((None, None, 3), dtype="uint8", name="pixels_u8")
    whole = keras.Model(pixels_u8, answers(crops(pixels_u8)), name="aesthetic_score")
    return ExportGraph(whole, crops, answers)


# --- pixels to views ------------------------------------------------------------------------------


def build_crops(views: Sequence[View], resize: tuple[int, int], crop: tuple[int, int]) -> Any:
    """Return the model from (batch, height, width, 3) uint8 to the views, (batch, V, *crop, 3).

    It computes as Pillow does, to a level of 255 here and there. One view is resized by itself;
    several are cut from the photograph resized whole: both as when a cache is made.
    """
    pixels_u8 = keras.Input((None, None, 3), dtype="uint8", name="pixels_u8")
    if views[0].shapes:
        cut = [_framed(pixels_u8, views[0].shapes)]
    elif len(views) == 1:
        cut = [_flipped(_resized(pixels_u8, views[0].box, crop), views[0])]
    else:
        whole = _resized(pixels_u8, (0.0, 0.0, 1.0, 1.0), resize)
        cut = []
        for view in views:
            left, top = round(view.box[0] * resize[0]), round(view.box[1] * resize[1])
            part = whole[:, top : top + crop[1], left : left + crop[0]]
            cut.append(_flipped(part, view))
    return keras.Model(pixels_u8, ops.cast(ops.stack(cut, axis=1), "uint8"), name="crops")


def _flipped(pixels: Tensor, view: View) -> Tensor:
    return ops.flip(pixels, axis=2) if view.flipped else pixels


def _resized(
    pixels_u8: Tensor, box: tuple[float, float, float, float], size: tuple[int, int]
) -> Tensor:
    """Resize a box to (batch, *size, 3) float32 whole numbers."""
    columns, rows = (
        _resampling(ones, box[i], box[i + 2], size[i], np.arange(0.5, size[i], dtype=np.float32))
        for i, ones in enumerate(_sides(pixels_u8))
    )
    return _product(pixels_u8, columns, rows)


def _sides(pixels_u8: Tensor) -> tuple[Tensor, Tensor]:
    """Return ones (batch, width) and (batch, height), whose sums are the size: it is not known."""
    ones = ops.ones_like(ops.cast(pixels_u8[..., 0], "float32"))
    return ones[:, 0], ones[:, :, 0]


def _product(pixels_u8: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Resize with the weights of `_resampling`, as two products of matrices, to whole numbers.

    Pillow resizes first along rows, rounds, then along columns, and rounds (its Resample.c).
    """
    planes = ops.transpose(ops.cast(pixels_u8, "float32"), (0, 3, 1, 2))
    across = ops.matmul(planes, ops.expand_dims(ops.transpose(columns, (0, 2, 1)), 1))
    down = ops.matmul(ops.expand_dims(rows, 1), _rounded(across))
    return ops.transpose(_rounded(down), (0, 2, 3, 1))


def _framed(pixels_u8: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Return (batch, rows, columns, 3) in the shape that `View.fit` takes for these photographs.

    All are of one size. They are drawn on a square that holds every shape, which is cut to theirs.
    """
    sides = _sides(pixels_u8)
    width, height = (ops.sum(ones[0]) for ones in sides)
    across, down = np.asarray(shapes, np.float32).T
    best = ops.top_k(-ops.abs(ops.log(width / height) - np.log(across / down)), 1)[1][0]
    shape = [ops.take(part, best) for part in (across, down)]
    inner = [_inner(width, height, *shape), _inner(height, width, *shape[::-1])]
    side = np.arange(max(map(max, shapes)), dtype=np.float32)
    weights, inside, kept = [], [], []
    for ones, whole, part in zip(sides, shape, inner, strict=True):
        place = ops.subtract(side, ops.floor((whole - part) / 2))
        inside.append(ops.logical_and(place >= 0, place < part))
        nearest = ops.minimum(ops.maximum(place, 0.0), part - 1)
        weights.append(_resampling(ones, 0.0, 1.0, part, nearest + 0.5))
        kept.append(ops.nonzero(ops.less(side, whole))[0])
    there = ops.expand_dims(ops.logical_and(ops.expand_dims(inside[1], 1), inside[0]), 2)
    canvas = ops.where(there, _product(pixels_u8, *weights), np.array(MEAN_COLOUR, np.float32))
    return ops.take(ops.take(canvas, kept[1], axis=1), kept[0], axis=2)


def _inner(side: Tensor, other: Tensor, shape: Tensor, other_shape: Tensor) -> Tensor:
    """Return how long a side is in a shape that holds all: rounded, halves up, but at least 1."""
    scaled = ops.floor((2 * side * other_shape + other) / (2 * other))
    return ops.minimum(ops.maximum(scaled, 1.0), shape)


def _rounded(values: Tensor) -> Tensor:
    # Halves go up, as Pillow's do (`round` takes the even number), also those that float32 makes
    # a little smaller.
    return ops.floor(values + 0.5001)


def _resampling(ones: Tensor, lo: float, hi: float, size: Any, places: Any) -> Tensor:
    """Return the weights (batch, places, n) with which n pixels, (batch, n) ones, become `size`.

    Output i, whose place is i + 1/2, looks at centre lo n + (i + 1/2) step, step = (hi - lo) n /
    size, through a triangle whose half width is max(step, 1): bilinear where it enlarges,
    antialiased where it reduces.
    """
    middles = ops.cumsum(ones, axis=1) - 0.5
    n = ops.sum(ones, axis=1, keepdims=True)
    step = n * ((hi - lo) / size)
    centres = n * lo + step * places
    away = ops.abs(ops.expand_dims(middles, 1) - ops.expand_dims(centres, 2))
    weights = ops.maximum(1.0 - away / ops.expand_dims(ops.maximum(step, 1.0), 1), 0.0)
    return weights / ops.sum(weights, axis=2, keepdims=True)


# --- views to answers -----------------------------------------------------------------------------


def _build_answers(run: LoadedRun, backbone: Any, n_views: int) -> Any:
    size = backbone.input_shape[1:]
    views = keras.Input((n_views, *size), dtype="uint8", name="views")
    features = backbone(views[:, 0] if n_views == 1 else ops.reshape(views, (-1, *size)))
    width = features.shape[-1]
    mean = ops.mean(ops.reshape(features, (-1, n_views, width)), axis=1)
    return keras.Model(views, head_outputs(cast(LookingHead, run.head), mean), name="answers")


def head_outputs(head: LookingHead, features: Tensor) -> Outputs:
    """Return a trained head's outputs for features (batch, D) float32, as `Head.predict` does."""
    model = head.model_
    outputs = _linear(features, model) if isinstance(model, LinearModel) else model(features)
    return head.decode(outputs, ops)


def _linear(features: Tensor, model: LinearModel) -> Tensor:
    layer = keras.layers.Dense(len(model.bias))
    outputs = layer(signed_root(features, ops) if model.root else features)
    layer.set_weights([model.kernel, model.bias.astype(np.float32)])
    return outputs
