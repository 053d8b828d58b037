"""Parts of files are read as one file, and counted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from extract.images.files import parts
from extract.images.files.chunks import PNG_SIGNATURE
from extract.images.files.parts import spliced
from tests.extract.images.files.made import (
    refused,
)


@pytest.mark.parametrize(
    ("start", "part", "reason"),
    [
        (b"\xff\xd8", b"\xff\xe0\0\2", "a JPEG of more than 1,000 segments"),
        (PNG_SIGNATURE, bytes(4) + b"teXt" + bytes(4), "a PNG of more than 1,000 chunks"),
        (b"RIFF\0\0\0\0WEBP", b"JUNK" + bytes(4), "a WebP of more than 1,000 chunks"),
    ],
)
def test_a_file_of_more_parts_than_any_program_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, part: bytes, reason: str
) -> None:
    monkeypatch.setattr(parts, "MAX_PARTS", 1000)
    (tmp_path / "a").write_bytes(start + part * 2000)
    assert refused(tmp_path / "a") == f"{reason}; no program writes so many"


def test_what_is_cut_out_of_a_file_is_read_as_one_file() -> None:
    whole = b"ab" + b"cdefg" + b"hi"
    cut = spliced(b"ab", io.BytesIO(b"--cdefg--"), 2, 7, b"hi")
    assert cut.read() == whole
    dice = np.random.default_rng(0)
    for _ in range(200):
        place, size = int(dice.integers(0, 12)), int(dice.integers(0, 12))
        assert cut.seek(place) == place
        assert cut.read(size) == whole[place : place + size]
        assert cut.tell() == min(place + size, max(place, len(whole)))
