"""Codes of colours are found in the boxes of HEIF and AVIF, and no damage costs a photograph."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from extract.images.files.boxes import named_colours
from tests.extract.images.pictures import quarters

HEIC = Path(__file__).parents[1] / "heic"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(body), kind) + body


def boxes(*properties: bytes) -> io.BytesIO:
    inner = box(b"iprp", box(b"ipco", b"".join(properties)))
    return io.BytesIO(box(b"ftyp", b"avif") + box(b"meta", bytes(4) + box(b"pitm", b"") + inner))


def colours(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 128))


def test_codes_are_those_of_the_first_picture_that_has_any() -> None:
    other = box(b"colr", b"prof" + bytes(20))
    assert named_colours(boxes(other, colours(12, 13), colours(1, 13))) == (12, 13)
    assert named_colours(boxes(other)) is None


def test_codes_are_found_in_files_as_encoders_write_them() -> None:
    avif = io.BytesIO()
    quarters().save(avif, "AVIF")
    assert named_colours(avif) == (1, 13)
    assert named_colours(io.BytesIO((HEIC / "plain.heic").read_bytes())) == (1, 13)
    assert named_colours(io.BytesIO((HEIC / "p3.heic").read_bytes())) is None


@pytest.mark.parametrize("size", [0, 1, 7, 0xFFFFFFFF])
def test_boxes_of_any_size_end(size: int) -> None:
    content = boxes(colours(12, 13)).getvalue()
    for at in range(0, len(content) - 3):
        named_colours(io.BytesIO(content[:at] + struct.pack(">L", size) + content[at + 4 :]))
        named_colours(io.BytesIO(content[:at]))
