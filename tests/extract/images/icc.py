"""ICC profiles (ICC.1:2022), made by hand: of colours by three primaries, of grey, of inks."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# X, Y, Z of red, green and blue, as the profiles of these names hold them.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03135, 0.00009, 0.82491))
WHITE, CYAN, MAGENTA, YELLOW = (100, 0, 0), (60, -38, -50), (50, 75, -5), (90, -5, 93)


def _numbers(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(values)


def gamma(exponent: float) -> bytes:
    """A curve: the number to a power."""
    return b"para\0\0\0\0\0\0\0\0" + _numbers([exponent])


# IEC 61966-2-1.
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + _numbers([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])


def _profile(
    space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ "
) -> bytes:
    tags = {b"desc": b"mluc" + bytes(11) + b"\x0c", b"wtpt": _xyz(D50), **tags}
    body, table, at = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 4 << 24, kind, space, connection)
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + _numbers(D50)
    return head.ljust(128, b"\0") + table + body


def of_primaries(primaries: Sequence[Sequence[float]], curve: bytes = SRGB_CURVE) -> bytes:
    """A profile of RGB."""
    tags = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True))
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def of_grey(exponent: float) -> bytes:
    """A profile of grey."""
    return _profile(b"GRAY", {b"kTRC": gamma(exponent)})


def of_inks() -> bytes:
    """A profile of CMYK: Lab of every mixture of full inks, and between them in straight lines."""
    papers = np.array([[CYAN, MAGENTA, YELLOW]], float) - np.array([WHITE], float)
    lab = []
    for mixture in range(16):
        on = [mixture >> 3 & 1, mixture >> 2 & 1, mixture >> 1 & 1]
        colour = np.array(WHITE) + (papers[0] * np.array(on)[:, None]).sum(axis=0)
        colour = np.clip(colour, (5, -127, -127), (100, 127, 127)) * (1 - (mixture & 1))
        lab += [round(colour[0] * 2.55), round(colour[1] + 128), round(colour[2] + 128)]
    straight = bytes(range(256))
    identity = _numbers([1, 0, 0, 0, 1, 0, 0, 0, 1])
    table = b"mft1\0\0\0\0\4\3\2\0" + identity + straight * 4 + bytes(lab) + straight * 3
    return _profile(b"CMYK", {b"A2B0": table}, b"prtr", b"Lab ")
