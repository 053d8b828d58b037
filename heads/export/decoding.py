"""From the bytes of a JPEG or PNG to upright RGB pixels, in TensorFlow: what a saved model does.

As a photograph is read when a cache is made: turned as its EXIF orientation says, alpha on white.
Owns the graph of one photograph; a file of another kind is an error of the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from heads.export.formats import JPEG, PNG

Tensor = Any
# From the number of a byte, an int32 scalar, to its value, int32.
Bytes = Callable[[Tensor], Tensor]

ORIENTATION, SHORT, LONG = 0x0112, 3, 4
# An IFD of a photograph has some 10 to 40 entries.
MOST_ENTRIES = 512


def upright_rgb(encoded: Tensor) -> Tensor:
    """Return the pixels (height, width, 3) uint8 of a scalar string."""
    is_png = tf.strings.substr(encoded, 0, len(PNG)) == PNG
    is_jpeg = tf.strings.substr(encoded, 0, len(JPEG)) == JPEG
    known = tf.debugging.Assert(is_png | is_jpeg, ["image_bytes must be the file of a JPEG or PNG"])
    with tf.control_dependencies([known]):
        pixels = tf.cond(is_png, lambda: _png_on_white(encoded), lambda: _jpeg(encoded))
    at = _bytes_of(encoded)
    start = tf.cond(is_png, lambda: _png_tiff(at), lambda: _jpeg_tiff(at))
    return _turned(pixels, tf.cond(start > 0, lambda: _orientation(at, start), lambda: 1))


def _jpeg(encoded: Tensor) -> Tensor:
    # Pillow's decoder is the same library with the same, accurate, inverse transform.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _png_on_white(encoded: Tensor) -> Tensor:
    rgba = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    share = rgba[..., 3:] / _opaque(_bytes_of(encoded), rgba[..., 3])
    mixed = rgba[..., :3] * share + 255.0 * (1.0 - share)
    return tf.cast(tf.floor(mixed + 0.5), tf.uint8)


def _opaque(at: Bytes, alpha: Tensor) -> Tensor:
    """Return the alpha of what is opaque: 255, but 2^bits - 1 where greys of fewer bits have none.

    That is what the decoder fills in there; alphas that the file holds are 0 or 255.
    Source: the PNG specification, IHDR: byte 24 is the bit depth, byte 25 the kind, 0 for grey.
    """
    bits, is_grey = at(tf.constant(24)), at(tf.constant(25)) == 0
    most = tf.cast(tf.bitwise.left_shift(1, tf.clip_by_value(bits, 1, 8)) - 1, tf.float32)
    return tf.where(is_grey & tf.reduce_all(alpha == most), most, 255.0)


def _turned(pixels: Tensor, orientation: Tensor) -> Tensor:
    """Undo an EXIF orientation: 1 is upright; from 5 on rows are columns."""

    def when(values: tuple[int, ...], change: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        asked = tf.reduce_any(orientation == tf.constant(values))
        return tf.cond(asked, lambda: change(image), lambda: image)

    pixels = when((5, 6, 7, 8), lambda image: tf.transpose(image, (1, 0, 2)), pixels)
    pixels = when((2, 3, 6, 7), lambda image: image[:, ::-1], pixels)
    pixels = when((3, 4, 7, 8), lambda image: image[::-1], pixels)
    return tf.ensure_shape(pixels, (None, None, 3))


# --- EXIF -----------------------------------------------------------------------------------------


def _bytes_of(encoded: Tensor) -> Bytes:
    """Return the function from a place to its byte; 0 beyond the file's ends."""
    content = tf.io.decode_raw(encoded, tf.uint8)
    n = tf.size(content)

    def at(place: Tensor) -> Tensor:
        inside = (place >= 0) & (place < n)
        found = tf.gather(content, tf.clip_by_value(place, 0, n - 1))
        return tf.where(inside, tf.cast(found, tf.int32), 0)

    return at


def _number(at: Bytes, place: Tensor, size: int, big: Tensor | bool = True) -> Tensor:
    """Return an unsigned number of 2 or 4 bytes; one that int32 cannot hold is negative."""
    value = tf.zeros_like(place)
    for i in range(size):
        offset = tf.where(big, i, size - 1 - i)
        value = value * 256 + at(place + offset)
    return value


def _equal(at: Bytes, place: Tensor, text: bytes) -> Tensor:
    return tf.reduce_all(at(place + tf.range(len(text))) == list(text))


def _jpeg_tiff(at: Bytes) -> Tensor:
    """Return where the EXIF block of a JPEG begins, 0 where it has none before its pixels."""

    def is_exif(place: Tensor) -> Tensor:
        return _equal(at, place, b"\xff\xe1") & _equal(at, place + 4, b"Exif\0\0")

    def goes_on(place: Tensor) -> Tensor:
        # Start of scan or end of image: pixels, or nothing, follow.
        ends = (at(place + 1) == 0xDA) | (at(place + 1) == 0xD9)
        return (at(place) == 0xFF) & ~ends & ~is_exif(place)

    def onwards(place: Tensor) -> tuple[Tensor]:
        padding = at(place + 1) == 0xFF
        return (place + tf.where(padding, 1, 2 + _number(at, place + 2, 2)),)

    (found,) = tf.while_loop(goes_on, onwards, (tf.constant(2),))
    return tf.where(is_exif(found), found + 10, 0)


def _png_tiff(at: Bytes) -> Tensor:
    """Return where the EXIF block of a PNG begins, 0 where it has none."""

    def goes_on(place: Tensor) -> Tensor:
        # A length beyond the file's end reads zeros there: no name of a chunk.
        named = at(place + 4) > 0
        return named & ~_equal(at, place + 4, b"eXIf") & ~_equal(at, place + 4, b"IEND")

    def onwards(place: Tensor) -> tuple[Tensor]:
        length = _number(at, place, 4)
        return (tf.where(length >= 0, place + 12 + length, -16),)

    (found,) = tf.while_loop(goes_on, onwards, (tf.constant(8),))
    return tf.where(_equal(at, found + 4, b"eXIf"), found + 8, 0)


def _orientation(at: Bytes, start: Tensor) -> Tensor:
    """Return the orientation that a TIFF block says, 1 where it says none of 1 to 8.

    Source: TIFF 6.0, section 2: byte order, 42, the place of the first directory; it is a count and
    entries of 12 bytes: tag, type, number of values, value.
    """
    big = at(start) == ord("M")
    directory = start + _number(at, start + 4, 4, big)
    count = tf.minimum(_number(at, directory, 2, big), MOST_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    tagged = _number(at, entries, 2, big) == ORIENTATION
    kind = _number(at, entries + 2, 2, big)
    short = tf.where(kind == SHORT, _number(at, entries + 8, 2, big), 1)
    values = tf.where(kind == LONG, _number(at, entries + 8, 4, big), short)
    right = tagged & (values >= 1) & (values <= 8)
    return tf.reduce_max(tf.where(right, values, 1))
