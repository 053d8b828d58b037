"""Which ICC profile a photograph's colours have: that in the file, or that of what the file names.

Knows colours and profiles; changes no pixel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cache.console import note_once
from extract.images.files.exif import names_adobe_rgb

# Where an image's info says which colours its boxes name.
CODES = "cicp"
Primaries = Sequence[Sequence[float]]
# X, Y, Z of red, green and blue, from their chromaticities and the white of D65, adapted to D50 as
# ICC.1:2022, annex E, has it (Bradford): SMPTE EG 432-1, ITU-R BT.2020, Adobe RGB (1998).
P3 = ((0.51512, 0.24119, -0.00105), (0.29198, 0.69224, 0.04188), (0.15710, 0.06657, 0.78407))
BT_2020 = ((0.67348, 0.27904, -0.00193), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20527, 0.62568, 0.06087), (0.14919, 0.06321, 0.74456))
D50 = (0.9642, 1.0, 0.8249)


def _numbers(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


# ICC.1:2022, 10.18: sRGB's curve (IEC 61966-2-1), and a number to a power.
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + _numbers([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
ADOBE_CURVE = b"para\0\0\0\0\0\0\0\0" + _numbers([563 / 256])


def _profile(primaries: Primaries, curve: bytes) -> bytes:
    """Return a profile (ICC.1:2022, 7 and 8.3) of what Little CMS needs to convert colours."""
    parts = [*(b"XYZ \0\0\0\0" + _numbers(xyz) for xyz in primaries), curve, curve, curve]
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    table, body = struct.pack(">L", len(names)), b""
    for name, part in zip(names, parts, strict=True):
        table += struct.pack(">4sLL", name, 132 + 12 * len(names) + len(body), len(part))
        body += part
    size = 128 + len(table) + len(body)
    head = struct.pack(">L4xL4s4s4s12x4s28x", size, 4 << 24, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head + _numbers(D50)).ljust(128, b"\0") + table + body


OF_ADOBE_RGB = _profile(ADOBE_RGB, ADOBE_CURVE)
# By ISO/IEC 23091-2's code of primaries; None is sRGB, as is what is not said (2).
OF_PRIMARIES = {1: None, 2: None, 9: _profile(BT_2020, SRGB_CURVE), 12: _profile(P3, SRGB_CURVE)}
# BT.709's curve (1, 6, 14, 15) is that of a camera, seen as sRGB's (13).
LIKE_SRGB = (1, 2, 6, 13, 14, 15)


def profile_of(info: Mapping[Any, Any]) -> bytes | None:
    """Return a photograph's ICC profile; None where its colours are sRGB, as far as is said.

    Args:
        info: what Pillow calls an image's info, with `CODES` of a file of boxes. A profile in it
            counts before any name.
    """
    profile: bytes | None = info.get("icc_profile")
    if profile:
        return profile
    if codes := info.get(CODES):
        return _of_codes(*codes)
    return OF_ADOBE_RGB if names_adobe_rgb(info) else None


def _of_codes(primaries: int, transfer: int) -> bytes | None:
    if primaries in OF_PRIMARIES and transfer in LIKE_SRGB:
        return OF_PRIMARIES[primaries]
    note_once(
        "The colours of a photograph, and perhaps of others, have codes (nclx) that are not "
        "converted, such as those of HDR: they are taken as sRGB."
    )
    return None
