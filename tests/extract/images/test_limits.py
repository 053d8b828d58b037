"""What would take too much is refused before it is decoded."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import pytest
from PIL import Image

from extract.images import limits
from extract.images.decode import (
    Unreadable,
    read_photograph,
)
from tests.extract.images.pictures import (
    WHOLE,
    noise,
    png_of_one_colour,
    quarters,
    read,
    reason,
    saved_bytes,
)


def test_a_photograph_beyond_max_pixels_is_refused_and_the_limit_named(tmp_path: Path) -> None:
    quarters().save(tmp_path / "large.png")
    assert reason(tmp_path / "large.png", 9599) == (
        "120 x 80 pixels are more than --max-pixels 9599"
    )
    assert read_photograph(tmp_path / "large.png", WHOLE, 9600).size == (120, 80)


def test_a_decompression_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    png_of_one_colour(tmp_path / "bomb.png", 60_000, 60_000, lies=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "60000 x 60000 pixels are more than --max-pixels 200000000" in reason(
        tmp_path / "bomb.png"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"^0 x 5 pixels: there is nothing to see$"):
        read(Image.new("RGB", (0, 5)))


TAKES = "of this kind take {} GB to decode, more than 2.4 GB; --max-pixels raises that limit, too"


def test_a_photograph_that_would_take_gigabytes_is_refused_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    png_of_one_colour(tmp_path / "tall.png", 1, 3_000_000, lies=True)
    assert reason(tmp_path / "tall.png") == f"1 x 3000000 pixels {TAKES.format('3.1')}"
    content = bytearray(saved_bytes(Image.new("RGB", (8, 8)), "TIFF"))
    (start,) = struct.unpack_from("<L", content, 4)
    for at in range(start + 2, start + 2 + 12 * content[start], 12):
        tag = struct.unpack_from("<H", content, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HLL", content, at + 2, 4, 1, 14_000)
        elif tag == 278:  # the rows of a strip become the length of a tile
            struct.pack_into("<HHLL", content, at, 323, 4, 1, 60_000)
    (tmp_path / "a.tiff").write_bytes(content)
    assert reason(tmp_path / "a.tiff").startswith("14000 x 14000 pixels of this kind take 4.1 GB")


def test_what_a_decoder_holds_beside_the_pixels_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BYTES_PER_PIXEL", 0.02)  # 4 MB
    for name in ("a.png", "a.jpg", "a.webp"):
        noise((700, 500)).save(tmp_path / name)
    noise((700, 500)).save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    assert read(tmp_path / "a.png").size == read(tmp_path / "a.jpg").size == (700, 500)
    for name in ("a.webp", "progressive.jpg"):
        assert "700 x 500 pixels of this kind take 0.0 GB" in reason(tmp_path / name)
