"""PNG (ISO/IEC 15948) and WebP (RFC 9649): files of named chunks, one behind another."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from extract.images.files.exif import raw_profile
from extract.images.files.parts import (
    MAX_DAMAGED,
    MAX_PROFILE,
    MAX_TEXT,
    Picture,
    bounded,
    read_at,
    spliced,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
PNG_INDEXED = 3
# Flags of WebP's header VP8X: which metadata there is.
WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04
WEBP_SAID = {b"EXIF": "exif", b"XMP ": "xmp", b"ICCP": "icc_profile"}
PIXELS = {b"IDAT", b"VP8 ", b"VP8L", b"ANMF"}
# How far is searched behind a chunk whose length is damaged.
SEARCHED = 1 << 24


@dataclass(frozen=True)
class _Layout:
    """How chunks lie in a file: each begins with its length and name, or name and length."""

    kind: str
    first: int  # where the first chunk lies
    lead: str
    name_at: int
    around: int  # bytes of a chunk beside its body
    even: bool  # bodies are filled up to an even length
    header: bytes
    picture: tuple[bytes, ...]


PNG = _Layout("PNG", 8, ">I4s", 4, 12, False, b"IHDR", (b"PLTE", b"tRNS", b"IDAT"))
WEBP = _Layout(
    "WebP", 12, "<4sI", 0, 8, True, b"VP8X", (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
)


def png(file: IO[bytes]) -> Picture | None:
    """Return header, palette, transparency and pixels; None where it is not so laid out."""
    head, info, start, stop = [PNG_SIGNATURE], {}, 0, 0
    for place, name, length in _chunks(file, PNG):
        if name == b"IDAT":
            start, stop = start or place, place + 12 + length
        elif name in (PNG.header, *PNG.picture):
            if not start:
                head.append(read_at(file, place, 12 + length))
        elif name in (b"eXIf", b"iCCP", b"iTXt", b"zTXt", b"tEXt") and length <= MAX_PROFILE:
            info.update(_png_said(name, read_at(file, place + 8, length)))
    if not start or len(head) < 2:
        return None
    if head[1][17] != PNG_INDEXED:  # a palette then only suggests colours
        head = [part for part in head if part[4:8] != b"PLTE"]
    size = file.seek(0, io.SEEK_END)
    tail = PNG_END if stop <= size else b""
    return Picture(spliced(b"".join(head), file, start, min(stop, size), tail), info)


def webp(file: IO[bytes]) -> Picture | None:
    """Return the header and the first frame; None where it is not so laid out."""
    parts, info, names = [], {}, set()
    size = file.seek(0, io.SEEK_END)
    for place, name, length in _chunks(file, WEBP):
        if place + 8 + length > size:
            break
        if name == WEBP.header:
            header = bytearray(read_at(file, place, 8 + length))
            header[8:9] = bytes([header[8] & ~WEBP_METADATA_FLAGS]) if length else b""
            parts.append(bytes(header))
        elif name in WEBP.picture and not (name == b"ANMF" and name in names):
            whole = 8 + length + length % 2
            parts.append(read_at(file, place, whole).ljust(whole, b"\0"))
        elif name in WEBP_SAID and length <= MAX_PROFILE:
            info[WEBP_SAID[name]] = read_at(file, place + 8, length)
        names.add(name)
    if not PIXELS & names:
        return None
    body = b"WEBP" + b"".join(parts)
    return Picture(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body), info)


def _chunks(file: IO[bytes], layout: _Layout) -> Iterator[tuple[int, bytes, int]]:
    return bounded(_linked(file, layout), layout.kind, "chunks")


def _linked(file: IO[bytes], layout: _Layout) -> Iterator[tuple[int, bytes, int]]:
    """Yield (place, name, length) of all chunks, as far as one leads to another.

    Where one of metadata does not, before the pixels, the picture's next chunk is searched for.
    """
    place, pixels, damaged = layout.first, False, 0
    names = re.compile(b"|".join(layout.picture))
    while len(lead := read_at(file, place, 8)) == 8:
        fields = struct.unpack(layout.lead, lead)
        name, length = fields if layout.name_at == 0 else fields[::-1]
        after = place + layout.around + length + (length % 2 if layout.even else 0)
        sound = pixels or name in (layout.header, *layout.picture)
        if not (sound or _is_chunk(file, after, layout)):
            damaged += 1
            match = names.search(read_at(file, place + 8, SEARCHED))
            if match is None or damaged > MAX_DAMAGED:
                return
            place += 8 + match.start() - layout.name_at
            continue
        yield place, name, length
        pixels |= name in PIXELS
        place = after


def _is_chunk(file: IO[bytes], place: int, layout: _Layout) -> bool:
    return read_at(file, place + layout.name_at, 4).strip().isalnum()


def _png_said(name: bytes, body: bytes) -> dict[str, bytes]:
    """Return EXIF, XMP or a profile where a chunk holds it."""
    if name == b"eXIf":
        return {"exif": body}
    key, _, rest = body.partition(b"\0")
    if name == b"iCCP":
        return {"icc_profile": _unpacked(rest[1:], MAX_PROFILE)}
    if key == b"XML:com.adobe.xmp" and name == b"iTXt":
        text = rest[2:].split(b"\0", 2)[-1]  # behind two names of it
        return {"xmp": _unpacked(text) if rest[:1] == b"\1" else text}
    if key == b"Raw profile type exif" and name != b"iTXt":
        text = _unpacked(rest[1:]) if name == b"zTXt" else rest
        return {"exif": raw_profile(text.decode("latin-1"))}
    return {}


def _unpacked(packed: bytes, size: int = MAX_TEXT) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, size)
    except zlib.error:
        return b""
