"""What EXIF says of colours, in either byte order, and through any damage."""

from __future__ import annotations

import struct

import pytest

from extract.images.files.exif import exif_of, names_adobe_rgb, whole_number
from tests.extract.images.files.made import exif_of_colours


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_optional_colours_of_cameras_are_those_of_adobe_rgb(order: str) -> None:
    assert names_adobe_rgb({"exif": b"Exif\0\0" + exif_of_colours(order)})
    assert not names_adobe_rgb({"exif": exif_of_colours(order, space=1)})
    assert not names_adobe_rgb({"exif": exif_of_colours(order, index=b"R98\0")})
    assert not names_adobe_rgb({})
    assert whole_number(exif_of_colours(order), 0x8769, 0xA001) == 0xFFFF


@pytest.mark.parametrize(("kind", "place"), [(9, -40), (2, 26), (4, 0)])
def test_a_directory_that_is_nowhere_says_nothing(kind: int, place: int) -> None:
    pointer = struct.pack("<HHLl", 0x8769, 4, 1, 26)
    other = exif_of_colours().replace(pointer, struct.pack("<HHLl", 0x8769, kind, 1, place))
    assert other != exif_of_colours()
    assert not names_adobe_rgb({"exif": other})


def test_damaged_exif_says_nothing_and_raises_nothing() -> None:
    good = exif_of_colours()
    for at in range(len(good)):
        for damaged in (good[:at], good[:at] + b"\xff\xff\xff\xff" + good[at + 4 :]):
            names_adobe_rgb({"exif": damaged})
    assert exif_of({"exif": 7}) == b""
