"""Image files without their metadata: what a decoder needs of a file, and what is said beside it.

Metadata never decides whether a photograph can be read, nor what it costs: the reader is shown the
picture alone. Of all that is said beside it only the orientation counts; `orientation` reads it.
Knows the files' layout; decodes nothing.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

# What a file may hold at most of what no camera or encoder makes thousands of. Decoding goes once
# over all pixels for each scan; encoders write 10, the most thorough ones 20.
MAX_SCANS, MAX_PARTS = 100, 200_000
# A JPEG without its end is decoded several times, one of more scans not at all.
MAX_SCANS_WITHOUT_END = 20
# Compressed texts unfold to at most this.
MAX_TEXT = 1 << 20
UPRIGHT = 1


class Unreadable(Exception):
    """A photograph that cannot be used; the text is the reason, for the list of rejects."""


class Vanished(Unreadable):
    """There is no file of that name."""


class Refused(Unreadable):
    """The system did not give the file's content; the photograph may be good, and is tried again.

    The text is the system's own, without the path, so that equal reasons can be counted.
    """


class _Spliced(io.RawIOBase):
    """A file to read: some bytes, a range of another file, some bytes."""

    def __init__(self, head: bytes, file: IO[bytes], start: int, stop: int, tail: bytes) -> None:
        self._head, self._file, self._start, self._tail = head, file, start, tail
        self._turn = len(head) + stop - start
        self._size = self._turn + len(tail)
        self._at = 0
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all that are left where `size` is negative."""
        stop = self._size if size < 0 else min(self._at + size, self._size)
        pieces = []
        while self._at < stop:
            pieces.append(self._piece(stop))
            if not pieces[-1]:
                break  # the file is shorter than it was
            self._at += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, stop: int) -> bytes:
        at, before = self._at, len(self._head)
        if at < before:
            return self._head[at:stop]
        if at < self._turn:
            self._file.seek(at - before + self._start)
            return self._file.read(min(stop, self._turn) - at)
        return self._tail[at - self._turn : stop - self._turn]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True


def _spliced(head: bytes, file: IO[bytes], start: int, stop: int, tail: bytes) -> IO[bytes]:
    return cast("IO[bytes]", _Spliced(head, file, start, stop, tail))


@dataclass
class Picture:
    """The picture alone, as a file that a reader opens, and what the original says beside it.

    `info` may hold `exif` and `xmp`, bytes as they stand in the file. `scans` is how often a JPEG
    is gone over; with more than once all its coefficients are held in memory.
    """

    file: IO[bytes]
    info: dict[str, bytes] = field(default_factory=dict)
    scans: int = 1


# By what files begin of which the parts are gone over here, quickly, whatever they hold.
WALKED_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


def picture(file: IO[bytes], *, tail: bytes = b"") -> Picture:
    """Return the picture alone of a JPEG, PNG, WebP or TIFF file, any other file as it is.

    Args:
        file: an open file.
        tail: what is put behind a JPEG.

    Raises:
        Unreadable: more scans or parts than any camera or encoder writes.
    """
    file.seek(0)
    start = file.read(16)
    found = None
    if start.startswith(b"\xff\xd8\xff"):
        found = _jpeg(file, tail)
    elif start.startswith(PNG_SIGNATURE):
        found = _png(file)
    elif start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        found = _webp(file)
    elif start[:4] in TIFF_STARTS:
        found = _tiff(file)
    file.seek(0)
    return found or Picture(file)


# --- orientation ----------------------------------------------------------------------------------

ORIENTATION = 0x0112
EXIF_TAG = re.compile(rb"^(Exif\0\0)+")
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
# TIFF 6.0: types of whole numbers and their struct codes.
WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}


def orientation(info: Mapping[Any, Any]) -> int:
    """Return the orientation 1 (upright) to 8 that EXIF says, or else XMP; 1 where neither does.

    Args:
        info: what Pillow calls an image's info. Values may be damaged in any way.
    """
    said = _exif_orientation(_exif(info))
    if said is None:
        xmp = info.get("xmp")
        match = XMP_ORIENTATION.search(xmp) if isinstance(xmp, bytes) else None
        said = int(match[1]) if match else UPRIGHT
    return said if 1 <= said <= 8 else UPRIGHT


def _exif(info: Mapping[Any, Any]) -> bytes:
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if exif is None and isinstance(profile, str):
        exif = _raw_profile(profile)
    return EXIF_TAG.sub(b"", exif) if isinstance(exif, bytes) else b""


def _raw_profile(text: str) -> bytes:
    """Return the bytes that ImageMagick writes as text, three lines of header before them."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _exif_orientation(exif: bytes) -> int | None:
    """Return the value in the first directory; of several the first one, as Pillow does."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return None
    (offset,) = struct.unpack(f"{order}L", exif[4:8])
    (count,) = struct.unpack(f"{order}H", exif[offset : offset + 2].ljust(2, b"\0"))
    for at in range(offset + 2, min(offset + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, n = struct.unpack(f"{order}HHL", exif[at : at + 8])
        if tag == ORIENTATION and n == 1 and kind in WHOLE_NUMBERS:
            (said,) = struct.unpack_from(f"{order}{WHOLE_NUMBERS[kind]}", exif, at + 8)
            return int(said)
    return None


# --- JPEG (ITU-T T.81, annex B) -------------------------------------------------------------------

EOI, SOS, APP1 = 0xD9, 0xDA, 0xE1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
METADATA = {*range(0xE0, 0xF0), *range(0xF0, 0xFF)}  # applications', extensions', comments
SEGMENTS = {*range(0xC0, 0xD0), *range(0xDA, 0xE0), *METADATA}
# By what metadata begins, whatever its marker has become by damage.
METADATA_STARTS = (b"Exif\0", b"http://ns.adobe.com/", b"ICC_PROFILE\0", b"Photoshop ", b"MPF\0")
XMP_START = b"http://ns.adobe.com/xap/1.0/\0"
# These segments of applications say how colours are coded.
COLOUR_STARTS = (b"JFIF\0", b"Adobe")
# How far is searched behind a damaged segment, over how many segments it must go on from there to
# be no accident, and how many damaged ones are passed.
SEARCHED, STEPS, MAX_DAMAGED = 1 << 18, 16, 3


def _jpeg(file: IO[bytes], tail: bytes) -> Picture | None:
    """Return the frame, its tables and its scans; None where no scan is found."""
    head, components = [b"\xff\xd8"], 0
    info: dict[str, bytes] = {}
    for place, marker, body in _jpeg_segments(file):
        if marker == SOS:
            stop = file.seek(0, io.SEEK_END)
            if tail and _read(file, stop - 1, 1) == b"\xff":  # half of the end that is to follow
                stop -= 1
            scans = _scans(file, place) if body[0] < components else 1
            rest = _spliced(b"".join(head), file, place, stop, tail)
            return Picture(rest, info, scans)
        if marker in FRAMES:
            components = body[5]
            if marker in (0xC2, 0xC6, 0xCA, 0xCE):
                components = 256  # progressive: one scan is never all
        if marker not in METADATA or body.startswith(COLOUR_STARTS):
            head.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
        elif body[:6] == b"Exif\0\0" and len(info.get("exif", b"")) < MAX_TEXT:
            info["exif"] = info.get("exif", b"") + body[6:]
        elif body.startswith(XMP_START):
            info["xmp"] = body[len(XMP_START) :]
    return None


def _jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (place, marker, body) of a JPEG's segments up to the first scan's header.

    Where one does not lead to another, its length is damaged: what follows is searched for.
    """
    file.seek(2)
    damaged = 0
    for _ in range(MAX_PARTS):
        place = file.tell()
        segment = _segment(file)
        if segment is None:
            file.seek(place)
            found = _next_segment(file.read(SEARCHED))
            damaged += 1
            if found is None or damaged > MAX_DAMAGED:
                return
            file.seek(place)
            segment = APP1, file.read(found)[4:]
        yield place, *segment
        if segment[0] == SOS:
            return
    raise Unreadable(f"a JPEG of more than {MAX_PARTS:,} segments; no program writes so many")


def _segment(file: IO[bytes]) -> tuple[int, bytes] | None:
    """Read a segment; None where there is none, or its length cannot be right."""
    lead = file.read(4)
    while lead[:2] == b"\xff\xff":  # any number of these may stand before a marker
        lead = lead[1:] + file.read(1)
    if len(lead) < 4 or lead[0] != 0xFF or lead[1] not in SEGMENTS:
        return None
    marker, size = lead[1], (lead[2] << 8 | lead[3]) - 2
    body = file.read(max(size, 0))
    if size < 0 or len(body) < size:
        return None
    if marker == SOS:
        return (marker, body) if body and size == 4 + 2 * body[0] else None
    if marker in FRAMES and (size < 6 or size != 6 + 3 * body[5]):
        return None
    if body.startswith(METADATA_STARTS):
        marker = APP1
    follows = file.read(2)
    file.seek(-len(follows), io.SEEK_CUR)
    sound = (
        len(follows) == 2 and follows[0] == 0xFF and (follows[1] in SEGMENTS or follows[1] == 0xFF)
    )
    return (marker, body) if sound else None


def _next_segment(data: bytes) -> int | None:
    """Return where the next segment begins that leads to a scan; pictures within are passed."""
    at = 1
    while (at := data.find(b"\xff", at)) >= 0:
        if data[at + 1 : at + 3] == b"\xd8\xff":
            end = data.find(b"\xff\xd9", at)
            at = end + 2 if end >= 0 else at + 3
        elif _leads_on(data, at):
            return at
        else:
            at += 1
    return None


def _leads_on(data: bytes, at: int) -> bool:
    """Whether segment after segment lies here, to a scan, the end of the data, or many of them."""
    for step in range(STEPS):
        if at + 4 > len(data):
            return step > 2
        if data[at] != 0xFF or data[at + 1] not in SEGMENTS:
            return False
        if data[at + 1] == SOS:
            return True
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return True


def _scans(file: IO[bytes], place: int) -> int:
    """Return how many scans there are, at most: pictures behind the first are counted too.

    Raises:
        Unreadable: more than `MAX_SCANS` in the first picture.
    """
    file.seek(place)
    at_most = 0
    while piece := file.read(1 << 20):
        at_most += piece.count(b"\xff\xda")
    if at_most > MAX_SCANS:
        at_most = sum(1 for _ in scan_headers(file, place, MAX_SCANS + 1))
    if at_most > MAX_SCANS:
        raise Unreadable(
            f"a JPEG of more than {MAX_SCANS} scans, which take minutes to decode; encoders write "
            "10 to 20"
        )
    return max(at_most, 2)


def has_all_scans(file: IO[bytes]) -> bool:
    """Whether a JPEG's scans hold every coefficient of every component to its last bit.

    Says no of more scans than encoders write.
    """
    missing: set[tuple[int, int]] = set()
    for place, marker, body in _jpeg_segments(file):
        if marker in FRAMES:
            missing = {(component, k) for component in body[6::3] for k in range(64)}
        if marker == SOS:
            headers = [*scan_headers(file, place, MAX_SCANS_WITHOUT_END + 1)]
            for header in headers:
                n = header[0]
                first, last, bits = header[1 + 2 * n : 4 + 2 * n]
                scanned = {
                    (c, k) for c in header[1 : 1 + 2 * n : 2] for k in range(first, last + 1)
                }
                missing = missing | scanned if bits & 15 else missing - scanned
            return not missing and len(headers) <= MAX_SCANS_WITHOUT_END
    return False


MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def scan_headers(file: IO[bytes], place: int, most: int) -> Iterator[bytes]:
    """Yield the headers of the first picture's scans from `place` on, at most so many."""
    file.seek(place)
    data, at = file.read(), 0
    while most and (match := MARKER.search(data, at)):
        at = match.end()
        if match[0][1] == EOI:
            return
        size = int.from_bytes(data[at : at + 2], "big")
        if match[0][1] == SOS:
            most -= 1
            yield data[at + 2 : at + size]
        at += size


# --- PNG (ISO/IEC 15948) --------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
PNG_PICTURE = re.compile(b"PLTE|tRNS|IDAT")
PNG_INDEXED = 3
# How far is searched behind a chunk of metadata whose length is damaged.
PNG_SEARCHED = 1 << 24


def _png(file: IO[bytes]) -> Picture | None:
    """Return header, palette, transparency and pixels; None where it is not so laid out."""
    size = file.seek(0, io.SEEK_END)
    head, info, start, stop = [PNG_SIGNATURE], {}, 0, 0
    for place, name, length in _png_chunks(file, size):
        if name == b"IDAT":
            start, stop = start or place, place + 12 + length
        elif name in (b"IHDR", b"PLTE", b"tRNS"):
            if not start:
                head.append(_read(file, place, 12 + length))
        elif name in (b"eXIf", b"iTXt", b"zTXt", b"tEXt") and length <= MAX_TEXT:
            info.update(_png_said(name, _read(file, place + 8, length)))
    if not start or len(head) < 2:
        return None
    if head[1][17] != PNG_INDEXED:  # a palette then only suggests colours
        head = [part for part in head if part[4:8] != b"PLTE"]
    tail = PNG_END if stop <= size else b""
    return Picture(_spliced(b"".join(head), file, start, min(stop, size), tail), info)


def _png_chunks(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (place, name, length) of all chunks, as far as one leads to another.

    Where one of metadata does not, before the pixels, the picture's next chunk is searched for.
    """
    place, before, pixels, damaged = len(PNG_SIGNATURE), 0, False, 0
    for _ in range(MAX_PARTS):
        if place >= size:
            return
        lead = _read(file, place, 8)
        length, name = int.from_bytes(lead[:4], "big"), lead[4:]
        sound = len(lead) == 8 and name.isalpha() and name.isascii()
        if name != b"IDAT" and (not sound or place + 12 + length > size):
            damaged += 1
            found = None if pixels else _next_png_chunk(file, before + 8)
            if found is None or damaged > MAX_DAMAGED:
                return
            place = found
            continue
        yield place, name, length
        pixels |= name == b"IDAT"
        before, place = place, place + 12 + length
    raise Unreadable(f"a PNG of more than {MAX_PARTS:,} chunks; no program writes so many")


def _next_png_chunk(file: IO[bytes], place: int) -> int | None:
    """Return the place of the next chunk of the picture whose checksum is right."""
    data, left = _read(file, place, PNG_SEARCHED), 4 * PNG_SEARCHED
    for match in PNG_PICTURE.finditer(data, 4):
        at = match.start() - 4
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        left -= len(body)
        if left < 0:  # names by the thousand, and no chunks
            return None
        if zlib.crc32(body).to_bytes(4, "big") == data[at + 8 + length : at + 12 + length]:
            return place + at
    return None


def _png_said(name: bytes, body: bytes) -> dict[str, bytes]:
    """Return EXIF or XMP where a chunk holds it."""
    if name == b"eXIf":
        return {"exif": body}
    key, _, rest = body.partition(b"\0")
    if key == b"XML:com.adobe.xmp" and name == b"iTXt":
        text = rest[2:].split(b"\0", 2)[-1]  # behind two names of it
        return {"xmp": _unpacked(text) if rest[:1] == b"\1" else text}
    if key == b"Raw profile type exif" and name != b"iTXt":
        text = _unpacked(rest[1:]) if name == b"zTXt" else rest
        return {"exif": _raw_profile(text.decode("latin-1"))}
    return {}


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_TEXT)
    except zlib.error:
        return b""


# --- WebP (RFC 9649) ------------------------------------------------------------------------------

WEBP_PICTURE = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
WEBP_NAMES = re.compile(b"VP8 |VP8L|ALPH|ANIM")
# Flags of the header VP8X: which metadata there is.
WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04


def _webp(file: IO[bytes]) -> Picture | None:
    """Return the header and the first frame; None where it is not so laid out."""
    size = file.seek(0, io.SEEK_END)
    parts, info, names = [], {}, set()
    for place, name, length in _webp_chunks(file, size):
        if name == b"VP8X":
            header = bytearray(_read(file, place, 8 + length))
            header[8:9] = bytes([header[8] & ~WEBP_METADATA_FLAGS]) if length else b""
            parts.append(bytes(header))
        elif name in WEBP_PICTURE and not (name == b"ANMF" and name in names):
            parts.append(
                _read(file, place, 8 + length + length % 2).ljust(8 + length + length % 2, b"\0")
            )
        elif name in (b"EXIF", b"XMP ") and length <= MAX_TEXT:
            info["exif" if name == b"EXIF" else "xmp"] = _read(file, place + 8, length)
        names.add(name)
    if not {b"VP8 ", b"VP8L", b"ANMF"} & names:
        return None
    body = b"WEBP" + b"".join(parts)
    return Picture(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body), info)


def _webp_chunks(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (place, name, length) of all chunks, as far as one leads to another.

    Where one of metadata does not, the next chunk of the picture is searched for.
    """
    place, pixels, damaged = 12, False, 0
    for _ in range(MAX_PARTS):
        if place + 8 > size:
            return
        name, length = struct.unpack("<4sI", _read(file, place, 8))
        after = place + 8 + length + length % 2
        picture = name in WEBP_PICTURE or name == b"VP8X"
        leads_on = after >= size or _read(file, after, 4).strip().isalnum()
        if not picture and (place + 8 + length > size or not leads_on) and not pixels:
            damaged += 1
            match = WEBP_NAMES.search(_read(file, place + 8, PNG_SEARCHED))
            if match is None or damaged > MAX_DAMAGED:
                return
            place += 8 + match.start()
            continue
        if place + 8 + length > size:
            return
        yield place, name, length
        pixels |= picture and name != b"VP8X"
        place = after
    raise Unreadable(f"a WebP of more than {MAX_PARTS:,} chunks; no program writes so many")


# --- TIFF 6.0 and BigTIFF -------------------------------------------------------------------------

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
TIFF_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
# Sizes, layout, compression and colours; the orientation is looked at apart.
TIFF_PICTURE = {*range(256, 260), 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320}
TIFF_PICTURE |= {322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), *range(529, 533)}
TIFF_XMP = 700


def _tiff(file: IO[bytes]) -> Picture | None:
    """Return the file with a first directory, the only one, of what describes the picture.

    Raises:
        Unreadable: its values are longer than the file, so that they must lie in each other.
    """
    size, start = file.seek(0, io.SEEK_END), _read(file, 0, 16)
    order, big = "<" if start[:2] == b"II" else ">", b"+" in start[:4]
    word, entry = (order + "Q", order + "HHQQ") if big else (order + "L", order + "HHLL")
    counter, head, step = (order + "Q", 16, 20) if big else (order + "H", 8, 12)
    if len(start) < head:
        return None
    (offset,) = struct.unpack_from(word, start, head - struct.calcsize(word))
    counted = struct.calcsize(counter)
    (n,) = struct.unpack(counter, _read(file, offset, counted).ljust(counted, b"\0"))
    entries = _read(file, offset + counted, step * min(n, 1 << 16))
    kept, total = [], 0
    info: dict[str, bytes] = {}
    for at in range(0, len(entries) - step + 1, step):
        tag, kind, count, value = struct.unpack_from(entry, entries, at)
        if tag in TIFF_PICTURE:
            total += count * TIFF_BYTES.get(kind, 0)
        elif tag == TIFF_XMP and count <= MAX_TEXT and not info:
            info["xmp"] = _read(file, value, count)
        if tag in TIFF_PICTURE or (tag == ORIENTATION and kind in WHOLE_NUMBERS and count == 1):
            kept.append(entries[at : at + step])
    if total > size:
        raise Unreadable(f"the TIFF's values take {total:,} bytes, more than the file of {size:,}")
    tail = struct.pack(counter, len(kept)) + b"".join(kept) + bytes(struct.calcsize(word))
    even = size % 2  # a directory begins at an even place
    lead = start[: head - struct.calcsize(word)] + struct.pack(word, size + even)
    return Picture(_spliced(lead, file, head, size, bytes(even) + tail), info)


def _read(file: IO[bytes], place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
