"""Every kind of photograph is read right or refused with its reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract.images import decode
from extract.images.colours import upright_rgb
from extract.images.decode import (
    Vanished,
    peculiarity,
    thumbnail_jpeg,
)
from tests.extract.images.pictures import (
    STORED_AS,
    assert_quarters,
    noise,
    quarters,
    read,
    reason,
)


@pytest.mark.parametrize("content", [b"\0" * 5000, b"<html>404</html>", b"\xff\xd8\xff"])
def test_bytes_that_are_no_image_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.jpg").write_bytes(content)
    assert reason(tmp_path / "page.jpg") == "not an image, or of a kind that is not read"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"cut.{ending}"
    noise((640, 480)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert reason(path)


def test_a_truncated_jpeg_is_said_to_be_truncated(tmp_path: Path) -> None:
    noise((640, 480)).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    assert "truncated" in reason(tmp_path / "cut.jpg")


def test_postscript_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "of a kind that is not read" in reason(tmp_path / "program.jpg")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tiff", "gif", "avif"])
def test_every_format_gives_the_same_picture(tmp_path: Path, ending: str) -> None:
    quarters().save(tmp_path / f"a.{ending}")
    photograph = read(tmp_path / f"a.{ending}")
    assert photograph.pixels_u8.shape == (1, 224, 224, 3)
    assert photograph.pixels_u8.dtype == np.uint8
    assert photograph.size == (120, 80)
    assert_quarters(photograph, tolerance=20 if ending in ("gif", "avif") else 6)


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    quarters().save(tmp_path / "really.png")
    (tmp_path / "really.png").rename(tmp_path / "claimed.jpg")
    assert_quarters(read(tmp_path / "claimed.jpg"))


def test_a_progressive_jpeg_is_read(tmp_path: Path) -> None:
    quarters().save(tmp_path / "slow.jpg", progressive=True)
    assert_quarters(read(tmp_path / "slow.jpg"))


def test_the_first_picture_of_a_multi_picture_file_is_read(tmp_path: Path) -> None:
    other = Image.new("RGB", (120, 80), "white")
    quarters().save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[other])
    with Image.open(tmp_path / "phone.jpg") as image:
        assert image.format == "MPO"
    assert_quarters(read(tmp_path / "phone.jpg"))


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"moving.{ending}"
    white = Image.new("RGB", (120, 80), "white")
    quarters().save(path, save_all=True, append_images=[white, white], duration=100)
    with Image.open(path) as image:
        assert image.n_frames > 1
    assert_quarters(read(path), tolerance=20)


def decoded_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return the size at which a photograph really was decoded."""
    sizes = []
    real = upright_rgb
    monkeypatch.setattr(decode, "upright_rgb", lambda im: sizes.append(im.size) or real(im))
    read(path)
    return sizes[0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 1000), (1000, 1000)),
        ((1023, 2000), (1023, 2000)),
        ((1024, 1024), (512, 512)),
        ((3000, 2100), (750, 525)),
        ((600, 4096), (600, 4096)),
    ],
)
def test_only_large_jpegs_are_decoded_at_a_part_of_their_size(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    noise(size).save(tmp_path / "a.jpg")
    assert decoded_size(tmp_path / "a.jpg", monkeypatch) == expected


def test_a_large_png_is_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise((2048, 1400)).save(tmp_path / "a.png")
    assert decoded_size(tmp_path / "a.png", monkeypatch) == (2048, 1400)


def test_draft_decoding_is_close_to_full_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise((2000, 1500)).save(tmp_path / "a.jpg", quality=92)
    fast = read(tmp_path / "a.jpg").pixels_u8.astype(int)
    monkeypatch.setattr(decode, "DRAFT_SIZE", (100_000, 100_000))
    full = read(tmp_path / "a.jpg").pixels_u8.astype(int)
    difference = np.abs(fast - full)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_plain_pixels_have_no_peculiarity(tmp_path: Path, mode: str) -> None:
    quarters().convert(mode).save(tmp_path / "a.png")
    assert peculiarity(tmp_path / "a.png") == ""


def test_what_makes_a_photograph_more_than_pixels_is_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().save(tmp_path / "turned.jpg", exif=exif)
    quarters().convert("CMYK").save(tmp_path / "print.jpg")
    quarters().convert("RGBA").save(tmp_path / "clear.png")
    quarters().save(tmp_path / "colour.png", transparency=(255, 0, 0))
    found = {path.name: peculiarity(path) for path in tmp_path.iterdir()}
    assert found == {
        "turned.jpg": "rotated",
        "print.jpg": "of mode CMYK",
        "clear.png": "transparent",
        "colour.png": "transparent",
    }
    with pytest.raises(Vanished, match="no such file"):
        peculiarity(tmp_path / "nothing.jpg")


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_thumbnail_is_small_and_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    STORED_AS[orientation](quarters((600, 400))).save(path, exif=exif)
    small = opened(thumbnail_jpeg(path, 90))
    assert small.size == (90, 60)
    assert_quarters(read(small), tolerance=12)


def test_a_thumbnail_leaves_the_picture_it_is_made_of_as_it_is() -> None:
    picture = quarters((600, 400))
    assert opened(thumbnail_jpeg(picture, 90)).size == (90, 60)
    assert picture.size == (600, 400)


def test_a_thumbnail_of_nothing_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Vanished, match="no such file"):
        thumbnail_jpeg(tmp_path / "nothing.jpg", 90)


def test_a_thumbnail_holds_nothing_of_what_is_said_beside_the_picture(tmp_path: Path) -> None:
    quarters().save(tmp_path / "plain.gif")
    quarters().save(tmp_path / "a.gif", comment=b"private " * 10_000)
    assert thumbnail_jpeg(tmp_path / "a.gif", 90) == thumbnail_jpeg(tmp_path / "plain.gif", 90)
