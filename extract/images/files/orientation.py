"""How a photograph lies, by what its file says beside the picture: EXIF, or else XMP."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

UPRIGHT = 1
ORIENTATION = 0x0112
EXIF_TAG = re.compile(rb"^(Exif\0\0)+")
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
# TIFF 6.0: types of whole numbers and their struct codes.
WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}


def orientation(info: Mapping[Any, Any]) -> int:
    """Return the orientation 1 (upright) to 8 that EXIF says, or else XMP; 1 where neither does.

    Args:
        info: what Pillow calls an image's info. Values may be damaged in any way.
    """
    said = _exif_orientation(_exif(info))
    if said is None:
        xmp = info.get("xmp")
        match = XMP_ORIENTATION.search(xmp) if isinstance(xmp, bytes) else None
        said = int(match[1]) if match else UPRIGHT
    return said if 1 <= said <= 8 else UPRIGHT


def _exif(info: Mapping[Any, Any]) -> bytes:
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if exif is None and isinstance(profile, str):
        exif = raw_profile(profile)
    return EXIF_TAG.sub(b"", exif) if isinstance(exif, bytes) else b""


def raw_profile(text: str) -> bytes:
    """Return the bytes that ImageMagick writes as text, three lines of header before them."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _exif_orientation(exif: bytes) -> int | None:
    """Return the value in the first directory; of several the first one, as Pillow does."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return None
    (offset,) = struct.unpack(f"{order}L", exif[4:8])
    (count,) = struct.unpack(f"{order}H", exif[offset : offset + 2].ljust(2, b"\0"))
    for at in range(offset + 2, min(offset + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, n = struct.unpack(f"{order}HHL", exif[at : at + 8])
        if tag == ORIENTATION and n == 1 and kind in WHOLE_NUMBERS:
            (said,) = struct.unpack_from(f"{order}{WHOLE_NUMBERS[kind]}", exif, at + 8)
            return int(said)
    return None
