"""Opening image files with Pillow, without Pillow's guard against decompression bombs.

That guard is one number for the whole process, `PIL.Image.MAX_IMAGE_PIXELS`, and belongs to the
program that runs this. It would refuse large photographs of phones; `extract.images.decode` looks
at a limit of its own instead. Owns the formats; must not change anything of Pillow's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

# Readers that are open to strangers' files; others (PostScript, say) may start programs. JPEG's
# reads the multi-picture files of phones (MPO) too. They are tried in this order.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Importing a plugin enters its reader in `Image.OPEN`.
for plugin in ("Jpeg", "Png", "WebP", "Gif", "Bmp", "Tiff"):
    import_module(f"PIL.{plugin}ImagePlugin")
PREFIX_BYTES = 16  # what `Image.open` shows to a plugin's `accept`
GUARD = "_decompression_bomb_check"

Reader = Callable[[IO[bytes], str], Image.Image]


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Open an image as `Image.open(path, formats=FORMATS)` does, but for the guard.

    Nothing is decoded yet. The file is closed at the end of the block.

    Raises:
        OSError: there is no such file, or it cannot be read.
        Image.UnidentifiedImageError: it is none of the formats.
        Exception: what a plugin raises on a damaged file.
    """
    with path.open("rb") as file:
        yield _identified(file, str(path))


def _identified(file: IO[bytes], name: str) -> Image.Image:
    prefix = file.read(PREFIX_BYTES)
    for kind in FORMATS:
        reader, accept = Image.OPEN[kind]
        try:
            accepted = accept is None or accept(prefix)
            if accepted and not isinstance(accepted, str):  # a text says why it cannot be read
                file.seek(0)
                return _unguarded(reader)(file, name)
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # as Pillow does: not of this kind after all
    raise UnidentifiedImageError(f"cannot identify image file {name!r}")


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
