"""The one door from stage two to photographs; the only module here that imports `extract`."""

from __future__ import annotations

from pathlib import Path

from extract.api import (
    Extracted,
    Extractor,
    MapExtractor,
    PhotographSource,
    Unreadable,
    View,
    build_graph,
    open_extractor,
    open_map_extractor,
    plain_jpeg,
    thumbnail_jpeg,
    upright_pixels,
    views_of,
)

__all__ = [
    "Extracted",
    "Extractor",
    "MapExtractor",
    "PhotographSource",
    "Unreadable",
    "View",
    "build_graph",
    "open_extractor",
    "open_map_extractor",
    "plain_jpeg",
    "thumbnail",
    "upright_pixels",
    "views_of",
]


def thumbnail(path: Path, pixels: int) -> bytes | None:
    """Return an upright JPEG whose longer side is at most `pixels`; None where there is no such
    file or it cannot be read any more."""
    try:
        return thumbnail_jpeg(path, pixels)
    except Unreadable:
        return None
