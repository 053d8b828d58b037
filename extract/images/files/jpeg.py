"""JPEG (ITU-T T.81, annex B): the frame, its tables and its scans, without the metadata."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import IO

from extract.images.files.parts import MAX_DAMAGED, MAX_TEXT, Picture, bounded, read_at, spliced
from extract.images.reasons import Unreadable

# Decoding goes once over all pixels for each scan; encoders write 10, the most thorough ones 20.
MAX_SCANS = 100
# A JPEG without its end is decoded several times, one of more scans not at all.
MAX_SCANS_WITHOUT_END = 20
EOI, SOS, APP1 = 0xD9, 0xDA, 0xE1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
METADATA = {*range(0xE0, 0xF0), *range(0xF0, 0xFF)}  # applications', extensions', comments
SEGMENTS = {*range(0xC0, 0xD0), *range(0xDA, 0xE0), *METADATA}
FOLLOWING = {*SEGMENTS, 0xFF}
# By what metadata begins, whatever its marker has become by damage.
METADATA_STARTS = (b"Exif\0", b"http://ns.adobe.com/", b"ICC_PROFILE\0", b"Photoshop ", b"MPF\0")
XMP_START, ICC_START = b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
# These segments of applications say how colours are coded.
COLOUR_STARTS = (b"JFIF\0", b"Adobe")
# How far is searched behind a damaged segment, and over how many segments it must go on from there
# to be no accident.
SEARCHED, STEPS = 1 << 18, 16


def jpeg(file: IO[bytes]) -> Picture | None:
    """Return the frame, its tables and its scans; None where no scan is found."""
    head, components = [b"\xff\xd8"], 0
    info: dict[str, bytes] = {}
    profile: dict[int, bytes] = {}
    for place, marker, body in _segments(file):
        if marker == SOS:
            if profile:
                info["icc_profile"] = b"".join(part for _, part in sorted(profile.items()))
            scans = _scans(file, place) if body[0] < components else 1
            stop = file.seek(0, io.SEEK_END)
            return Picture(spliced(b"".join(head), file, place, stop, b""), info, scans)
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
        elif body.startswith(ICC_START):  # ICC.1:2022, annex B.4: numbered parts
            profile[body[12] if len(body) > 12 else 0] = body[14:]
    return None


def _segments(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    return bounded(_linked(file), "JPEG", "segments")


def _linked(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (place, marker, body) of a JPEG's segments up to the first scan's header.

    Where one does not lead to another, its length is damaged: what follows is searched for.
    """
    file.seek(2)
    damaged = 0
    while True:
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
    leads_on = len(follows) == 2 and follows[0] == 0xFF and follows[1] in FOLLOWING
    return (marker, body) if leads_on else None


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


END = bytes([0xFF, EOI])


def with_end(file: IO[bytes], filling: bytes = b"") -> IO[bytes]:
    """Return a JPEG that lacks its end with some bytes and the end behind it."""
    stop = file.seek(0, io.SEEK_END)
    stop -= read_at(file, stop - 1, 1) == END[:1]  # half of the end is there
    return spliced(b"", file, 0, stop, filling + END)


def has_all_scans(file: IO[bytes]) -> bool:
    """Whether a JPEG's scans hold every coefficient of every component to its last bit.

    Says no of more scans than encoders write.
    """
    missing: set[tuple[int, int]] = set()
    for place, marker, body in _segments(file):
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
