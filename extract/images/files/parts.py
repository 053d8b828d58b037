"""Parts of files put together as another file, without copying them; knows no format."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

from PIL import ImageFile

from extract.images.reasons import Unreadable

# What a file may hold at most of what no camera or encoder makes thousands of.
MAX_PARTS = 200_000
# How many damaged parts are passed.
MAX_DAMAGED = 3
# Compressed texts unfold to at most this.
MAX_TEXT = 1 << 20
# Profiles of printers take up to some megabytes.
MAX_PROFILE = 1 << 22
Part = TypeVar("Part")


@dataclass
class Picture:
    """The picture alone, as a file that a reader opens, and what the original says beside it.

    `info` may hold `exif`, `xmp` and `icc_profile`, bytes as they stand in the file. `scans` is how
    often a JPEG is gone over; with more than once all its coefficients are held in memory.
    """

    file: IO[bytes]
    info: dict[str, bytes] = field(default_factory=dict)
    scans: int = 1


def bounded(parts: Iterable[Part], kind: str, name: str) -> Iterator[Part]:
    """Yield parts that are called `name`, of a file of a `kind`.

    Raises:
        Unreadable: more than `MAX_PARTS`.
    """
    for number, part in enumerate(parts):
        if number >= MAX_PARTS:
            raise Unreadable(
                f"a {kind} of more than {MAX_PARTS:,} {name}; no program writes so many"
            )
        yield part


def read_at(file: IO[bytes], place: int, size: int) -> bytes:
    """Return up to `size` bytes from a place on."""
    file.seek(place)
    return file.read(size)


def spliced(head: bytes, file: IO[bytes], start: int, stop: int, tail: bytes) -> IO[bytes]:
    """Return a file to read: some bytes, a range of another file, some bytes."""
    return io.BufferedReader(_Spliced(head, file, start, stop, tail), ImageFile.MAXBLOCK)


class _Spliced(io.RawIOBase):
    def __init__(self, head: bytes, file: IO[bytes], start: int, stop: int, tail: bytes) -> None:
        self._head, self._file, self._start, self._tail = head, file, start, tail
        self._turn = len(head) + stop - start
        self._at = 0

    def readinto(self, buffer: Any) -> int:
        at, size, before = self._at, len(buffer), len(self._head)
        if at < before:
            piece = self._head[at : at + size]
        elif at < self._turn:
            piece = read_at(self._file, at - before + self._start, min(size, self._turn - at))
        else:
            piece = self._tail[at - self._turn : at - self._turn + size]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._turn + len(self._tail)
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
