"""Files are opened as Pillow opens them, whatever the process's guard against bombs says."""

from __future__ import annotations

import contextlib
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin

from extract.images.decode import Unreadable, peculiarity, read_photograph
from extract.images.opening import FORMATS, GUARD, opened_image
from extract.images.reasons import Costly
from extract.images.views import views
from tests.extract.images.pictures import (
    GREEN,
    GREY,
    STORED_AS,
    assert_quarters,
    corner_colours,
    failing,
    noise,
    quarters,
    read,
    reason,
)

ENDINGS = ("jpg", "mpo", "png", "webp", "gif", "bmp", "tiff")


def saved(path: Path) -> Path:
    picture = Image.new("RGB", (120, 80), (250, 10, 10))
    more = {"save_all": True, "append_images": [picture]} if path.suffix == ".mpo" else {}
    picture.save(path, **more)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("limit", [100, 5000])  # Pillow's guard raises above 200, warns above 5000
def test_pillows_guard_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, limit: int
) -> None:
    path = saved(tmp_path / f"a.{ending}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert read_photograph(path, views("ten")).size == (120, 80)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_gif_whose_first_picture_outgrows_its_screen_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.gif")
    content = bytearray(path.read_bytes())
    content[6:10] = bytes([2, 0, 2, 0])  # the screen's width and height
    path.write_bytes(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photograph(path, views("whole")).size == (120, 80)


def test_pillow_itself_still_asks_its_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for ending in ENDINGS:
        path = saved(tmp_path / f"a.{ending}")
        with opened_image(path) as image:
            image.load()
        with pytest.raises(Image.DecompressionBombError):
            Image.open(path)
    for reader, method in (
        (GifImagePlugin.GifImageFile, "_seek"),
        (WebPImagePlugin.WebPImageFile, "_open"),
        (TiffImagePlugin.TiffImageFile, "load_prepare"),
    ):
        assert getattr(reader, method).__globals__["Image"] is Image
    assert getattr(Image, GUARD).__module__ == "PIL.Image"


def outcome(path: Path, *, ours: bool) -> object:
    """What became of a file: its size and pixels, or None where it cannot be read."""
    try:
        with opened_image(path) if ours else Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > 1_000_000:
                return image.mode, image.size
            image.load()
            return image.mode, image.size, image.tobytes()
    except Exception:
        return None


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_file_that_pillow_reads_has_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, seed: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = saved(tmp_path / f"a.{ending}")
    dice, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    for place in dice.integers(0, min(len(content), 400), 3).tolist():
        content[place] = int(dice.integers(0, 256))
    path.write_bytes(content[: len(content) - int(dice.integers(0, 40))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = outcome(path, ours=False)
        assert theirs is None or outcome(path, ours=True) == theirs


@pytest.mark.parametrize("content", [b"", b"x", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 1 1 255 abc"])
def test_what_is_none_of_the_formats_is_not_identified(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    message = f"cannot identify image file '{tmp_path / 'a.jpg'}'"
    with (
        pytest.raises(Image.UnidentifiedImageError, match=message),
        opened_image(tmp_path / "a.jpg"),
    ):
        pass


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_decoded_on_opening_and_the_file_is_closed_at_the_end(
    tmp_path: Path, ending: str
) -> None:
    with opened_image(saved(tmp_path / f"a.{ending}")) as image:
        file = image.fp
        assert image.tile or ending == "webp"
        assert not file.closed
    assert file.closed


# --- HEIF and AVIF -------------------------------------------------------------------------------

# Made by pillow-heif 1.8 (libheif 1.23, x265) of `quarters((128, 96))`: turned by EXIF's
# orientation and its own, of colours of Display P3, half clear, the second of two pictures, grey.
HEIC = Path(__file__).parent / "heic"


def heic(name: str) -> bytes:
    return (HEIC / f"{name}.heic").read_bytes()


@pytest.mark.parametrize("name", ["plain", *(f"turned{k}" for k in range(2, 9)), "second"])
def test_a_heic_is_read_upright_once_and_of_several_pictures_the_primary_one(name: str) -> None:
    photograph = read(HEIC / f"{name}.heic")
    assert_quarters(photograph)
    assert photograph.size == (128, 96)


@pytest.mark.parametrize("turned", range(1, 9))
def test_an_avif_is_read_upright(tmp_path: Path, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    STORED_AS[turned](quarters()).save(tmp_path / "a.avif", exif=exif, quality=95)
    photograph = read(tmp_path / "a.avif")
    assert_quarters(photograph, tolerance=12)
    assert photograph.size == (120, 80)


def test_of_a_sequence_in_boxes_the_first_picture_is_read(tmp_path: Path) -> None:
    white = Image.new("RGB", (120, 80), "white")
    quarters().save(tmp_path / "a.avif", save_all=True, append_images=[white, white], quality=95)
    assert_quarters(read(tmp_path / "a.avif"), tolerance=12)


def test_transparency_grey_and_profiles_of_a_heic_are_those_of_other_formats() -> None:
    clear = corner_colours(read(HEIC / "clear.heic"))
    assert clear[[0, 2]].tolist() == [[255] * 3] * 2
    np.testing.assert_allclose(clear[[1, 3]], [GREEN, GREY], atol=6)
    grey = read(HEIC / "grey.heic").pixels_u8
    assert (grey == grey[..., :1]).all()
    assert len(np.unique(grey)) > 3
    wide = corner_colours(read(HEIC / "p3.heic"))
    np.testing.assert_allclose(wide, [(255, 0, 0), (0, 255, 0), (9, 10, 255), GREY], atol=3)
    assert peculiarity(HEIC / "p3.heic") == "of a colour profile other than sRGB"


def test_a_heic_whose_owner_opened_it_with_pillow_is_read_as_its_file(tmp_path: Path) -> None:
    from pi_heif import HeifImageFile

    with (HEIC / "turned6.heic").open("rb") as file:
        np.testing.assert_array_equal(
            read(HeifImageFile(file, "")).pixels_u8, read(HEIC / "turned6.heic").pixels_u8
        )


def test_without_pi_heif_a_heic_has_a_reason_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with (
        pytest.raises(Unreadable) as caught,
        opened_image(HEIC / "plain.heic"),
    ):
        pass
    assert str(caught.value) == (
        "HEIC or HEIF, which needs the package pi-heif: pip install 'aesthetic-heads[heif]', then "
        "try again (extract: --retry-failed)"
    )


def test_what_lies_in_boxes_is_decoded_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extract.images.decode.crops", failing(AssertionError("called here")))
    assert_quarters(read(HEIC / "plain.heic"))
    with pytest.raises(Costly), opened_image(HEIC / "plain.heic", odd_bytes=1 << 20):
        pass


def resized(content: bytes, width: int, height: int) -> bytes:
    """A HEIC that says it has so many pixels."""
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">II", width, height) + content[at + 8 :]


def test_a_heic_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(resized(heic("plain"), 20_000, 20_000))
    assert reason(tmp_path / "a.heic") == (
        "20000 x 20000 pixels are more than --max-pixels 200000000"
    )
    (tmp_path / "a.heic").write_bytes(resized(heic("plain"), 14_000, 14_000))
    assert "does not have the size signaled in the file" in reason(tmp_path / "a.heic")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("ending", ["heic", "avif"])
def test_a_heic_or_avif_that_is_cut_off_is_refused(
    tmp_path: Path, ending: str, share: float
) -> None:
    quarters((128, 96)).save(tmp_path / "a.avif")
    content = heic("plain") if ending == "heic" else (tmp_path / "a.avif").read_bytes()
    (tmp_path / "a").write_bytes(content[: int(share * len(content))])
    assert reason(tmp_path / "a")


@pytest.mark.parametrize("name", ["turned6", "second", "p3", "avif"])
def test_no_damage_to_a_heic_or_avif_does_more_than_cost_it(tmp_path: Path, name: str) -> None:
    noise((64, 48)).save(tmp_path / "a.avif")
    content = (tmp_path / "a.avif").read_bytes() if name == "avif" else heic(name)
    dice, n_read = np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in dice.integers(0, len(content), 3):
            damaged[place] = int(dice.integers(0, 256))
        (tmp_path / "a").write_bytes(damaged)
        with contextlib.suppress(Unreadable):
            assert read(tmp_path / "a").pixels_u8.shape == (1, 224, 224, 3)
            n_read += 1
    assert n_read
