"""Image files without their metadata: what a decoder needs of a file, and what is said beside it.

Metadata never decides whether a photograph can be read, nor what it costs: the reader is shown the
picture alone. Knows by what files begin; decodes nothing.
"""

from __future__ import annotations

from typing import IO

from extract.images.files.chunks import PNG_SIGNATURE, png, webp
from extract.images.files.jpeg import jpeg
from extract.images.files.parts import Picture
from extract.images.files.tiff import TIFF_STARTS, tiff

# By what files begin of which the parts are gone over here, quickly, whatever they hold.
WALKED_STARTS = (b"\xff\xd8\xff", PNG_SIGNATURE, b"RIFF")


def picture(file: IO[bytes]) -> Picture:
    """Return the picture alone of a JPEG, PNG, WebP or TIFF file, any other file as it is.

    Raises:
        Unreadable: more scans or parts than any camera or encoder writes.
    """
    file.seek(0)
    start = file.read(16)
    found = None
    if start.startswith(b"\xff\xd8\xff"):
        found = jpeg(file)
    elif start.startswith(PNG_SIGNATURE):
        found = png(file)
    elif start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        found = webp(file)
    elif start[:4] in TIFF_STARTS:
        found = tiff(file)
    file.seek(0)
    return found or Picture(file)
