"""Opening image files with Pillow, without their metadata and without Pillow's guard against bombs.

That guard is one number for the whole process, `PIL.Image.MAX_IMAGE_PIXELS`, and belongs to the
program that runs this. It would refuse large photographs of phones; `extract.images.decode` looks
at a limit of its own instead. Owns the formats; must not change anything of Pillow's.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import IO, Any

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from cache.text import shown
from extract.images.files.boxes import named_colours
from extract.images.files.parts import Picture
from extract.images.files.picture import WALKED_STARTS, picture
from extract.images.gamuts import CODES
from extract.images.kinds import NO_HEIF, PREFIX_BYTES, advice, boxed
from extract.images.reasons import Costly, Unreadable

# Readers that are open to strangers' files; others (PostScript, say) may start programs. JPEG's
# reads the multi-picture files of phones (MPO) too. They are tried in this order.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
BOXED = ("AVIF", "HEIF")
# Importing a plugin enters its reader in `Image.OPEN`.
for plugin in ("Jpeg", "Png", "WebP", "Gif", "Bmp", "Tiff", "Avif"):
    import_module(f"PIL.{plugin}ImagePlugin")
GUARD = "_decompression_bomb_check"
# Where an image's info says how often a JPEG's pixels are gone over.
SCANS = "scans"

Reader = Callable[[IO[bytes], str], Image.Image]


@contextmanager
def opened_image(
    source: Path | IO[bytes], *, odd_bytes: int = sys.maxsize
) -> Iterator[Image.Image]:
    """Open an image as `Image.open(path, formats=FORMATS)` does, but for the guard and metadata.

    Nothing is decoded yet. The image's `info` holds EXIF and XMP as the bytes in the file. A file
    that is opened here is closed at the end of the block.

    Args:
        source: the file's path, or an open file.
        odd_bytes: how large a file may be of which Pillow alone knows the parts, as it goes over
            them in Python. With a limit, no HEIF or AVIF is opened: their decoders are large.

    Raises:
        Costly: it is larger.
        OSError: there is no such file, or it cannot be read.
        Image.UnidentifiedImageError: it is none of the formats.
        Unreadable: nobody writes such a file but to harm, or it is of a kind that is not read.
        Exception: what a plugin raises on a damaged file.
    """
    with ExitStack() as stack:
        file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        file.seek(0)
        prefix = file.read(PREFIX_BYTES)
        if reason := advice(prefix):
            raise Unreadable(reason)
        walked, box = prefix.startswith(WALKED_STARTS), boxed(prefix)
        large = file.seek(0, io.SEEK_END) > odd_bytes
        if (large and not walked) or (box and odd_bytes < sys.maxsize):
            raise Costly
        alone = picture(file)
        if large and alone.file is file:  # its parts lead nowhere
            raise Costly
        if alone.file is not file:
            stack.enter_context(alone.file)
        yield _identified(alone, str(source), (box,) if box else FORMATS)


def _identified(alone: Picture, name: str, formats: tuple[str, ...]) -> Image.Image:
    prefix = alone.file.read(PREFIX_BYTES)
    for kind in formats:
        reader, accept = _heif() if kind == "HEIF" else Image.OPEN[kind]
        try:
            accepted = accept is None or accept(prefix)
            codes = {CODES: named_colours(alone.file)} if kind in BOXED else {}
            if accepted and not isinstance(accepted, str):  # a text says why it cannot be read
                alone.file.seek(0)
                # Without a name, or Pillow would open the file again by it to map it.
                image = _unguarded(reader)(alone.file, "")
                image.info.update(alone.info, **codes, **{SCANS: alone.scans})
                if isinstance(image, TiffImageFile) and ExifTags.Base.Orientation in image.tag_v2:
                    image.info.pop("xmp", None)  # it turns itself
                return image
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # as Pillow does: not of this kind after all
    raise UnidentifiedImageError(f"cannot identify image file '{shown(name)}'")


def _heif() -> tuple[Reader, None]:
    """Return the reader of pi-heif, which is not entered in Pillow's list, shared by the process.

    Raises:
        Unreadable: it is not installed.
    """
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        raise Unreadable(NO_HEIF) from None
    return HeifImageFile, None


class _UnguardedImage:
    """The module `PIL.Image` as a plugin sees it, its guard letting everything pass."""

    def __getattr__(self, name: str) -> Any:
        return (lambda *_, **__: None) if name == GUARD else getattr(Image, name)


@cache
def _unguarded(reader: Reader) -> Reader:
    """Return a plugin's reader for which the guard lets everything pass.

    Some plugins call the guard themselves (WebP and GIF on opening, TIFF before decoding). Such
    methods are given other globals in a subclass of ours; the plugin stays as it is.
    """
    if not isinstance(reader, type):
        return reader  # JPEG's: its classes call the guard only for later pictures of a file
    methods = {
        name: _with_globals(method, Image=_UnguardedImage())
        for name, method in vars(reader).items()
        if isinstance(method, FunctionType) and GUARD in method.__code__.co_names
    }
    return type(reader.__name__, (reader,), methods) if methods else reader


def _with_globals(function: FunctionType, **changed: Any) -> FunctionType:
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **changed},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
