"""JPEGs: damaged segments, missing ends, thousands of scans."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from extract.images.decode import read_photograph
from extract.images.files.jpeg import has_all_scans
from extract.images.files.parts import MAX_TEXT
from extract.images.files.picture import picture
from tests.extract.images.files.made import (
    WHOLE,
    encoded,
    jpeg,
    jpeg_metadata,
    photograph,
    pixels,
    refused,
)


def test_a_segment_whose_length_is_wrong_does_not_put_its_thumbnail_in_the_pictures_place(
    tmp_path: Path,
) -> None:
    content = bytearray(jpeg())
    (start, _), *_ = [span for span in jpeg_metadata(content) if content[span[0] + 1] == 0xE1]
    (tmp_path / "a.jpg").write_bytes(content)
    sound = pixels(tmp_path / "a.jpg")
    for length in (2, 9, 100, 700, 1000, 5000, 65535):
        content[start + 2 : start + 4] = length.to_bytes(2, "big")
        (tmp_path / "a.jpg").write_bytes(content)
        assert read_photograph(tmp_path / "a.jpg", WHOLE).size == (160, 120)
        np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), sound)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_is_read_and_one_that_lacks_pixels_is_not(
    tmp_path: Path, progressive: bool
) -> None:
    path, content = tmp_path / "a.jpg", jpeg(progressive=progressive)
    path.write_bytes(content)
    sound = pixels(path)
    for lacking in (1, 2):
        path.write_bytes(content[:-lacking])
        np.testing.assert_array_equal(pixels(path), sound)
    for lacking in (8, 20, 100, 300, 1000, 2000):
        path.write_bytes(content[:-lacking])
        assert "truncated" in refused(path)


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "a.jpg", jpeg(progressive=True)
    path.write_bytes(content[: content.rindex(b"\xff\xda")])
    with path.open("rb") as file:
        assert not has_all_scans(file)
    assert "truncated" in refused(path)
    path.write_bytes(content)
    with path.open("rb") as file:
        assert has_all_scans(file)


def many_scans(n: int, size: tuple[int, int] = (64, 64)) -> bytes:
    content = encoded(photograph(size), "JPEG", progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * n + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(many_scans(2000, (2000, 1500)))
    start = time.process_time()
    assert refused(tmp_path / "a.jpg") == (
        "a JPEG of more than 100 scans, which take minutes to decode; encoders write 10 to 20"
    )
    assert time.process_time() - start < 1
    (tmp_path / "a.jpg").write_bytes(many_scans(80))
    assert pixels(tmp_path / "a.jpg").shape == (1, 224, 224, 3)


def test_a_jpeg_of_many_scans_without_its_end_is_not_decoded_again_and_again(
    tmp_path: Path,
) -> None:
    for n, read in ((5, True), (80, False)):
        (tmp_path / "a.jpg").write_bytes(many_scans(n)[:-2])
        with (tmp_path / "a.jpg").open("rb") as file:
            assert has_all_scans(file) == read
    assert "truncated" in refused(tmp_path / "a.jpg")


def test_scans_of_pictures_behind_the_first_do_not_count(tmp_path: Path) -> None:
    content = encoded(photograph(), "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(content + b"\xff\xda" * 500)
    assert pixels(tmp_path / "a.jpg").shape == (1, 224, 224, 3)


def test_searching_behind_damage_takes_no_time_whatever_stands_there(tmp_path: Path) -> None:
    chain = b"\xff\xe0\0\2" * 60_000 + bytes(50_000)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1\0\1" + chain * 4)
    start = time.process_time()
    assert "not an image" in refused(tmp_path / "a.jpg")
    assert time.process_time() - start < 2


def test_exif_in_many_segments_is_put_together_up_to_a_megabyte(tmp_path: Path) -> None:
    content = encoded(photograph(), "JPEG")
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)
    (tmp_path / "a.jpg").write_bytes(content[:2] + segment * 40 + content[2:])
    with (tmp_path / "a.jpg").open("rb") as file:
        assert len(picture(file).info["exif"]) < MAX_TEXT + 65536
