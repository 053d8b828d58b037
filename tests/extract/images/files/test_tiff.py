"""TIFF: values that lie in each other."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.extract.images.files.made import (
    refused,
    tiff,
)


def test_a_tiff_whose_values_lie_in_each_other_is_refused(tmp_path: Path) -> None:
    content = bytearray(tiff())
    (at,) = struct.unpack_from("<L", content, 4)
    (n,) = struct.unpack_from("<H", content, at)
    for place in range(at + 2, at + 2 + 12 * n, 12):
        if struct.unpack_from("<H", content, place)[0] in (258, 273, 279):
            struct.pack_into("<LL", content, place + 4, 20_000, 8)
    (tmp_path / "a.tiff").write_bytes(content)
    assert refused(tmp_path / "a.tiff").startswith("the TIFF's values take 200,0")
    assert f"more than the file of {len(content):,}" in refused(tmp_path / "a.tiff")
