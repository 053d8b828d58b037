"""How a photograph lies, by what its file says beside the picture: EXIF, or else XMP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from extract.images.files.exif import ORIENTATION, exif_of, whole_number

UPRIGHT = 1
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation(info: Mapping[Any, Any]) -> int:
    """Return the orientation 1 (upright) to 8 that EXIF says, or else XMP; 1 where neither does.

    Args:
        info: what Pillow calls an image's info. Values may be damaged in any way.
    """
    said = whole_number(exif_of(info), ORIENTATION)
    if said is None:
        xmp = info.get("xmp")
        match = XMP_ORIENTATION.search(xmp) if isinstance(xmp, bytes) else None
        said = int(match[1]) if match else UPRIGHT
    return said if 1 <= said <= 8 else UPRIGHT
