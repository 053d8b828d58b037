"""Photographs as the backbone wants them: decoded, turned upright, 8-bit RGB, cropped.

Whatever is wrong with a file ends as `Unreadable` with a reason in words; what is wrong with this
program does not. Changes nothing that the process shares: neither Pillow's guard nor the filters of
warnings. Pillow warns of odd metadata, and warnings follow the filters of the program that runs
this: where these turn them into errors, such a photograph cannot be read and the reason says so.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from extract.images.colours import QUARTER_TURNS, image_orientation, upright_rgb
from extract.images.crops import crops
from extract.images.files.orientation import UPRIGHT
from extract.images.gamuts import profile_of
from extract.images.limits import MAX_PIXELS as MAX_PIXELS
from extract.images.profiles import changes_colours
from extract.images.reading import Size, Use, used
from extract.images.reasons import Refused as Refused
from extract.images.reasons import Unreadable as Unreadable
from extract.images.reasons import Vanished as Vanished
from extract.images.reasons import reasons
from extract.images.views import PILLOW, RESIZE, View

PROFILED = "of a colour profile other than sRGB"
# A JPEG is decoded at half, a quarter or an eighth of its size while both sides stay at least
# twice what they are resized to, so that the resampling filter still sees enough pixels.
DRAFT_SIZE = (2 * RESIZE[0], 2 * RESIZE[1])


@dataclass(frozen=True, eq=False)
class Photograph:
    """`pixels_u8` (V, height, width, 3), and the photograph's upright (width, height) in pixels."""

    pixels_u8: npt.NDArray[np.uint8]
    size: Size


def read_photograph(
    source: Path | Image.Image,
    views: tuple[View, ...],
    max_pixels: int = MAX_PIXELS,
    interpolation: str = PILLOW,
) -> Photograph:
    """Decode a photograph once and cut all its views; `interpolation` as for `resized`.

    Raises:
        Unreadable: missing, empty, truncated, no image, no pixels, too large, of pixels without a
            range, or it takes longer than `apart.SECONDS`.
    """
    made: Photograph = used(source, max_pixels, Use(_cut, DRAFT_SIZE, (views, interpolation)))
    return made


def _cut(image: Image.Image, size: Size, views: tuple[View, ...], interpolation: str) -> Photograph:
    upright_size = size[::-1] if image_orientation(image) in QUARTER_TURNS else size
    pixels = crops(upright_rgb(image), views, upright_size, interpolation)
    return Photograph(pixels, upright_size)


def thumbnail_jpeg(source: Path | Image.Image, pixels: int, quality: int = 80) -> bytes:
    """Return an upright JPEG of a photograph, its longer side at most `pixels`.

    Raises:
        Unreadable: as `read_photograph`.
    """
    use = Use(_thumbnail, (2 * pixels, 2 * pixels), (pixels, quality))
    made: bytes = used(source, MAX_PIXELS, use)
    return made


def _thumbnail(image: Image.Image, _: Size, pixels: int, quality: int) -> bytes:
    buffer = io.BytesIO()
    upright = upright_rgb(image)
    with reasons():
        if upright is image:
            upright = image.copy()  # `thumbnail` changes it in place
        upright.info = {}  # or a comment goes into the JPEG, which has no room for a long one
        upright.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
        upright.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def upright_pixels(source: Path | Image.Image) -> npt.NDArray[np.uint8]:
    """Return all of a photograph's pixels, (height, width, 3) uint8 RGB, upright, none reduced.

    Raises:
        Unreadable: as `read_photograph`.
    """
    made: npt.NDArray[np.uint8] = used(source, MAX_PIXELS, Use(_whole))
    return made


def _whole(image: Image.Image, _: Size) -> npt.NDArray[np.uint8]:
    return np.array(upright_rgb(image))


def peculiarity(source: Path) -> str:
    """Return what makes a photograph more than plain pixels: its colours, turn, alpha or mode.

    '' for one that every decoder reads alike: upright, 8-bit, of one colour, a palette or RGB, and
    of no profile but sRGB.

    Raises:
        Unreadable: as `read_photograph`.
    """
    made: str = used(source, MAX_PIXELS, Use(_peculiarity))
    return made


def _peculiarity(image: Image.Image, _: Size) -> str:
    with reasons():
        if changes_colours(profile_of(image.info), image.mode):
            return PROFILED
        if image_orientation(image) != UPRIGHT:
            return "rotated"
        if image.has_transparency_data:
            return "transparent"
    return "" if image.mode in ("1", "L", "P", "RGB") else f"of mode {image.mode}"
