"""Views cut out of an upright RGB image, resized as the backbone wants them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from extract.images.views import CROP, MEAN_COLOUR, RESIZE, View, margins

BILINEAR = Image.Resampling.BILINEAR


def crops(
    image: Image.Image, views: tuple[View, ...], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Resize and crop to (V, height, width, 3); `size` is that before any reduction."""
    if len(views) == 1:
        (view,) = views
        pixels = _framed(image, view, size) if view.shapes else _resized_box(image, view)
        return pixels[None]
    pixels = np.empty((len(views), *CROP, 3), np.uint8)
    whole = np.asarray(image.resize(RESIZE, BILINEAR))
    for view, target in zip(views, pixels, strict=True):
        left, top = round(view.box[0] * RESIZE[0]), round(view.box[1] * RESIZE[1])
        crop = whole[top : top + CROP[1], left : left + CROP[0]]
        target[:] = crop[:, ::-1] if view.flipped else crop
    return pixels


def _framed(image: Image.Image, view: View, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize all of a photograph, its proportions kept, into the middle of its shape."""
    shape, inner = view.fit(size)
    canvas = Image.new("RGB", shape, MEAN_COLOUR)
    canvas.paste(image.resize(inner, BILINEAR), margins(shape, inner))
    return np.asarray(canvas)


def _resized_box(image: Image.Image, view: View) -> npt.NDArray[np.uint8]:
    """Resize just the view's box: bit for bit the crop of the resized whole, in less time."""
    width, height = image.size
    left, top, right, bottom = view.box
    box = (left * width, top * height, right * width, bottom * height)
    pixels = np.asarray(image.resize(CROP, BILINEAR, box))
    return pixels[:, ::-1] if view.flipped else pixels
