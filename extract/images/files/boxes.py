"""HEIF and AVIF, files of boxes (ISO/IEC 14496-12): the colours that they name by codes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from extract.images.files.parts import read_at

# The box of metadata stands before the pictures, and takes some kilobytes.
HEAD_BYTES = 1 << 16
Codes = tuple[int, int]


def named_colours(file: IO[bytes]) -> Codes | None:
    """Return a file's codes of primaries and transfer characteristics (ISO/IEC 23091-2).

    Those of the first picture that has any, which in files of all known encoders is the primary
    one; None where there are none (ISO/IEC 23008-12, 6.5.5: a property `colr` of type `nclx`).
    """
    metadata = _inside(read_at(file, 0, HEAD_BYTES), b"meta")[4:]
    for kind, body in _boxes(_inside(_inside(metadata, b"iprp"), b"ipco")):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return primaries, transfer
    return None


def _inside(boxes: bytes, name: bytes) -> bytes:
    return next((body for kind, body in _boxes(boxes) if kind == name), b"")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, size = 0, 8
    while at + 8 <= len(content) and size >= 8:
        size, kind = struct.unpack_from(">L4s", content, at)
        yield kind, content[at + 8 : at + size]
        at += size
