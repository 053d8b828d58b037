"""The door to photographs: a thumbnail, or none where the photograph is gone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from heads import photos
from tests.heads.studio import save_pictures


def test_a_thumbnail_is_an_upright_jpeg_no_longer_than_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (300, 200)).save(path, exif=exif)
    jpeg = photos.thumbnail(path, 90)
    assert jpeg is not None
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (60, 90))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_photograph_that_cannot_be_read_has_no_thumbnail(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    assert photos.thumbnail(path, 90) is None


def test_thumbnails_come_in_order_with_none_for_what_is_gone(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path, range(9))
    paths[4].unlink()
    made = list(photos.thumbnails(paths, 60))
    assert made == [photos.thumbnail(path, 60) for path in paths]
    assert [number for number, jpeg in enumerate(made) if jpeg is None] == [4]
