"""Photographs as the backbone wants them: decoded, turned upright, 8-bit RGB, cropped.

Owns Pillow. Whatever is wrong with a file ends as `Unreadable` with a reason in words.
"""

from __future__ import annotations

import os
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from extract.preprocess import CROP, RESIZE, View

# Readers that are open to strangers' files; others (PostScript, say) may start programs. JPEG's
# reads the multi-picture files of phones (MPO) too.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Admits the 200-megapixel sensors of phones.
MAX_PIXELS = 200_000_000
# A JPEG is decoded at half, a quarter or an eighth of its size while both sides stay at least
# twice what they are resized to, so that the resampling filter still sees enough pixels.
DRAFT_SIZE = (2 * RESIZE[0], 2 * RESIZE[1])
# Photographs above this, after the reduction, are decoded one at a time: memory stays bounded.
HEAVY_PIXELS = 24_000_000
# EXIF orientations that lie on their side.
QUARTER_TURNS = (5, 6, 7, 8)
BILINEAR = Image.Resampling.BILINEAR

# Our own limit is looked at first; Pillow's would only warn at half of its own.
Image.MAX_IMAGE_PIXELS = None
# Remarks on odd metadata of photographs that are read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
_one_heavy_at_a_time = threading.Lock()


class Unreadable(Exception):
    """A photograph that cannot be used; the text is the reason, for the list of rejects."""


class Vanished(Unreadable):
    """There is no file of that name."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """`pixels_u8` (V, 224, 224, 3), and the photograph's upright (width, height) in pixels."""

    pixels_u8: npt.NDArray[np.uint8]
    size: tuple[int, int]


def read_photograph(
    source: Path | Image.Image, views: tuple[View, ...], max_pixels: int = MAX_PIXELS
) -> Photograph:
    """Decode a photograph once and cut all its views.

    Raises:
        Unreadable: missing, empty, truncated, no image, too large, or pixels without a range.
    """
    try:
        if isinstance(source, Image.Image):
            return _cut(source, views, max_pixels)
        if os.stat(source).st_size == 0:  # noqa: PTH116  (twice as fast as Path.stat here)
            raise Unreadable("the file is empty (0 bytes)")
        with Image.open(source, formats=FORMATS) as image:
            return _cut(image, views, max_pixels)
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Vanished("no such file") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image, or of a kind that is not read") from None
    except Exception as error:  # Pillow's plugins raise what they like on damaged files
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _cut(image: Image.Image, views: tuple[View, ...], max_pixels: int) -> Photograph:
    width, height = image.size
    if width * height > max_pixels:
        raise Unreadable(f"{width} x {height} pixels are more than --max-pixels {max_pixels}")
    if image.format in ("JPEG", "MPO"):
        image.draft(None, DRAFT_SIZE)
    heavy = image.size[0] * image.size[1] > HEAVY_PIXELS
    # Nothing before this line decodes: asking a PNG for its EXIF would.
    with _one_heavy_at_a_time if heavy else nullcontext():
        image.load()  # which turns a TIFF upright, and sets its orientation to 1
        size = (height, width) if _orientation(image) in QUARTER_TURNS else (width, height)
        return Photograph(_crops(upright_rgb(image), views), size)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where nothing is said."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image as 8-bit RGB, turned as its EXIF orientation says, alpha on white.

    Raises:
        Unreadable: 32-bit pixels, whose range nobody knows.
    """
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        raise Unreadable("pixels are 32-bit floating point, which have no known range")
    if image.has_transparency_data or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise Unreadable("pixels are 32-bit integers beyond 0..65535, which have no known range")
    eight = ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return Image.fromarray(eight).convert("RGB")


def _crops(image: Image.Image, views: tuple[View, ...]) -> npt.NDArray[np.uint8]:
    """Resize and crop to (V, 224, 224, 3)."""
    pixels = np.empty((len(views), *CROP, 3), np.uint8)
    if len(views) == 1:
        pixels[0] = _resized_box(image, views[0])
        return pixels
    whole = np.asarray(image.resize(RESIZE, BILINEAR))
    for view, target in zip(views, pixels, strict=True):
        left, top = round(view.box[0] * RESIZE[0]), round(view.box[1] * RESIZE[1])
        crop = whole[top : top + CROP[1], left : left + CROP[0]]
        target[:] = crop[:, ::-1] if view.flipped else crop
    return pixels


def _resized_box(image: Image.Image, view: View) -> npt.NDArray[np.uint8]:
    """Resize just the view's box: bit for bit the crop of the resized whole, in less time."""
    width, height = image.size
    left, top, right, bottom = view.box
    box = (left * width, top * height, right * width, bottom * height)
    pixels = np.asarray(image.resize(CROP, BILINEAR, box))
    return pixels[:, ::-1] if view.flipped else pixels
