"""Changing a finished layout's bytes where they lie: rows of datasets, and a few attributes.

HDF5 says where things lie, and no more: its library writes when it likes, loses errors of a disk
and may crash on them. Here every write is one of the operating system's, and each error is seen.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from cache.errors import FormatError
from cache.files import NOT_OFFERED, SYNC, go_without, write_at
from cache.store import damage, open_hdf5

CONTINUATION, ATTRIBUTE = 0x10, 0x0C
CLEARED_BYTES = 1 << 20


class InPlace:
    """An open cache file, of which rows and attributes of fixed width are replaced.

    Raises:
        FormatError: it is no HDF5 file, damaged, or laid out otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_hdf5(path, "r") as file, damage(path):
            self._datasets = {name: _place(file[name]) for name in file}
            self._types = {name: file.attrs.get_id(name).dtype for name in file.attrs}
            header = h5py.h5o.get_info(file.id).addr
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with damage(path):
                self._attributes = attribute_places(self._descriptor, header)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, name: str, row: int, values: npt.NDArray[Any]) -> None:
        """Replace a dataset's rows from `row` on by values (n, ...) of its own shape."""
        start, n_bytes, dtype = self._datasets[name]
        content = values.astype(dtype).tobytes()
        if len(content) != len(values) * n_bytes:
            raise ValueError(f"{values.shape} is no shape of rows of {name}")
        write_at(self._descriptor, content, start + row * n_bytes)

    def clear(self, name: str, rows: slice) -> None:
        """Set some consecutive rows of a dataset to zero."""
        start, n_bytes, _ = self._datasets[name]
        end = start + rows.stop * n_bytes
        for place in range(start + rows.start * n_bytes, end, CLEARED_BYTES):
            write_at(self._descriptor, bytes(min(CLEARED_BYTES, end - place)), place)

    def set(self, name: str, value: Any) -> None:
        """Replace an attribute; its type and width stay.

        Raises:
            FormatError: there is none of that name and width.
        """
        content = np.array(value, self._types.get(name)).tobytes()
        place, width = self._attributes.get(name, (0, 0))
        if not len(content) <= width < len(content) + 8:  # widths are padded to whole eights
            raise FormatError(f"{self.path} is damaged: its attribute {name} has no fixed width.")
        write_at(self._descriptor, content, place)

    def force(self) -> None:
        """Force all to the disk, and out of memory: what is read next comes from the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            go_without(SYNC, self.path, error)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file; once more does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _place(dataset: h5py.Dataset) -> tuple[int, int, np.dtype[Any]]:
    """Return a contiguous dataset's first byte, the bytes of a row and its numbers' type."""
    place = dataset.id.get_offset()
    if place is None and dataset.size:
        raise TypeError(f"the dataset {dataset.name} is not stored contiguously")
    return place or 0, dataset.nbytes // max(1, len(dataset)), dataset.dtype


def attribute_places(descriptor: int, header: int) -> dict[str, tuple[int, int]]:
    """Return where each attribute's value lies in an open file: its first byte and its length.

    Reads the object header at `header`, of version 1, and its continuations, as in the HDF5 File
    Format Specification 3.0, IV.A.1.a; an attribute's message (version 1) is in IV.A.2.m.

    Raises:
        ValueError: the header is of another version, or senseless.
    """
    version, _, _, _, n_bytes = struct.unpack("<BBHII", _read(descriptor, 12, header))
    if version != 1:
        raise ValueError(f"an object header of version {version}, expected 1")
    parts, places = [(header + 16, n_bytes)], {}
    for start, length in parts:  # it grows
        content, at = _read(descriptor, length, start), 0
        while at + 8 <= length:
            kind, n_bytes = struct.unpack_from("<HH", content, at)
            at += 8
            message = content[at : at + n_bytes].ljust(16, b"\0")
            if kind == CONTINUATION:
                place, size = struct.unpack_from("<QQ", message)
                if (place, size) in parts:
                    raise ValueError("an object header that goes on in itself")
                parts.append((place, size))
            elif kind == ATTRIBUTE:
                _, _, *widths = struct.unpack_from("<BBHHH", message)  # of name, type and space
                skipped = 8 + sum(-(-width // 8) * 8 for width in widths)
                name = message[8 : 8 + widths[0]].rstrip(b"\0").decode()
                places[name] = (start + at + skipped, n_bytes - skipped)
            at += n_bytes
    return places


def _read(descriptor: int, length: int, place: int) -> bytes:
    content = os.pread(descriptor, length, place)
    if len(content) < length:
        raise ValueError("an object header that ends too early")
    return content
