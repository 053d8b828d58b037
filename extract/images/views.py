"""What is done to a photograph before the backbone sees it: sizes, views and their boxes.

Plain numbers, shared by decoding and the graph; imports nothing heavy.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from cache.text import quoted

RESIZE = (256, 256)
CROP = (224, 224)
# Says how pixels are made; a change here makes old caches stale.
PREPROCESSING: dict[str, Any] = {
    "decode": "pillow: exif-rotated, alpha on white, 16 bit to 8, first frame, "
    "jpeg scaled to >= 512",
    "resize": RESIZE,
    "crop": CROP,
    "interpolation": "bilinear",
}
VIEWS = "center, flip, ten, random:N or whole"
RANDOM_VIEW_SEED = 0
MAX_RANDOM_VIEWS = 64


@dataclass(frozen=True)
class View:
    """One crop of a photograph.

    `box` is (left, top, right, bottom) as fractions of the photograph; it is resized to CROP, and
    mirrored left to right where `flipped`.
    """

    name: str
    box: tuple[float, float, float, float]
    flipped: bool = False


def _crop_at(x: int, y: int) -> tuple[float, float, float, float]:
    """The box of the 224 x 224 crop at (x, y) of the photograph resized to 256 x 256."""
    return x / RESIZE[0], y / RESIZE[1], (x + CROP[0]) / RESIZE[0], (y + CROP[1]) / RESIZE[1]


def views(choice: str) -> tuple[View, ...]:
    """Return the views that a choice names; the first is the unflipped centre, or `whole`.

    Args:
        choice: `center`; `flip` (centre and its mirror); `ten` (centre and four corners, each
            with its mirror: Krizhevsky et al. 2012); `random:N` (the centre and N - 1 seeded
            crops, each mirrored by chance); `whole` (all of the photograph, 224 x 224).

    Raises:
        ValueError: none of these.
    """
    margin_x, margin_y = RESIZE[0] - CROP[0], RESIZE[1] - CROP[1]
    center = View("center", _crop_at(margin_x // 2, margin_y // 2))
    if choice == "center":
        return (center,)
    if choice == "whole":
        return (View("whole", (0.0, 0.0, 1.0, 1.0)),)
    if choice == "flip":
        return center, View("center_flipped", center.box, flipped=True)
    if choice == "ten":
        corners = {"top_left": (0, 0), "top_right": (margin_x, 0)}
        corners |= {"bottom_left": (0, margin_y), "bottom_right": (margin_x, margin_y)}
        plain = [center, *(View(name, _crop_at(*at)) for name, at in corners.items())]
        mirrored = [View(f"{view.name}_flipped", view.box, flipped=True) for view in plain]
        return (*plain, *mirrored)
    kind, _, count = choice.partition(":")
    if kind == "random" and count.isdecimal() and 2 <= int(count) <= MAX_RANDOM_VIEWS:
        return (center, *_random_views(int(count) - 1, margin_x, margin_y))
    raise ValueError(
        f"{quoted(choice)} is no choice of views; expected {VIEWS}, N from 2 to {MAX_RANDOM_VIEWS}."
    )


def _random_views(count: int, margin_x: int, margin_y: int) -> list[View]:
    dice = random.Random(RANDOM_VIEW_SEED)
    drawn = []
    for _ in range(count):
        x, y, flipped = dice.randint(0, margin_x), dice.randint(0, margin_y), dice.random() < 0.5
        name = f"random_{x}_{y}" + ("_flipped" if flipped else "")
        drawn.append(View(name, _crop_at(x, y), flipped))
    return drawn
