"""The one door from stage two to photographs; the only module here that imports `extract`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from extract.api import MEAN_COLOUR as MEAN_COLOUR
from extract.api import PROFILED as PROFILED
from extract.api import Extracted as Extracted
from extract.api import FeatureMap as FeatureMap
from extract.api import MapExtractor as MapExtractor
from extract.api import PhotographSource as PhotographSource
from extract.api import Sources as Sources
from extract.api import Unreadable as Unreadable
from extract.api import View as View
from extract.api import build_graph as build_graph
from extract.api import in_order, thumbnail_jpeg
from extract.api import named_spec as named_spec
from extract.api import open_extractor as open_extractor
from extract.api import open_map_extractor as open_map_extractor
from extract.api import peculiarity as peculiarity
from extract.api import photographs as photographs
from extract.api import upright_pixels as upright_pixels
from extract.api import views_of as views_of


def thumbnail(path: Path, pixels: int) -> bytes | None:
    """Return an upright JPEG whose longer side is at most `pixels`; None where there is no such
    file or it cannot be read any more."""
    try:
        return thumbnail_jpeg(path, pixels)
    except Unreadable:
        return None


def thumbnails(paths: Iterable[Path], pixels: int) -> Iterator[bytes | None]:
    """Yield the `thumbnail` of each in order, made on all cores some ahead of their use."""
    yield from in_order(partial(thumbnail, pixels=pixels), paths, len(os.sched_getaffinity(0)))
