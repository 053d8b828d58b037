"""Files of kinds that are not read have a reason that says what to do."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from extract.images.kinds import boxed
from tests.extract.images.pictures import quarters, reason, saved_bytes

RAW = (
    "a RAW file of a camera, not a finished picture: develop it into a JPEG or TIFF, or name the "
    "JPEG that the camera wrote beside it"
)
TIFF = b"II*\0\x10\0\0\0"
BEGINNINGS = {
    "a.cr2": TIFF + b"CR\2\0" + bytes(500),
    "a.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(500),
    "a.orf": b"IIRO\x08\0\0\0" + bytes(500),
    "a.rw2": b"IIU\0\x18\0\0\0" + bytes(500),
    "a.raf": b"FUJIFILMCCD-RAW 0201" + bytes(500),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_raw_file_is_told_by_its_beginning(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BEGINNINGS[name])
    assert reason(tmp_path / name) == RAW


def with_entry(content: bytes, tag: int, value: int) -> bytes:
    """A TIFF whose first directory has one more entry."""
    (at,) = struct.unpack_from("<L", content, 4)
    (n,) = struct.unpack_from("<H", content, at)
    entries = content[at + 2 : at + 2 + 12 * n] + struct.pack("<HHLL", tag, 4, 1, value)
    directory = struct.pack("<H", n + 1) + entries + bytes(4)
    return content[:4] + struct.pack("<L", len(content)) + content[8:] + directory


def test_the_preview_in_a_raw_file_is_not_taken_for_the_photograph(tmp_path: Path) -> None:
    content = saved_bytes(quarters(), "TIFF")
    for tag, value in ((254, 1), (50706, 0x0401)):  # .nef and .arw, .dng
        (tmp_path / "a").write_bytes(with_entry(content, tag, value))
        assert reason(tmp_path / "a") == RAW


@pytest.mark.parametrize("content", [b"\xff\x0a\xfa\x7f", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14"])
def test_jpeg_xl_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jxl").write_bytes(content)
    assert reason(tmp_path / "a.jxl") == (
        "JPEG XL, which is not read: convert it to PNG or JPEG, with djxl for example"
    )


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"hevc\0\0\0\0msf1hevc", "HEIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"avif\0\0\0\0avif", "AVIF"),
        (b"avis\0\0\0\0avifavis", "AVIF"),
        (b"isom\0\0\0\0isommp42", ""),
    ],
)
def test_what_lies_in_boxes_is_told_by_its_brands(brands: bytes, kind: str) -> None:
    box = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands
    assert boxed(box + b"\0\0\0\x20metaavif") == kind
