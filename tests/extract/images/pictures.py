"""Pictures whose colours tell how they were read, and how they are read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from extract.images import limits
from extract.images.decode import (
    Photograph,
    Unreadable,
    read_photograph,
)
from extract.images.views import views

WHOLE = views("whole")

RED, GREEN, BLUE, GREY = (250, 10, 10), (10, 250, 10), (10, 10, 250), (120, 120, 120)

CORNERS = ((10, 10), (10, -10), (-10, 10), (-10, -10))


def quarters(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A picture with a colour of its own in each corner: red, green, blue, grey."""
    width, height = size
    image = Image.new("RGB", size, GREY)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Smooth noise with detail of many sizes, as photographs have."""
    dice = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells in (4, 16, 64):
        small = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(small.resize(size, Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(total.astype(np.uint8))


def read(path: Path | Image.Image) -> Photograph:
    return read_photograph(path, WHOLE)


def corner_colours(photograph: Photograph) -> np.ndarray:
    """(4, 3): the colours top left, top right, bottom left, bottom right."""
    return np.array([photograph.pixels_u8[0, y, x] for y, x in CORNERS], int)


def assert_quarters(photograph: Photograph, tolerance: int = 6) -> None:
    expected = np.array([RED, GREEN, BLUE, GREY])
    np.testing.assert_allclose(corner_colours(photograph), expected, atol=tolerance)


def reason(path: Path, max_pixels: int = limits.MAX_PIXELS) -> str:
    with pytest.raises(Unreadable) as caught:
        read_photograph(path, WHOLE, max_pixels)
    return str(caught.value)


def png_of_one_colour(path: Path, width: int, height: int, lies: bool = False) -> None:
    """Write a black RGB PNG row by row, in little memory; one that `lies` has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    rows = b"" if lies else b"".join(packer.compress(row) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# EXIF 2.3, tag 274: what must be done to the stored picture to see it upright, so that the
# stored picture is the upright one after the reverse.
STORED_AS: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda upright: upright,
    2: ImageOps.mirror,
    3: lambda upright: upright.rotate(180),
    4: ImageOps.flip,
    5: lambda upright: upright.transpose(Image.Transpose.TRANSPOSE),
    6: lambda upright: upright.rotate(90, expand=True),
    7: lambda upright: upright.transpose(Image.Transpose.TRANSVERSE),
    8: lambda upright: upright.rotate(-90, expand=True),
}


def lying_on_its_side() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def saved_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
