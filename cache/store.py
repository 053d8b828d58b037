"""Reading a cache: labels as arrays, features as a memory-map.

Owns opening and checking a finished file; must not write.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cache import schema
from cache.errors import FormatError, IncompleteCacheError
from cache.labels import COLUMNS, TEXT, LabelTable, Manifest
from cache.text import path_named
from cache.types import IntArray, Status, TextArray

Features = np.memmap[Any, np.dtype[np.floating[Any]]] | npt.NDArray[np.floating[Any]]
PARTIAL = ".partial"
BLOCK_ROWS = 2048


def partial_path(path: Path) -> Path:
    """Return the name that a cache has while it is written."""
    return path.with_name(path.name + PARTIAL)


def open_hdf5(path: Path, mode: str) -> h5py.File:
    """Open an HDF5 file without HDF5's own lock.

    Raises:
        FormatError: not HDF5, truncated or damaged.
    """
    try:
        return h5py.File(path, mode, locking=False)
    except FileNotFoundError:
        raise
    except (PermissionError, IsADirectoryError) as error:
        reason = os.strerror(error.errno or 0)  # its own text is HDF5's, of several lines
        raise FormatError(f"{path} cannot be opened: {reason}.") from None
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else "it is no HDF5 file"
        if path.stat().st_size and "truncated" not in str(error):
            reason = f"it is no HDF5 file, or damaged ({error})"
        raise FormatError(
            f"{path} cannot be read: {reason}. Extract it again with --overwrite."
        ) from None


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what h5py raises on senseless bytes into words that name the file."""
    try:
        yield
    except schema.DAMAGE as error:
        raise FormatError(
            f"{path} is damaged: it cannot be read ({error}). Extract it again with --overwrite."
        ) from None


def open_cache(path: str | Path, *, allow_partial: bool = False) -> FeatureCache:
    """Open a finished cache for reading.

    Args:
        path: the file, such as features/train.h5.
        allow_partial: also read one that is still being written.

    Raises:
        IncompleteCacheError: no such file, or its extraction has not finished.
        FormatError: not a cache, another version, truncated or damaged.
    """
    path = Path(path)
    if not path.exists():
        hint = f"extract --split {path.stem}"
        if partial_path(path).exists():
            raise IncompleteCacheError(
                f"{path} is not finished: only {partial_path(path).name} is there. "
                f"The same `{hint}` command goes on with it."
            )
        raise IncompleteCacheError(f"There is no cache {path}. Make it with `{hint}`.")
    cache = FeatureCache(path)
    if not cache.header.complete and not allow_partial:
        raise IncompleteCacheError(
            f"{path} is not finished; give the same `extract` command again to go on with it."
        )
    return cache


class FeatureCache:
    """One split's features and labels, read-only.

    `features` is (N, V, D), float16 or float32, mapped into memory; rows whose `status` is not OK
    hold no features. Labels are read when first asked for. `header` holds all attributes; of these,
    `spec` is what made the features, `split` train, val or test and `split_rule` how it was chosen,
    `scale` the range of mean scores, `threshold` a decimal number that beautiful means lie strictly
    above, `manifest_sha256` that of the rows and their labels, `data_root` the folder that paths
    are relative to, `label_note` a remark to be shown wherever results are, or '', and
    `library_versions` those of the libraries that made the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_hdf5(path, "r") as file, damage(path):
            header = self.header = schema.read_header(file, path)
            self.spec, self.manifest_sha256 = header.spec, header.manifest_sha256
            self.split, self.split_rule = header.split, header.split_rule
            self.scale, self.threshold = header.scale, header.threshold
            self.data_root = Path(path_named(header.provenance.data_root))
            self.label_note = header.provenance.label_note
            self.library_versions = header.provenance.library_versions
            self._read_layout(file)

    def _read_layout(self, file: h5py.File) -> None:
        spec = self.spec
        dataset = file["features"]
        self.n_rows = len(file["image_id"])
        self._offset = dataset.id.get_offset()
        self._dtype = dataset.dtype
        expected = (self.n_rows, len(spec.views), spec.n_features)
        if dataset.shape != expected or self._dtype != np.dtype(spec.dtype):
            raise FormatError(
                f"{self.path} is damaged: features are {dataset.shape} {self._dtype}, "
                f"its header says {expected} {spec.dtype}."
            )
        if self._offset is None:
            raise FormatError(f"{self.path} is damaged: features are not stored contiguously.")
        status = file["status"][:]
        self.counts = {s: int(np.sum(status == s)) for s in Status}

    @cached_property
    def features(self) -> Features:
        """(N, V, D), float16 or float32, mapped read-only."""
        shape = (self.n_rows, len(self.spec.views), self.spec.n_features)
        return np.memmap(self.path, self._dtype, "r", self._offset, shape)

    def _needed(self, name: str) -> npt.NDArray[Any]:
        with open_hdf5(self.path, "r") as file, damage(self.path):
            return self._column(file, name)

    def _column(self, file: h5py.File, name: str) -> npt.NDArray[Any]:
        if name not in file:
            raise FormatError(f"{self.path} is damaged: the dataset {name} is missing.")
        column = np.asarray(file[name][:])
        if len(column) != self.n_rows:
            raise FormatError(
                f"{self.path} is damaged: the dataset {name} has {len(column)} rows, not "
                f"{self.n_rows}."
            )
        return column

    @cached_property
    def labels(self) -> LabelTable:
        """The N photographs and what people said of them, as they are stored now."""
        columns: dict[str, Any] = {}
        with open_hdf5(self.path, "r") as file, damage(self.path):
            for column in COLUMNS:
                if column.needed or column.name in file:
                    values = self._column(file, column.name)
                    columns[column.name] = _texts(values) if column.stored == TEXT else values
        return LabelTable(scale=self.scale, threshold=self.threshold, **columns)

    @cached_property
    def status(self) -> npt.NDArray[np.uint8]:
        """(N,) what became of each photograph, as in `Status`."""
        return self._needed("status").astype(np.uint8)

    @cached_property
    def ok_rows(self) -> IntArray:
        """(n,) the numbers of the rows that hold features."""
        return np.flatnonzero(self.status == Status.OK).astype(np.int64)

    @cached_property
    def size(self) -> npt.NDArray[np.int32]:
        """(N, 2) width and height of each photograph in pixels, 0 where unknown."""
        return self._needed("size")

    @cached_property
    def crc32(self) -> npt.NDArray[np.uint32]:
        """(N,) checksums, as `schema.checksums` computes them."""
        return self._needed("crc32")

    @cached_property
    def facts(self) -> schema.FileFacts:
        """Bytes and times of the photographs' files when they were read."""
        return schema.FileFacts(self._needed("file_bytes"), self._needed("file_mtime_ns"))

    def blocks(self) -> Iterator[tuple[IntArray, npt.NDArray[Any]]]:
        """Yield all rows' numbers (n,) and features (n, V, D), some at a time."""
        for start in range(0, self.n_rows, BLOCK_ROWS):
            features = np.asarray(self.features[start : start + BLOCK_ROWS])
            yield np.arange(start, start + len(features)), features

    def wrong_rows(self, rows: IntArray, features: npt.NDArray[Any]) -> IntArray:
        """Return those of rows (n,), whose features are (n, V, D), that have a wrong checksum."""
        ok = self.status[rows] == Status.OK
        sums = schema.checksums(self.labels, rows, features, ok)
        wrong: IntArray = rows[sums != self.crc32[rows]]
        return wrong

    def manifest(self) -> Manifest:
        """Return the rows and their labels, as they are stored now.

        Raises:
            LabelError: they contradict themselves, so the file is damaged.
        """
        return Manifest(self.labels, self.split_rule)


def _texts(stored: npt.NDArray[Any]) -> TextArray:
    return np.array([value.decode("utf-8") for value in stored.tolist()], np.str_)
