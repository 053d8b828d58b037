"""The views lie where their names say, and the first is always the unflipped one."""

from __future__ import annotations

import pytest

from extract.images.views import CROP, FRAMES, RESIZE, View, views

CHOICES = ["center", "flip", "ten", "whole", "frame", "random:2", "random:64"]


def pixels(view: View) -> tuple[float, float, float, float]:
    """A view's box in pixels of the photograph resized to 256 x 256."""
    left, top, right, bottom = view.box
    return left * RESIZE[0], top * RESIZE[1], right * RESIZE[0], bottom * RESIZE[1]


def test_the_center_is_16_pixels_from_every_edge_of_256() -> None:
    (view,) = views("center")
    assert pixels(view) == (16, 16, 240, 240)


def test_the_whole_is_all_of_the_photograph() -> None:
    (view,) = views("whole")
    assert view == View("whole", (0.0, 0.0, 1.0, 1.0))


def test_the_shapes_of_a_frame_are_those_that_its_name_stands_for_in_caches() -> None:
    lying = [(256, 192), (288, 192), (320, 160)]
    assert list(FRAMES) == [(224, 224), *lying, *[(h, w) for w, h in lying]]


@pytest.mark.parametrize(
    ("size", "shape", "inner"),
    [
        ((500, 500), (224, 224), (224, 224)),
        ((4000, 3000), (256, 192), (256, 192)),
        ((3000, 4000), (192, 256), (192, 256)),
        ((6000, 4000), (288, 192), (288, 192)),
        ((500, 400), (256, 192), (240, 192)),
        ((1920, 1080), (320, 160), (284, 160)),
        ((5000, 1000), (320, 160), (320, 64)),
        ((1, 9000), (160, 320), (1, 320)),
    ],
)
def test_a_frame_has_the_nearest_proportions_and_all_of_the_photograph(
    size: tuple[int, int], shape: tuple[int, int], inner: tuple[int, int]
) -> None:
    (frame,) = views("frame")
    assert frame.fit(size) == (shape, inner)
    left, top, right, bottom = frame.box_in(size)
    assert min(left, top) <= 0 <= 1 <= max(right, bottom)
    assert right - left == pytest.approx(shape[0] / inner[0])
    assert bottom - top == pytest.approx(shape[1] / inner[1])


def test_flip_is_the_center_and_its_mirror() -> None:
    plain, mirrored = views("flip")
    assert plain.box == mirrored.box
    assert (plain.flipped, mirrored.flipped) == (False, True)


def test_ten_is_center_and_corners_each_with_its_mirror() -> None:
    ten = views("ten")
    boxes = [(16, 16), (0, 0), (32, 0), (0, 32), (32, 32)]
    assert [pixels(view)[:2] for view in ten] == boxes * 2
    assert [view.flipped for view in ten] == [False] * 5 + [True] * 5


@pytest.mark.parametrize("choice", CHOICES)
def test_view_zero_is_never_flipped_and_names_are_unique(choice: str) -> None:
    cut = views(choice)
    assert not cut[0].flipped
    assert cut[0].name in ("center", "whole", "frame")
    assert len({view.name for view in cut}) == len(cut)


@pytest.mark.parametrize(
    "choice", [choice for choice in CHOICES if choice not in ("whole", "frame")]
)
def test_every_crop_is_224_pixels_and_inside(choice: str) -> None:
    for view in views(choice):
        left, top, right, bottom = pixels(view)
        assert (right - left, bottom - top) == CROP
        assert min(left, top) >= 0
        assert max(right, bottom) <= 256


def test_random_views_are_seeded_and_nested() -> None:
    assert views("random:9") == views("random:9")
    assert views("random:9")[:4] == views("random:4")
    assert len(views("random:9")) == 9


def test_random_views_say_in_their_names_what_they_are() -> None:
    for view in views("random:20")[1:]:
        kind, x, y, *flipped = view.name.split("_")
        assert kind == "random"
        assert (int(x), int(y)) == pixels(view)[:2]
        assert bool(flipped) == view.flipped


@pytest.mark.parametrize(
    "choice", ["", "centre", "random", "random:", "random:1", "random:65", "random:x", "ten:2"]
)
def test_other_choices_are_refused_with_the_list(choice: str) -> None:
    with pytest.raises(
        ValueError, match="center, flip, ten, random:N, whole or frame, N from 2 to 64"
    ):
        views(choice)
