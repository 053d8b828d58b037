"""TIFF 6.0 and BigTIFF: the first directory, without the metadata."""

from __future__ import annotations

import io
import struct
from typing import IO

from extract.images.files.exif import ORIENTATION, WHOLE_NUMBERS
from extract.images.files.parts import MAX_PROFILE, Picture, read_at, spliced
from extract.images.kinds import RAW
from extract.images.reasons import Unreadable

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
TIFF_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
# Sizes, layout, compression and colours; the orientation is looked at apart.
TIFF_PICTURE = {*range(256, 260), 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320}
TIFF_PICTURE |= {322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), *range(529, 533)}
TIFF_SAID = {700: "xmp", 34675: "icc_profile"}
SUBFILE_TYPE, DNG_VERSION = 254, 50706


def tiff(file: IO[bytes]) -> Picture | None:
    """Return the file with a first directory, the only one, of what describes the picture.

    Raises:
        Unreadable: its values are longer than the file, so that they must lie in each other; or the
            first picture is a preview, as in a camera's RAW file.
    """
    size, start = file.seek(0, io.SEEK_END), read_at(file, 0, 16)
    order, big = "<" if start[:2] == b"II" else ">", b"+" in start[:4]
    word, entry = (order + "Q", order + "HHQQ") if big else (order + "L", order + "HHLL")
    counter, head, step = (order + "Q", 16, 20) if big else (order + "H", 8, 12)
    if len(start) < head:
        return None
    (offset,) = struct.unpack_from(word, start, head - struct.calcsize(word))
    counted = struct.calcsize(counter)
    (n,) = struct.unpack(counter, read_at(file, offset, counted).ljust(counted, b"\0"))
    entries = read_at(file, offset + counted, step * min(n, 1 << 16))
    kept, total = [], 0
    info: dict[str, bytes] = {}
    for at in range(0, len(entries) - step + 1, step):
        tag, kind, count, value = struct.unpack_from(entry, entries, at)
        if tag in TIFF_PICTURE:
            total += count * TIFF_BYTES.get(kind, 0)
        elif tag in TIFF_SAID and count <= MAX_PROFILE:
            info.setdefault(TIFF_SAID[tag], read_at(file, value, count))
        elif tag == DNG_VERSION or (tag == SUBFILE_TYPE and value & 1):
            raise Unreadable(RAW)
        if tag in TIFF_PICTURE or (tag == ORIENTATION and kind in WHOLE_NUMBERS and count == 1):
            kept.append(entries[at : at + step])
    if total > size:
        raise Unreadable(f"the TIFF's values take {total:,} bytes, more than the file of {size:,}")
    tail = struct.pack(counter, len(kept)) + b"".join(kept) + bytes(struct.calcsize(word))
    even = size % 2  # a directory begins at an even place
    lead = start[: head - struct.calcsize(word)] + struct.pack(word, size + even)
    return Picture(spliced(lead, file, head, size, bytes(even) + tail), info)
