"""Views are the crops of the resized photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract.images.decode import (
    read_photograph,
)
from extract.images.views import CROP, CYKOOZ, MEAN_COLOUR, PILLOW, RESIZE, views
from tests.extract.images.pictures import (
    BLUE,
    CORNERS,
    GREEN,
    GREY,
    RED,
    noise,
    quarters,
)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (5000, 3), (223, 225)])
def test_any_shape_of_photograph_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "odd.png")
    photograph = read_photograph(tmp_path / "odd.png", views("ten"))
    assert photograph.size == size
    assert (photograph.pixels_u8 == GREEN).all()


def crop_of_resized(image: Image.Image, x: int, y: int) -> np.ndarray:
    """The plain way: resize all to 256 x 256, cut 224 x 224 at (x, y)."""
    whole = np.asarray(image.resize(RESIZE, Image.Resampling.BILINEAR))
    return whole[y : y + CROP[1], x : x + CROP[0]]


@pytest.mark.parametrize("size", [(640, 480), (333, 517), (224, 256), (31, 77), (1023, 769)])
def test_each_view_alone_is_bit_for_bit_the_crop_of_the_resized_whole(
    size: tuple[int, int],
) -> None:
    picture = noise(size)
    for view in views("ten"):
        x, y = (round(view.box[axis] * RESIZE[axis]) for axis in (0, 1))
        expected = crop_of_resized(picture, x, y)
        expected = expected[:, ::-1] if view.flipped else expected
        alone = read_photograph(picture, (view,)).pixels_u8[0]
        np.testing.assert_array_equal(alone, expected, err_msg=view.name, strict=True)


@pytest.mark.parametrize("choice", ["flip", "ten", "random:7"])
def test_views_cut_together_equal_views_cut_alone(choice: str) -> None:
    picture = noise((640, 427))
    together = read_photograph(picture, views(choice)).pixels_u8
    for view, pixels in zip(views(choice), together, strict=True):
        alone = read_photograph(picture, (view,)).pixels_u8[0]
        np.testing.assert_array_equal(pixels, alone, err_msg=view.name, strict=True)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_frame_holds_all_of_a_photograph_unstretched_on_the_mean_colour(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "wide.png"
    quarters((400, 100)).save(path, exif=exif)
    (pixels,) = read_photograph(path, views("frame")).pixels_u8
    if orientation == 6:  # shown turned clockwise
        pixels = np.rot90(pixels)
    assert pixels.shape == (160, 320, 3)
    assert (pixels[:40] == MEAN_COLOUR).all()
    assert (pixels[120:] == MEAN_COLOUR).all()
    for (y, x), colour in zip(CORNERS, (RED, GREEN, BLUE, GREY), strict=True):
        assert tuple(pixels[y + (40 if y > 0 else -40), x]) == colour


@pytest.mark.parametrize("choice", ["center", "flip", "ten", "whole", "frame"])
def test_every_view_is_resized_by_whom_the_caller_names(choice: str) -> None:
    pytest.importorskip("cykooz_resizer")
    image = noise((640, 480))
    by_both = [
        read_photograph(image, views(choice), interpolation=who).pixels_u8.astype(int)
        for who in (PILLOW, CYKOOZ)
    ]
    for slow, fast in zip(*by_both, strict=True):
        assert np.abs(slow - fast).max() == 1
