"""A saved model reads JPEG and PNG files as they are read when a cache is made, or refuses them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.images.decode import upright_pixels
from tests.heads.export.exported import GREY, PICTURE, PICTURES, exif


@pytest.fixture(scope="module")
def decode() -> Callable[[bytes], np.ndarray]:
    """The graph as a saved model holds it."""
    import tensorflow as tf

    from heads.export.decoding import upright_rgb

    signature = [tf.TensorSpec([], tf.string)]
    graph = tf.function(upright_rgb, input_signature=signature, autograph=False)
    return lambda content: graph(tf.constant(content)).numpy()


Decode = Callable[[bytes], np.ndarray]


def same(decode: Decode, path: Path) -> None:
    expected = upright_pixels(path).astype(int)
    given = decode(path.read_bytes())
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photographs_are_turned_as_their_exif_says(
    decode: Decode, tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"photo.{suffix}"
    PICTURE.save(path, exif=exif(orientation))
    same(decode, path)
    turned = decode(path.read_bytes()).shape != (40, 61, 3)
    assert turned == (5 <= orientation <= 8)


@pytest.mark.parametrize(("kind", "order"), [(3, ">"), (4, "<"), (4, ">")])
def test_exif_is_read_in_either_byte_order_and_behind_other_segments(
    decode: Decode, tmp_path: Path, kind: int, order: str
) -> None:
    path = tmp_path / "photo.jpg"
    PICTURE.save(path, exif=exif(6, kind, order), comment="x" * 300)
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xed\x00\x0aPhotosho\xff" + content[2:])
    same(decode, path)
    assert decode(path.read_bytes()).shape == (61, 40, 3)


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_of_pixels_is_read_as_for_a_cache(
    decode: Decode, tmp_path: Path, name: str
) -> None:
    PICTURES[name].save(tmp_path / name)
    same(decode, tmp_path / name)


@pytest.mark.parametrize("clear", [PICTURE, GREY, PICTURE.quantize(64)])
def test_one_transparent_colour_is_white(decode: Decode, tmp_path: Path, clear: Any) -> None:
    clear.save(tmp_path / "photo.png", transparency=clear.getpixel((3, 3)))
    same(decode, tmp_path / "photo.png")
    assert decode((tmp_path / "photo.png").read_bytes())[3, 3].tolist() == [255] * 3


def png(bits: int, kind: int, rows: bytes, clear: int | None = None) -> bytes:
    """A PNG of 8 x 8 pixels in rows that each begin with the filter 0; one grey may be clear."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, bits, kind, 0, 0, 0))
    if clear is not None:
        body += chunk(b"tRNS", struct.pack(">H", clear))
    body += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("bits", "kind", "bytes_a_row"),
    [(1, 0, 1), (2, 0, 2), (4, 0, 4), (16, 2, 48), (16, 6, 64), (16, 4, 32)],
)
def test_greys_of_few_bits_and_colours_of_many_are_read_as_for_a_cache(
    decode: Decode, tmp_path: Path, bits: int, kind: int, bytes_a_row: int
) -> None:
    dice = np.random.default_rng(bits + kind)
    rows = b"".join(b"\0" + dice.bytes(bytes_a_row) for _ in range(8))
    # Pillow compares a clear grey of 2 or 4 bits with stretched ones, and finds none.
    for clear in (None, 1) if bits == 1 else (None,):
        (tmp_path / "photo.png").write_bytes(png(bits, kind, rows, clear))
        same(decode, tmp_path / "photo.png")


@pytest.mark.parametrize("suffix", ["gif", "webp", "bmp", "tif"])
def test_other_files_are_refused_in_words(decode: Decode, tmp_path: Path, suffix: str) -> None:
    import tensorflow as tf

    PICTURE.save(tmp_path / f"photo.{suffix}")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the file of a JPEG or PNG"):
        decode((tmp_path / f"photo.{suffix}").read_bytes())


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_exif_never_decides_whether_a_photograph_is_read(
    decode: Decode, tmp_path: Path, suffix: str
) -> None:
    dice = np.random.default_rng(0)
    for _ in range(40):
        block = bytearray(exif(6))
        for place in dice.integers(6, len(block), 4):
            block[place] = dice.integers(256)
        PICTURE.save(tmp_path / f"photo.{suffix}", exif=bytes(block))
        assert decode((tmp_path / f"photo.{suffix}").read_bytes()).size == PICTURE.width * 40 * 3
