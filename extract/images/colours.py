"""An opened image as 8-bit RGB, upright, on white."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image

from extract.images.files.orientation import UPRIGHT, orientation
from extract.images.gamuts import profile_of
from extract.images.opening import SCANS
from extract.images.profiles import changes_colours, to_srgb
from extract.images.reasons import Unreadable, reasons

# Pixels that are converted at once where a conversion takes several copies.
STRIP_PIXELS = 4_000_000
# EXIF 2.3, tag 274: how a stored picture is made upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Those that lie on their side.
QUARTER_TURNS = (5, 6, 7, 8)

# Loading a caller's image changes it inside, and the caller may give one image twice.
callers_images = threading.RLock()


def image_orientation(image: Image.Image) -> int:
    """Return the orientation 1 (upright) to 8; 1 where nothing is said that makes sense."""
    if SCANS in image.info:  # opened here, its metadata as in the file
        return orientation(image.info)
    blank = Image.new("1", (1, 1))
    blank.info = image.info
    try:
        with callers_images:
            said, stored = (
                each.getexif().get(ExifTags.Base.Orientation, UPRIGHT) for each in (image, blank)
            )
    except Exception:  # Pillow raises what it likes on damaged metadata, which decide nothing
        said = stored = None
    if said == stored:  # what a file holds is read as that of any file; what the owner set counts
        return orientation(image.info)
    return int(said) if said in TURNS else UPRIGHT


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image as 8-bit sRGB, turned as its orientation says, alpha on white.

    Raises:
        Unreadable: damaged, or 32-bit pixels, whose range nobody knows.
    """
    with reasons():
        image.load()
        turn = TURNS.get(image_orientation(image))
        if turn is not None:
            image = image.transpose(turn)
        profile = profile_of(image.info)
        same = image.mode == "RGB" and not changes_colours(profile, "RGB")
        if same and not image.has_transparency_data:
            return image
    if image.mode == "F":
        raise Unreadable("pixels are 32-bit floating point, which have no known range")
    return _by_strips(image, lambda strip: _plain(strip, profile))


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB, a large one strip by strip: conversions take several copies."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        return convert(image)
    whole = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        whole.paste(convert(image.crop(box)), box)
    return whole


def _plain(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image in any mode as sRGB, on white."""
    if image.mode.startswith("I"):
        image = _from_integers(image)
    with reasons():
        if not image.has_transparency_data:
            return to_srgb(image, profile)
        layer = image.convert("RGBA")
        grey = image.mode in ("L", "LA")
        colours = to_srgb(layer.getchannel("R") if grey else layer.convert("RGB"), profile)
        colours.putalpha(layer.getchannel("A"))
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise Unreadable("pixels are 32-bit integers beyond 0..65535, which have no known range")
    eight = ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return Image.fromarray(eight)
