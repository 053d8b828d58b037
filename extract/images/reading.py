"""Who opens and reads a photograph: this thread, a process with limits, or one thread in turn."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile

from cache.console import note_once
from extract.images.apart import NoReader, apart
from extract.images.colours import callers_images
from extract.images.files.jpeg import has_all_scans, with_end
from extract.images.limits import HEAVY_BYTES, ODD_BYTES, Room, draft_within
from extract.images.opening import BOXED, FORMATS, opened_image
from extract.images.pool import Pool
from extract.images.reasons import Costly, Heavy, Truncated, Unreadable, reasons

# What may stand before a JPEG's end without a change where all pixels are there already.
FILLINGS = (b"", b"\xaa" * 4096, b"\x55" * 4096, b"\xfe" * 4096)
File = Path | IO[bytes]
Size = tuple[int, int]

# Of each process that decoded a heavy photograph: threads do not outlive a fork, so a child makes
# its own. One thread, not a lock: the allocator keeps what a thread once used for that thread.
_heavy_pools: dict[int, Pool] = {}


@dataclass(frozen=True)
class Use:
    """What to do with an opened image: `work(image, size, *arguments)`, the size that of the file.

    A JPEG may be decoded at a part of its size, at least `draft_size`. `work` is a function of a
    module, so that another process finds it.
    """

    work: Callable[..., Any]
    draft_size: Size | None = None
    arguments: tuple[Any, ...] = ()

    def of(self, image: Image.Image, room: Room) -> Any:
        """Do it, within limits."""
        size = image.size
        draft_within(room, image, self.draft_size)
        return self.work(image, size, *self.arguments)


def used(source: Path | Image.Image, max_pixels: int, use: Use) -> Any:
    """Open a photograph and use it.

    By this thread, unless it may take long or much memory; then in a process that has a limit.

    Raises:
        Unreadable: there is none, or `use` raises it, or has not the memory or the time.
    """
    file = _file_behind(source) if isinstance(source, Image.Image) else source
    best = source if file is None else file
    try:
        try:
            return _here(best, Room(max_pixels, HEAVY_BYTES, ODD_BYTES), use)
        except Heavy:
            raise
        except Costly:
            return _apart(best, Room(max_pixels, HEAVY_BYTES), use)
    except Heavy:
        return _heavy_pool().submit(_apart, best, Room(max_pixels), use).result()


def _here(source: File | Image.Image, room: Room, use: Use) -> Any:
    try:
        if isinstance(source, Image.Image):
            return use.of(source, room)
        return _of_file(source, room, use)
    except MemoryError:
        raise Unreadable("larger than the memory at hand") from None


def _apart(source: File | Image.Image, room: Room, use: Use) -> Any:
    """As `_here`, but in this thread's reader, unless the image is decoded or there is none."""
    if not isinstance(source, Image.Image):
        try:
            return apart(room.limit, _here, source, room, use)
        except NoReader as reason:
            note_once(
                "No process can be started for photographs that may take long to read "
                f"({reason}); they are read without a limit of time."
            )
    return _here(source, room, use)


def _heavy_pool() -> Pool:
    """Return this process's one thread for heavy photographs; it starts with its first one."""
    made = _heavy_pools.get(os.getpid())
    # One step for several threads that come first: `setdefault` keeps one, the others never start.
    return made or _heavy_pools.setdefault(os.getpid(), Pool(1, "heavy"))


def _file_behind(image: Image.Image) -> IO[bytes] | None:
    """Return a copy of the file that an image is still to be loaded from, to be read as any file.

    None for an image that has its pixels; for one of which another frame or size was chosen, or of
    a format that is not read from files here, too, which is then loaded. Either way the image is
    the same to its owner as before.
    """
    with callers_images, reasons():
        lazy = isinstance(image, ImageFile.ImageFile) and not image.decoderconfig
        lazy = lazy and image.format in (*FORMATS, *BOXED, "MPO") and not image.tell()
        file = image.fp if lazy else None  # type: ignore[attr-defined]
        if file is None:
            image.load()
            return None
        place = file.tell()
        file.seek(0)
        content = io.BytesIO(file.read())
        file.seek(place)
        return content


def _of_file(source: File, room: Room, use: Use) -> Any:
    """Open a file and use it; of a JPEG without its end, put the end behind it first."""
    with ExitStack() as stack:
        file = _opened(source, room, stack)
        try:
            return _of_opened(file, room, use)
        except Truncated:
            if not _lacks_its_end_alone(file, use.draft_size):
                raise
            return _of_opened(with_end(file), room, use)


def _opened(source: File, room: Room, stack: ExitStack) -> IO[bytes]:
    with reasons():
        if isinstance(source, Path):
            facts = os.stat(source)  # noqa: PTH116  (twice as fast as Path.stat here)
            if not stat.S_ISREG(facts.st_mode):
                raise Unreadable("a folder, pipe or device, not a file")
            n_bytes = facts.st_size
        else:
            n_bytes = source.seek(0, io.SEEK_END)
        if not n_bytes:
            raise Unreadable("the file is empty (0 bytes)")
        if n_bytes > room.n_bytes:
            raise Heavy
        return stack.enter_context(source.open("rb")) if isinstance(source, Path) else source


def _of_opened(file: IO[bytes], room: Room, use: Use) -> Any:
    with ExitStack() as stack:
        with reasons():
            image = stack.enter_context(opened_image(file, odd_bytes=room.odd_bytes))
        return use.of(image, room)


def _lacks_its_end_alone(file: IO[bytes], draft_size: Size | None) -> bool:
    """Whether a JPEG has all scans and, whatever stands behind it, the same pixels."""
    anything = Room(sys.maxsize)  # within its limits, or it had not been decoded before
    try:
        with reasons():
            if not has_all_scans(file):
                return False
        digest = Use(_digest, draft_size)
        return len({_of_opened(with_end(file, each), anything, digest) for each in FILLINGS}) == 1
    except Unreadable:
        return False


def _digest(image: Image.Image, _: Size) -> bytes:
    with reasons():
        image.load()
        return hashlib.sha256(image.tobytes()).digest()
