"""Files are opened as Pillow opens them, whatever the process's guard against bombs says."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin

from extract.images.decode import read_photograph
from extract.images.opening import FORMATS, GUARD, opened_image
from extract.images.views import views

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
