"""Metadata, however odd, neither refuse a photograph nor change its pixels."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import PngImagePlugin

from extract.images.views import views
from tests.extract.images.files.made import (
    ICC,
    XMP,
    Spans,
    encoded,
    exif,
    jpeg,
    jpeg_metadata,
    photograph,
    pixels,
    tiff,
)

WHOLE = views("whole")


def png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "x" * 50)
    info.add_text("Packed", "y" * 500, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"tEXt", b"Behind\0words", after_idat=True)
    return encoded(photograph(), "PNG", pnginfo=info, icc_profile=ICC, exif=exif()[6:])


def png_metadata(content: bytes) -> Spans:
    at, found = 8, []
    while at < len(content):
        size = 12 + int.from_bytes(content[at : at + 4], "big")
        found += [(at, at + size)] * (content[at + 4 : at + 8] not in (b"IHDR", b"IDAT", b"IEND"))
        at += size
    return found


def webp() -> bytes:
    return encoded(photograph(), "WEBP", icc_profile=ICC, exif=exif(), xmp=XMP)


def webp_metadata(content: bytes) -> Spans:
    at, found = 12, []
    while at < len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        found += [(at, at + 8 + size)] * (name in (b"ICCP", b"EXIF", b"XMP "))
        at += 8 + size + size % 2
    return found


def tiff_metadata(content: bytes) -> Spans:
    """Entries, less their tags, and values."""
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}L", content, 4)
    (n,) = struct.unpack_from(f"{order}H", content, at)
    found = []
    for entry in range(at + 2, at + 2 + 12 * n, 12):
        tag, _, count, value = struct.unpack_from(f"{order}HHLL", content, entry)
        if tag in (270, 34675):
            found += [(entry + 2, entry + 12), (value, value + count)]
    return found


SOUND: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Spans]]] = {
    "jpg": (jpeg, jpeg_metadata),
    "progressive.jpg": (lambda: jpeg(progressive=True), jpeg_metadata),
    "png": (png, png_metadata),
    "webp": (webp, webp_metadata),
    "tiff": (tiff, tiff_metadata),
    "packed.tiff": (lambda: tiff(compression="tiff_lzw"), tiff_metadata),
}


def is_profile(content: bytes, start: int, stop: int) -> bool:
    marks = b"ICC_PROFILE", b"iCCP", b"ICCP", ICC[:8]
    return any(mark in content[start : min(start + 20, stop)] for mark in marks)


@pytest.mark.parametrize("kind", SOUND)
def test_no_damage_within_metadata_costs_a_photograph_or_changes_it(
    tmp_path: Path, kind: str
) -> None:
    make, metadata = SOUND[kind]
    path, content = tmp_path / f"a.{kind}", make()
    path.write_bytes(content)
    sound = pixels(path)
    spans, dice = metadata(content), np.random.default_rng(0)
    everywhere = list(itertools.chain.from_iterable(itertools.starmap(range, spans)))
    headers = list(itertools.chain.from_iterable(range(a, min(a + 12, b)) for a, b in spans))
    of_profile = {place for span in spans if is_profile(content, *span) for place in range(*span)}
    assert len(everywhere) > 400
    for trial in range(150):
        damaged = bytearray(content)
        places = dice.choice(headers if trial % 2 else everywhere, 1 + trial % 3)
        for place in places:
            damaged[place] = int(dice.integers(0, 256))
        path.write_bytes(damaged)
        found = pixels(path)
        assert found.shape == sound.shape
        if of_profile.isdisjoint(places):  # which decides about colours
            np.testing.assert_array_equal(found, sound, err_msg=f"trial {trial}", strict=True)
