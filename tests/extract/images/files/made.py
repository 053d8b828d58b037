"""Files with all the metadata that cameras write."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from extract.images.decode import Unreadable, read_photograph
from extract.images.views import views

Spans = list[tuple[int, int]]

WHOLE = views("whole")


def photograph(size: tuple[int, int] = (160, 120)) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def pixels(path: Path | Image.Image) -> np.ndarray:
    return read_photograph(path, WHOLE).pixels_u8


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        pixels(path)
    return str(caught.value)


ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="1"/></x:xmpmeta>' * 3


def exif() -> bytes:
    """EXIF as cameras write it: nested directories, a maker's note, and a thumbnail JPEG."""
    thumbnail = encoded(photograph((40, 30)), "JPEG")
    plain = Image.Exif()
    plain.update({0x10F: "Maker", 0x110: "Model", 0x11A: 72.0, 0x11B: 72.0, 0x128: 2})
    plain.get_ifd(0x8769).update({0x829A: 0.01, 0x927C: bytes(range(256)) * 2})
    tiff = bytearray(plain.tobytes()[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    (n,) = struct.unpack_from(f"{order}H", tiff, 8)
    struct.pack_into(f"{order}L", tiff, 10 + 12 * n, len(tiff))
    directory = struct.pack(f"{order}H", 2)
    directory += struct.pack(f"{order}HHLL", 0x201, 4, 1, len(tiff) + 30)
    directory += struct.pack(f"{order}HHLL", 0x202, 4, 1, len(thumbnail)) + bytes(4)
    return b"Exif\0\0" + bytes(tiff) + directory + thumbnail


def jpeg(**options: object) -> bytes:
    more = {"icc_profile": ICC, "exif": exif(), "xmp": XMP, "comment": b"words"}
    return encoded(photograph(), "JPEG", quality=90, **more, **options)


def jpeg_metadata(content: bytes) -> Spans:
    at, found = 2, []
    while content[at + 1] != 0xDA:
        size = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        found += [(at, at + size)] * (content[at + 1] in (0xE1, 0xE2, 0xFE))
        at += size
    return found


def tiff(**options: object) -> bytes:
    return encoded(photograph(), "TIFF", icc_profile=ICC, description="some words", **options)


def exif_of_colours(order: str = "<", space: int = 0xFFFF, index: bytes = b"R03\0") -> bytes:
    """EXIF of three directories, each in the one before it, that says Adobe RGB."""
    one, tag = order + "H", order + "HHL"
    parts = [(b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)]
    parts += [struct.pack(one, 1), struct.pack(tag + "L", 0x8769, 4, 1, 26), bytes(4)]
    parts += [struct.pack(one, 2), struct.pack(tag + "HH", 0xA001, 3, 1, space, 0)]
    parts += [struct.pack(tag + "L", 0xA005, 4, 1, 56), bytes(4)]
    parts += [struct.pack(one, 1), struct.pack(tag, 1, 2, 4) + index, bytes(4)]
    return b"".join(parts)
