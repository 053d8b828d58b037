"""PNG and WebP: long texts, and chunks written to harm."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from extract.images.files.chunks import PNG_SIGNATURE
from extract.images.files.picture import picture
from tests.extract.images.files.made import (
    photograph,
    pixels,
)


@pytest.mark.parametrize("packed", [False, True])
def test_a_png_with_megabytes_of_text_or_a_bomb_of_it_is_read(tmp_path: Path, packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(3 if packed else 1):
        info.add_text(f"Note {number}", "words " * 1_000_000, zip=packed)
    info.add(b"zTXt", b"Behind\0\0" + zlib.compress(bytes(30_000_000)), after_idat=True)
    info.add(b"iCCP", b"profile\0\0" + zlib.compress(bytes(30_000_000)))
    photograph().save(tmp_path / "plain.png")
    photograph().save(tmp_path / "wordy.png", pnginfo=info)
    with pytest.raises(ValueError, match="too large"):  # as Pillow alone reads it
        Image.open(tmp_path / "wordy.png").load()
    np.testing.assert_array_equal(pixels(tmp_path / "wordy.png"), pixels(tmp_path / "plain.png"))


HARMFUL = {
    "frames.webp": b"RIFF\0\0\0\0WEBP" + (b"JUNK" + bytes(4)) * 90_000 + b"ANMF\0\0\0\0" * 90_000,
    "names.png": PNG_SIGNATURE + b"\0\0\0\1??\0\0" + b"\0\x40\0\0IDAT" * 500_000,
    "palettes.png": PNG_SIGNATURE
    + (b"\0\0\0\0PLTE" + struct.pack(">I", zlib.crc32(b"PLTE")) + b"\0\0\0\1\0\0\0\0") * 90_000,
    "alphas.webp": b"RIFF\0\0\0\0WEBP" + (b"ALPH" + bytes(4) + b"\xff" * 8) * 90_000,
}


@pytest.mark.parametrize("name", HARMFUL)
def test_no_parts_of_a_file_are_gone_over_again_for_each_other_part(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(HARMFUL[name])
    start = time.process_time()
    with (tmp_path / name).open("rb") as file:
        picture(file)
    assert time.process_time() - start < 2
