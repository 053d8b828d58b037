"""Bilinear resizing by Pillow, or by cykooz-resizer in a fraction of the time.

Both average the pixels under a triangle as wide as the reduction, and differ by one grey level at
most. That moves features by more than two engines do, so who resizes is part of the fingerprint.
"""

from __future__ import annotations

import importlib.util
import threading
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cache.console import note
from cache.errors import EngineError
from extract.images.views import CYKOOZ, PILLOW, RESIZERS

PACKAGE = "cykooz-resizer"
BILINEAR = Image.Resampling.BILINEAR
# (left, top, right, bottom) in pixels, not of necessity whole ones.
PixelBox = tuple[float, float, float, float]

# cykooz-resizer keeps the space that it works in, so each thread has its own.
_local = threading.local()


def resized(
    image: Image.Image, size: tuple[int, int], box: PixelBox | None, interpolation: str
) -> npt.NDArray[np.uint8]:
    """Return `box` of an RGB image, None for all of it, resized: (height, width, 3).

    Args:
        size: (width, height) to resize to.
        interpolation: a value of RESIZERS.
    """
    way = _by_cykooz if interpolation == CYKOOZ else _by_pillow
    return way(image, size, box or (0, 0, *image.size))


def find_interpolation(choice: str, wanted: str | None = None) -> str:
    """Return what stands for a choice in a fingerprint.

    Args:
        choice: a key of RESIZERS, or `auto`: the `wanted` one, else cykooz where it works.
        wanted: what a cache says; of another version it may be something else.

    Raises:
        EngineError: cykooz is asked for and does not work here.
    """
    if choice != "auto":
        found = RESIZERS[choice]
    elif wanted in RESIZERS.values():
        found = str(wanted)
    else:
        found = PILLOW if _problem() else CYKOOZ
    check_interpolation(found)
    return found


def check_interpolation(interpolation: str) -> None:
    """Refuse a resizer that is not here.

    Raises:
        EngineError: it is not.
    """
    if interpolation == CYKOOZ and _problem():
        raise EngineError(
            f"The photographs are to be resized by {PACKAGE}, which {_problem()}. Install or "
            f"update it: pip install -U {PACKAGE}. Or extract anew with --resizer pillow."
        )


def _by_pillow(image: Image.Image, size: tuple[int, int], box: PixelBox) -> npt.NDArray[np.uint8]:
    return np.asarray(image.resize(size, BILINEAR, box))


def _by_cykooz(image: Image.Image, size: tuple[int, int], box: PixelBox) -> npt.NDArray[np.uint8]:
    import cykooz_resizer as cykooz

    if not hasattr(_local, "resizer"):
        _local.resizer = cykooz.Resizer()
    left, top, right, bottom = box
    options: Any = cykooz.ResizeOptions(
        resize_alg=cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear),
        crop_box=cykooz.CropBox(left, top, right - left, bottom - top),
    )
    target = Image.new("RGB", size)
    _local.resizer.resize_pil(image, target, options)
    return np.asarray(target)


@cache
def _problem() -> str:
    """Return why cykooz-resizer is of no use here, or ''.

    It reads Pillow's memory past its doors, so it must first agree with Pillow.
    """
    if importlib.util.find_spec("cykooz_resizer") is None:
        return "is not installed"
    values = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    image, size, box = Image.fromarray(values), (24, 20), (3.25, 2.5, 80.75, 58.0)
    try:
        by_both = (way(image, size, box) for way in (_by_cykooz, _by_pillow))
        apart = int(np.abs(np.subtract(*by_both, dtype=int)).max())
        problem = "" if apart <= 1 else f"differs from Pillow by {apart} grey levels"
    except Exception as error:  # whatever a package raises that does not fit this Pillow
        problem = f"does not work with this Pillow ({type(error).__name__}: {error})"
    if problem:
        note(f"{PACKAGE} {problem}; where nothing else is asked for, Pillow resizes instead.")
    return problem
