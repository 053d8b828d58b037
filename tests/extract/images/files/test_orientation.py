"""Orientation is read from wherever programs put it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from extract.images.files.orientation import orientation
from extract.images.files.picture import picture
from tests.extract.images.files.made import (
    encoded,
    photograph,
    pixels,
)


def said(path: Path) -> int:
    with path.open("rb") as file:
        return orientation(picture(file).info)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_is_read_from_exif_and_else_from_xmp(
    tmp_path: Path, ending: str, turned: int
) -> None:
    path, exif = tmp_path / f"a.{ending}", Image.Exif()
    exif[0x0112] = turned
    photograph().save(path, exif=exif, xmp=b'<x tiff:Orientation="5"/>')
    assert said(path) == turned
    xmp = b"<tiff:Orientation>%d</tiff:Orientation>" % turned
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=turned % 2 == 0)
    photograph().save(path, **({"pnginfo": info} if ending == "png" else {"xmp": xmp}))
    assert said(path) == turned
    with Image.open(path) as image:
        image.load()
        assert image.getexif()[0x0112] == turned


def test_orientation_is_read_from_where_imagemagick_and_late_writers_put_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = "\nexif\n      26\n" + exif.tobytes().hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", lines, zip=True)
    photograph().save(tmp_path / "profile.png", pnginfo=info)
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = encoded(photograph(), "PNG")
    (tmp_path / "late.png").write_bytes(content[:-12] + chunk + content[-12:])
    assert said(tmp_path / "profile.png") == said(tmp_path / "late.png") == 6


def entry(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return start + struct.pack(f"{order}HHHL", 1, 0x0112, kind, count) + value.ljust(4, b"\0")


def test_of_two_orientations_the_first_counts_in_a_file_and_in_a_callers_image(
    tmp_path: Path,
) -> None:
    twice = entry(3, 1, b"\6\0").replace(b"\1\0\x12\1", b"\2\0\x12\1")
    twice += entry(3, 1, b"\3\0")[10:] + bytes(4)
    photograph((96, 64)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + twice)
    with Image.open(tmp_path / "a.jpg") as image:
        image.load()
        np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), pixels(image))
    assert said(tmp_path / "a.jpg") == 6


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (entry(3, 1, b"\6\0"), 6),
        (entry(3, 1, b"\0\6", ">"), 6),
        (entry(4, 1, b"\6\0\0\0"), 6),
        (b"Exif\0\0Exif\0\0" + entry(3, 1, b"\6\0"), 6),
        (entry(3, 1, b"\x09\0"), 1),
        (entry(3, 1, b"\0\0"), 1),
        (entry(9, 1, b"\xff\xff\xff\xff"), 1),
        (entry(2, 2, b"6\0"), 1),
        (entry(3, 2, b"\6\0\6\0"), 1),
        (entry(3, 1, b"\6\0")[:15], 1),
        (b"II*\0\xff\xff\xff\xff" + bytes(20), 1),
        (b"XX*\0" + bytes(20), 1),
        (b"", 1),
    ],
)
def test_an_orientation_that_makes_no_sense_is_upright(exif: bytes, expected: int) -> None:
    assert orientation({"exif": exif}) == expected
    assert orientation({"exif": 7, "xmp": None, "Raw profile type exif": "x\n\n\nzz"}) == 1
