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
from heads.photos import View, build_graph, views_of
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
    if len(views) == 1:
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
    """Resize a box to (batch, *size, 3) float32 whole numbers, as two products of matrices.

    Pillow resizes first along rows, rounds, then along columns, and rounds (its Resample.c).
    """
    planes = ops.transpose(ops.cast(pixels_u8, "float32"), (0, 3, 1, 2))
    rows = _resampling(ops.ones_like(planes[:, 0, :, 0]), box[1], box[3], size[1])
    columns = _resampling(ops.ones_like(planes[:, 0, 0, :]), box[0], box[2], size[0])
    across = ops.matmul(planes, ops.expand_dims(ops.transpose(columns, (0, 2, 1)), 1))
    down = ops.matmul(ops.expand_dims(rows, 1), _rounded(across))
    return ops.transpose(_rounded(down), (0, 2, 3, 1))


def _rounded(values: Tensor) -> Tensor:
    # Halves go up, as Pillow's do (`round` takes the even number), also those that float32 makes
    # a little smaller.
    return ops.floor(values + 0.5001)


def _resampling(ones: Tensor, lo: float, hi: float, size: int) -> Tensor:
    """Return the weights (batch, size, n) with which n pixels, (batch, n) ones, become `size`.

    Output i looks at centre (lo n + (i + 1/2) step), step = (hi - lo) n / size, through a triangle
    whose half width is max(step, 1): bilinear where it enlarges, antialiased where it reduces. The
    size is read off the ones, so that it need not be known.
    """
    middles = ops.cumsum(ones, axis=1) - 0.5
    n = ops.sum(ones, axis=1, keepdims=True)
    step = n * ((hi - lo) / size)
    centres = n * lo + step * np.arange(0.5, size, dtype=np.float32)[None]
    away = ops.abs(ops.expand_dims(middles, 1) - ops.expand_dims(centres, 2))
    weights = ops.maximum(1.0 - away / ops.expand_dims(ops.maximum(step, 1.0), 1), 0.0)
    return weights / ops.sum(weights, axis=2, keepdims=True)


# --- views to answers -----------------------------------------------------------------------------


def _build_answers(run: LoadedRun, backbone: Any, n_views: int) -> Any:
    size = backbone.input_shape[1:]
    views = keras.Input((n_views, *size), dtype="uint8", name="views")
    features = backbone(ops.reshape(views, (-1, *size)))
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
