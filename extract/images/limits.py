"""What a photograph may take of memory and time, looked at before anything is decoded."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from extract.images.colours import image_orientation
from extract.images.files.orientation import UPRIGHT
from extract.images.gamuts import profile_of
from extract.images.opening import BOXED, SCANS
from extract.images.reasons import Heavy, Unreadable, reasons
from extract.images.views import RESIZE

# Admits the 200-megapixel sensors of phones.
MAX_PIXELS = 200_000_000
# What a photograph may take of the memory while it is decoded, for each pixel that it may have:
# its pixels, a copy of them turned and another without alpha, each of four bytes.
BYTES_PER_PIXEL = 12
# Photographs that take more than this, or whose files do, are decoded one at a time: memory stays
# bounded.
HEAVY_BYTES = 100_000_000
# Of a GIF, BMP or TIFF, Pillow goes over all parts in Python: 3 seconds for a megabyte at worst.
ODD_BYTES = 1 << 18


@dataclass(frozen=True)
class Room:
    """What may be read here: how many pixels, bytes, and bytes of a file of an odd format."""

    max_pixels: int
    n_bytes: int = sys.maxsize
    odd_bytes: int = sys.maxsize

    @property
    def limit(self) -> int:
        """How many bytes of memory a photograph may take."""
        return int(max(self.max_pixels, MAX_PIXELS) * BYTES_PER_PIXEL)


def draft_within(room: Room, image: Image.Image, size: tuple[int, int] | None) -> None:
    """Have a JPEG decoded at a part of its size, at least `size`, and look at what that takes.

    Raises:
        Unreadable: no pixels, more than `max_pixels`, or more bytes than these may take.
        Heavy: more bytes than there is room for here.
    """
    width, height = image.size
    if width * height == 0:
        raise Unreadable(f"{width} x {height} pixels: there is nothing to see")
    if width * height > room.max_pixels:
        raise Unreadable(f"{width} x {height} pixels are more than --max-pixels {room.max_pixels}")
    with reasons():
        n_bytes = _bytes_of_decoder(image)
        if size is not None and image.format == "JPEG":
            image.draft(None, size)
        n_bytes += _bytes_of_pixels(image)
    if n_bytes > room.limit:
        raise Unreadable(
            f"{width} x {height} pixels of this kind take {n_bytes / 1e9:.1f} GB to decode, more "
            f"than {room.limit / 1e9:.1f} GB; --max-pixels raises that limit, too"
        )
    if n_bytes > room.n_bytes:
        raise Heavy


def _bytes_of_decoder(image: Image.Image) -> int:
    """Return what a decoder holds beside the pixels."""
    width, height = image.size
    if image.format == "JPEG" and image.info.get(SCANS, 1) > 1:  # all coefficients, of two bytes
        areas = [h * v for _, h, v, _ in image.layer]  # type: ignore[attr-defined]
        return int(2 * width * height * sum(areas) / max(*areas, 1))
    if image.format == "WEBP":  # two canvases and a copy of the picture
        return 12 * width * height
    if image.format in BOXED:  # planes of brightness and colour, and the picture in RGB, twice
        return 8 * width * height
    if isinstance(image, TiffImageFile):  # the picture while it is turned, and a tile or strip
        tags = image.tag_v2
        rows = tags.get(323) or min(tags.get(278) or height, height)
        samples = (tags.get(322) or width) * rows * tags.get(277, 1)
        return int(4 * width * height + samples * max(tags.get(258, (1,))) / 8)
    return 0


def _bytes_of_pixels(image: Image.Image) -> int:
    """Return what the pixels take: as decoded, turned, without alpha or profile, and resized in one
    axis."""
    each = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}.get(image.mode, 4)
    if image_orientation(image) != UPRIGHT:
        each *= 2
    if image.mode != "RGB" or image.has_transparency_data or profile_of(image.info):
        each += 4
    return image.size[0] * image.size[1] * each + 4 * RESIZE[0] * image.size[1]
