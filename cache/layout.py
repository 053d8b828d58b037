"""What an HDF5 file may be made of to be read at all: looked at before any of its data are.

A damaged or hostile file can lead to other files, unpack to more than any disk holds, or promise
more rows than it has bytes. So what is read here is plain: datasets that lie in the file itself,
whole, in one piece, and attributes that are short texts or numbers. Knows no name of the cache.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5l, h5o, h5s, h5t

from cache.errors import FormatError
from cache.text import shown
from cache.types import IntArray

MAX_ATTRIBUTE_BYTES = 2**20
TEXT = "text"  # in place of a dtype: UTF-8 of a fixed width


class Content:
    """The bytes of an open file, read when they are asked for; it holds a descriptor of its own.

    No memory-map: the process that reads one ends without a word (SIGBUS) when somebody truncates
    the file, or its disk fails.
    """

    def __init__(self, descriptor: int, length: int) -> None:
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        found = np.empty(max(stop - start, 0), np.uint8)
        self.fill(found, start)
        return found.tobytes()

    def fill(self, array: npt.NDArray[Any], offset: int) -> None:
        """Fill an array that is in one piece with the bytes from `offset` on.

        Raises:
            FormatError: the file is shorter by now, or the disk refuses.
        """
        rest = array.reshape(-1).view(np.uint8).data
        while rest:
            try:
                n_bytes = os.preadv(self._descriptor, [rest], offset)
            except OSError as error:
                raise FormatError(f"it cannot be read: {error.strerror}") from None
            if not n_bytes:
                raise FormatError(
                    f"it ends after {os.fstat(self._descriptor).st_size:,} bytes and had "
                    f"{self._length:,} when it was opened: somebody cut it off while it was read"
                )
            rest, offset = rest[n_bytes:], offset + n_bytes


@dataclass(frozen=True)
class Place:
    """Where a dataset lies in its file, and what it is."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def read(self, content: Content, rows: slice | IntArray = slice(None)) -> npt.NDArray[Any]:
        """Return some rows of it. Raises FormatError where the file does not give them."""
        numbers = np.arange(self.shape[0])[rows]
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        if found.size:
            row_bytes = found[0].nbytes
            ends = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
            for start, end in pairwise([0, *ends]):
                content.fill(found[start:end], self.offset + int(numbers[start]) * row_bytes)
        return found


@dataclass(frozen=True)
class Expected:
    """What a dataset has to be: a dtype such as `<f4`, or TEXT, and the shape of one row."""

    dtype: str
    row: tuple[int | None, ...] = ()  # None: any length
    needed: bool = True


# --- HDF5's own header ----------------------------------------------------------------------------

SIGNATURE, UNDEFINED = b"\x89HDF\r\n\x1a\n", 2**64 - 1
ATTRIBUTE, CONTINUATION, VARIABLE_LENGTH = 0x0C, 0x10, 9  # messages' types, a datatype's class


def check_header(content: Content) -> None:
    """Check what HDF5 would trust: that the file is one, and the lengths of its attributes' texts.

    HDF5 makes room for a text as long as it is announced, up to 4 GB, before it looks for it. The
    places are those of the HDF5 File Format Specification 3.0, II.A (superblock version 0) and
    IV.A.1.a (object header version 1), which HDF5's default library version writes.

    Raises:
        FormatError: another version, parts in other places, or a text of more than a megabyte.
    """
    if content[:8] != SIGNATURE:
        raise FormatError("something stands before its first byte (a user block)")
    if content[8:9] != b"\0" or content[13:15] != b"\x08\x08":
        raise FormatError("it is not of the version of HDF5 that caches are written in")
    base, end, driver, root = (_integer(content, place) for place in (24, 40, 48, 64))
    if base or driver != UNDEFINED:
        raise FormatError("it names a driver: parts of it may lie in other files")
    if end != len(content):
        raise FormatError(
            f"it has {len(content):,} bytes and should end after {end:,}: some were "
            "appended or cut off"
        )
    for message in _attribute_messages(content, root):
        length = _announced_length(message)
        if length > MAX_ATTRIBUTE_BYTES:
            raise FormatError(f"an attribute has {length:,} bytes, more than a megabyte")


def _integer(content: Content | bytes, place: int, size: int = 8) -> int:
    return int.from_bytes(content[place : place + size], "little")


def _attribute_messages(content: Content, address: int) -> Iterator[bytes]:
    """Yield what an object header says of each attribute."""
    if content[address : address + 1] != b"\x01":
        raise FormatError("its root has no header of the version that caches have")
    chunks = [(address + 16, _integer(content, address + 8, 4))]
    for start, length in chunks:  # grows on the way
        if sum(size for _, size in chunks) > MAX_ATTRIBUTE_BYTES:
            raise FormatError("its attributes have more than a megabyte")
        place = start
        while place + 8 <= min(start + length, len(content)):
            kind, size = _integer(content, place, 2), _integer(content, place + 2, 2)
            place += 8
            if kind == CONTINUATION:
                chunks.append((_integer(content, place), _integer(content, place + 8)))
            elif kind == ATTRIBUTE:
                yield content[place : place + size]
            place += size


def _announced_length(message: bytes) -> int:
    """Return how long an attribute's text says it is, if its length is variable; else 0."""
    version = _integer(message, 0, 1)
    place, unit = (9 if version == 3 else 8), (8 if version == 1 else 1)
    sizes = [_integer(message, start, 2) for start in (2, 4, 6)]  # of name, datatype, dataspace
    ends = list(accumulate((-(-size // unit) * unit for size in sizes), initial=place))
    variable = _integer(message, ends[1], 1) & 0x0F == VARIABLE_LENGTH
    return _integer(message, ends[3], 4) if variable else 0


# --- datasets -------------------------------------------------------------------------------------


def find_datasets(
    file: h5py.File, expected: Mapping[str, Expected], length: int
) -> dict[str, Place]:
    """Return where the expected datasets lie in a file of `length` bytes; others are passed over.

    Raises:
        FormatError: one is missing, not plain, of another dtype or shape, of another number of rows
            than the rest, outside of the file, or in the place of another one.
    """
    places = {
        name: _find(file, name, each, length)
        for name, each in expected.items()
        if each.needed or file.id.links.exists(name.encode())
    }
    rows = {name: place.shape[0] for name, place in places.items()}
    if len(set(rows.values())) > 1:
        raise FormatError(f"its datasets have different numbers of rows: {shown(rows)}")
    _check_apart(places)
    return places


def _find(file: h5py.File, name: str, expected: Expected, length: int) -> Place:
    dataset = _open_plain(file, name)
    place = Place(dataset.get_offset() or 0, _dtype_of(dataset, name), tuple(dataset.shape))
    is_text = place.dtype.kind == "S"
    fits = is_text if expected.dtype == TEXT else place.dtype == np.dtype(expected.dtype)
    if not fits:
        raise FormatError(f"the dataset {name} is {place.dtype}, expected {expected.dtype}")
    if not _shape_fits(place.shape, expected.row):
        wanted = ", ".join(["rows", *("any" if n is None else str(n) for n in expected.row)])
        raise FormatError(f"the dataset {name} is {place.shape}, expected ({wanted})")
    if place.end > length or (place.end and not place.offset):
        raise FormatError(
            f"the dataset {name} is {place.shape} {place.dtype}, more than the file holds"
        )
    return place


def _shape_fits(shape: tuple[int, ...], row: tuple[int | None, ...]) -> bool:
    return len(shape) == 1 + len(row) and all(
        wanted in (None, found) for wanted, found in zip(row, shape[1:], strict=True)
    )


def _open_plain(file: h5py.File, name: str) -> h5d.DatasetID:
    key = name.encode()
    if not file.id.links.exists(key):
        raise FormatError(f"the dataset {name} is missing")
    if file.id.links.get_info(key).type != h5l.TYPE_HARD:
        raise FormatError(f"the dataset {name} is a link to another place")
    if h5o.get_info(file.id, key).type != h5o.TYPE_DATASET:
        raise FormatError(f"{name} is no dataset")
    dataset = h5d.open(file.id, key)
    made = dataset.get_create_plist()
    if made.get_layout() != h5d.CONTIGUOUS or made.get_nfilters() or made.get_external_count():
        raise FormatError(
            f"the dataset {name} is not stored contiguously in this file, but in chunks, "
            "compressed or elsewhere"
        )
    if dataset.get_space().get_simple_extent_type() != h5s.SIMPLE:
        raise FormatError(f"the dataset {name} has no rows")
    return dataset


def _dtype_of(dataset: h5d.DatasetID, name: str) -> np.dtype[Any]:
    kind = dataset.get_type()
    if not kind.committed():
        if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
            return np.dtype(f"S{kind.get_size()}")
        if isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID):
            dtype: np.dtype[Any] = kind.dtype
            if h5t.py_create(dtype).equal(kind):
                return dtype
    raise FormatError(f"the dataset {name} holds neither plain numbers nor texts of a fixed width")


def _check_apart(places: Mapping[str, Place]) -> None:
    in_order = sorted(places.items(), key=lambda item: (item[1].offset, item[1].end))
    for (name, place), (other, following) in pairwise(in_order):
        if place.end > following.offset:
            raise FormatError(f"the datasets {name} and {other} lie in the same place")


# --- attributes -----------------------------------------------------------------------------------


def read_attributes(file: h5py.File, names: Collection[str]) -> dict[str, Any]:
    """Return those of the named attributes that are there: texts, numbers, rows of numbers.

    Raises:
        FormatError: one is of another kind.
    """
    there = [name for name in names if h5a.exists(file.id, name.encode())]
    for name in there:
        _check_plain(h5a.open(file.id, name.encode()), name)
    attributes = file.attrs
    return {name: attributes[name] for name in there}


def _check_plain(attribute: h5a.AttrID, name: str) -> None:
    kind = attribute.get_type()
    plain = isinstance(kind, h5t.TypeStringID | h5t.TypeIntegerID | h5t.TypeFloatID)
    if not plain or kind.committed():
        raise FormatError(f"the attribute {name} is neither text nor number")
    if isinstance(kind, h5t.TypeStringID) and attribute.get_space().get_simple_extent_ndims():
        raise FormatError(f"the attribute {name} is a list of texts")


def text(attributes: Mapping[str, Any], name: str, errors: str = "strict") -> str:
    """Return an attribute that is text; with `surrogateescape` one that may hold a path's bytes.

    Raises:
        FormatError: it is missing, a number, or no UTF-8.
    """
    value = _present(attributes, name)
    if not isinstance(value, str | bytes):
        raise FormatError(f"the attribute {name} is {shown(value)}, expected text")
    try:  # h5py lets bytes that are no UTF-8 pass as lone surrogates
        return (value if isinstance(value, bytes) else encoded(value)).decode(errors=errors)
    except UnicodeError:
        raise FormatError(f"the attribute {name} is no UTF-8") from None


def encoded(value: str) -> bytes:
    """Return the bytes of a text as they are in the file."""
    return value.encode(errors="surrogateescape")


def number(attributes: Mapping[str, Any], name: str) -> int:
    """Return an attribute that is a whole number.

    Raises:
        FormatError: it is missing or something else.
    """
    value = _present(attributes, name)
    if not isinstance(value, np.integer):
        raise FormatError(f"the attribute {name} is {shown(value)}, expected a whole number")
    return int(value)


def numbers(attributes: Mapping[str, Any], name: str, count: int) -> list[float]:
    """Return an attribute that is a row of `count` numbers.

    Raises:
        FormatError: it is missing or something else.
    """
    value = _present(attributes, name)
    if not (
        isinstance(value, np.ndarray) and value.shape == (count,) and value.dtype.kind in "fiu"
    ):
        raise FormatError(f"the attribute {name} is {shown(value)}, expected {count} numbers")
    return [float(each) for each in value]


def _present(attributes: Mapping[str, Any], name: str) -> Any:
    if name not in attributes:
        raise FormatError(f"the attribute {name} is missing")
    return attributes[name]
