"""What EXIF says: single values of its directories, whatever their damage."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

ORIENTATION = 0x0112
# EXIF 2.3, 4.6.3, 4.6.5 and 4.6.7: where directories are, and what is said of colours.
EXIF_DIRECTORY, INTEROPERABILITY = 0x8769, 0xA005
COLOUR_SPACE, UNCALIBRATED = 0xA001, 0xFFFF
INTEROPERABILITY_INDEX, OPTIONAL_COLOURS = 1, b"R03\0"
EXIF_TAG = re.compile(rb"^(Exif\0\0)+")
# TIFF 6.0: types of whole numbers and their struct codes.
WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}
TEXT = 2


def exif_of(info: Mapping[Any, Any]) -> bytes:
    """Return the EXIF in what Pillow calls an image's info; b"" where there is none."""
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


def whole_number(exif: bytes, *tags: int) -> int | None:
    """Return the number of the last tag, in the directory to which those before it lead.

    Of several in a directory the first one, as Pillow does.
    """
    for kind, n, order, value in _values(exif, *tags):
        if n == 1 and kind in WHOLE_NUMBERS:
            return int(struct.unpack_from(f"{order}{WHOLE_NUMBERS[kind]}", value)[0])
    return None


def names_adobe_rgb(info: Mapping[Any, Any]) -> bool:
    """Whether EXIF says the optional colours of DCF 2.0, which are those of Adobe RGB (1998)."""
    exif = exif_of(info)
    if whole_number(exif, EXIF_DIRECTORY, COLOUR_SPACE) != UNCALIBRATED:
        return False
    said = _values(exif, EXIF_DIRECTORY, INTEROPERABILITY, INTEROPERABILITY_INDEX)
    return any((kind, n, value) == (TEXT, 4, OPTIONAL_COLOURS) for kind, n, _, value in said)


def _values(exif: bytes, *tags: int) -> list[tuple[int, int, str, bytes]]:
    """Return type, count, byte order and the four bytes of a value, as often as the tag stands."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return []
    offset = struct.unpack(f"{order}L", exif[4:8])[0]
    if len(tags) > 1:
        offset = whole_number(exif, *tags[:-1])
        if offset is None or offset < 0:
            return []
    (count,) = struct.unpack(f"{order}H", exif[offset : offset + 2].ljust(2, b"\0"))
    places = range(offset + 2, min(offset + 2 + 12 * count, len(exif) - 11), 12)
    found = (struct.unpack_from(f"{order}HHL4s", exif, place) for place in places)
    return [(kind, n, order, value) for tag, kind, n, value in found if tag == tags[-1]]
