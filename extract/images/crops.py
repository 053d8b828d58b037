"""Views cut out of an upright RGB image, resized as the backbone wants them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from extract.images.resizing import resized
from extract.images.views import CROP, MEAN_COLOUR, RESIZE, View, margins


def crops(
    image: Image.Image, views: tuple[View, ...], size: tuple[int, int], interpolation: str
) -> npt.NDArray[np.uint8]:
    """Resize and crop to (V, height, width, 3); `size` is that before any reduction."""
    if len(views) == 1:
        (view,) = views
        if view.shapes:
            return _framed(image, view, size, interpolation)[None]
        return _resized_box(image, view, interpolation)[None]
    pixels = np.empty((len(views), *CROP, 3), np.uint8)
    whole = resized(image, RESIZE, None, interpolation)
    for view, target in zip(views, pixels, strict=True):
        left, top = round(view.box[0] * RESIZE[0]), round(view.box[1] * RESIZE[1])
        crop = whole[top : top + CROP[1], left : left + CROP[0]]
        target[:] = crop[:, ::-1] if view.flipped else crop
    return pixels


def _framed(
    image: Image.Image, view: View, size: tuple[int, int], interpolation: str
) -> npt.NDArray[np.uint8]:
    """Resize all of a photograph, its proportions kept, into the middle of its shape."""
    shape, inner = view.fit(size)
    left, top = margins(shape, inner)
    canvas = np.full((*shape[::-1], 3), MEAN_COLOUR, np.uint8)
    whole = resized(image, inner, None, interpolation)
    canvas[top : top + inner[1], left : left + inner[0]] = whole
    return canvas


def _resized_box(image: Image.Image, view: View, interpolation: str) -> npt.NDArray[np.uint8]:
    """Resize just the view's box: bit for bit the crop of the resized whole, in less time."""
    width, height = image.size
    left, top, right, bottom = view.box
    box = (left * width, top * height, right * width, bottom * height)
    pixels = resized(image, CROP, box, interpolation)
    return pixels[:, ::-1] if view.flipped else pixels
