"""Photographs as the backbone wants them: decoded, turned upright, 8-bit RGB, cropped.

Whatever is wrong with a file ends as `Unreadable` with a reason in words; what is wrong with this
program does not. Changes nothing that the process shares: neither Pillow's guard nor the filters of
warnings. Pillow warns of odd metadata, and warnings follow the filters of the program that runs
this: where these turn them into errors, such a photograph cannot be read and the reason says so.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from extract.images.opening import opened_image
from extract.images.views import CROP, RESIZE, View

# Admits the 200-megapixel sensors of phones.
MAX_PIXELS = 200_000_000
# A JPEG is decoded at half, a quarter or an eighth of its size while both sides stay at least
# twice what they are resized to, so that the resampling filter still sees enough pixels.
DRAFT_SIZE = (2 * RESIZE[0], 2 * RESIZE[1])
# Photographs above this, after the reduction, are decoded one at a time: memory stays bounded.
HEAVY_PIXELS = 24_000_000
# EXIF orientations that lie on their side.
QUARTER_TURNS = (5, 6, 7, 8)
Made = TypeVar("Made")
BILINEAR = Image.Resampling.BILINEAR

# Of each process that decoded a heavy photograph: threads do not outlive a fork, so a child makes
# its own. One thread, not a lock: the allocator keeps what a thread once used for that thread.
_heavy_threads: dict[int, ThreadPoolExecutor] = {}


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
        Unreadable: missing, empty, truncated, no image, no pixels, too large, or pixels without a
            range.
    """
    return _opened(source, lambda image: _cut(image, views, max_pixels))


def _opened(source: Path | Image.Image, use: Callable[[Image.Image], Made]) -> Made:
    """Open a photograph and use it.

    Raises:
        Unreadable: there is none, or `use` raises it, or has not the memory.
    """
    try:
        if isinstance(source, Image.Image):
            return use(source)
        with ExitStack() as stack:
            return use(_opened_file(source, stack))
    except MemoryError:
        raise Unreadable("larger than the memory at hand") from None


def _opened_file(path: Path, stack: ExitStack) -> Image.Image:
    """Open a file until `stack` ends."""
    with _reasons():
        if os.stat(path).st_size:  # noqa: PTH116  (twice as fast as Path.stat here)
            return stack.enter_context(opened_image(path))
    raise Unreadable("the file is empty (0 bytes)")


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn what Pillow and the system raise on a bad file into a reason.

    Holds their calls and nothing else, or it would hide bugs.
    """
    try:
        yield
    except MemoryError:
        raise
    except FileNotFoundError:
        raise Vanished("no such file") from None
    except UnidentifiedImageError:
        raise Unreadable("not an image, or of a kind that is not read") from None
    except Warning as warning:
        raise Unreadable(
            f"{type(warning).__name__}: {warning} (a warning, and this process's filters make "
            "errors of warnings; ignore those of the module PIL to read it)"
        ) from warning
    except Exception as error:  # Pillow's plugins raise what they like on damaged files
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def thumbnail_jpeg(source: Path, pixels: int, quality: int = 80) -> bytes:
    """Return an upright JPEG of a photograph, its longer side at most `pixels`.

    Raises:
        Unreadable: as `read_photograph`.
    """

    def small(image: Image.Image) -> bytes:
        _refuse_sizes(image, MAX_PIXELS)
        buffer = io.BytesIO()
        with _reasons():
            image.draft(None, (2 * pixels, 2 * pixels))
        upright = upright_rgb(image)
        with _reasons():
            upright = upright.copy()  # `thumbnail` changes it in place
            upright.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
            upright.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    return _opened(source, small)


def upright_pixels(source: Path | Image.Image) -> npt.NDArray[np.uint8]:
    """Return all of a photograph's pixels, (height, width, 3) uint8 RGB, upright, none reduced.

    Raises:
        Unreadable: as `read_photograph`.
    """

    def whole(image: Image.Image) -> npt.NDArray[np.uint8]:
        _refuse_sizes(image, MAX_PIXELS)
        return np.array(upright_rgb(image))

    return _opened(source, whole)


def peculiarity(source: Path) -> str:
    """Return what makes a photograph more than plain pixels: rotated, transparent or its mode.

    '' for one that every decoder reads alike: upright, 8-bit, of one colour, a palette or RGB.

    Raises:
        Unreadable: as `read_photograph`.
    """

    def kind(image: Image.Image) -> str:
        _refuse_sizes(image, MAX_PIXELS)
        if _orientation(image) != 1:
            return "rotated"
        with _reasons():
            if image.has_transparency_data:
                return "transparent"
        return "" if image.mode in ("1", "L", "P", "RGB") else f"of mode {image.mode}"

    return _opened(source, kind)


def _cut(image: Image.Image, views: tuple[View, ...], max_pixels: int) -> Photograph:
    width, height = image.size
    _refuse_sizes(image, max_pixels)
    if image.format in ("JPEG", "MPO"):
        with _reasons():
            image.draft(None, DRAFT_SIZE)
    # Nothing up to here decodes: asking a PNG for its EXIF would.
    if image.size[0] * image.size[1] > HEAVY_PIXELS:
        return _heavy_thread().submit(_decode, image, views, (width, height)).result()
    return _decode(image, views, (width, height))


def _heavy_thread() -> ThreadPoolExecutor:
    """Return this process's one thread for heavy photographs; it starts with its first one."""
    made = _heavy_threads.get(os.getpid())
    # One step for several threads that come first: `setdefault` keeps one, the others never start.
    return made or _heavy_threads.setdefault(os.getpid(), ThreadPoolExecutor(1, "heavy"))


def _decode(image: Image.Image, views: tuple[View, ...], size: tuple[int, int]) -> Photograph:
    upright_size = size[::-1] if _orientation(image) in QUARTER_TURNS else size
    return Photograph(_crops(upright_rgb(image), views), upright_size)


def _refuse_sizes(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height == 0:
        raise Unreadable(f"{width} x {height} pixels: there is nothing to see")
    if width * height > max_pixels:
        raise Unreadable(f"{width} x {height} pixels are more than --max-pixels {max_pixels}")


def _orientation(image: Image.Image) -> object:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where nothing is said. Decodes the image.

    A damaged file may say anything, of any type.
    """
    with _reasons():
        image.load()  # a TIFF turns itself upright here
        return image.getexif().get(ExifTags.Base.Orientation, 1)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image as 8-bit RGB, turned as its EXIF orientation says, alpha on white.

    Raises:
        Unreadable: damaged, or 32-bit pixels, whose range nobody knows.
    """
    if _orientation(image) != 1:
        with _reasons():
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        raise Unreadable("pixels are 32-bit floating point, which have no known range")
    with _reasons():
        if not image.has_transparency_data:
            return image if image.mode == "RGB" else image.convert("RGB")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise Unreadable("pixels are 32-bit integers beyond 0..65535, which have no known range")
    eight = ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return Image.fromarray(eight).convert("RGB")


def _crops(image: Image.Image, views: tuple[View, ...]) -> npt.NDArray[np.uint8]:
    """Resize and crop to (V, 224, 224, 3)."""
    if len(views) == 1:
        return _resized_box(image, views[0])[None]
    pixels = np.empty((len(views), *CROP, 3), np.uint8)
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
