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
from cache.types import (
    ExtractorSpec,
    FloatArray,
    IntArray,
    Manifest,
    Scale,
    SplitRule,
    Status,
    TextArray,
)

Features = np.memmap[Any, np.dtype[np.floating[Any]]] | npt.NDArray[np.floating[Any]]
PARTIAL = ".partial"


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
    hold no features. Labels are read when first asked for. `header` holds all attributes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_hdf5(path, "r") as file, damage(path):
            self.header = schema.read_header(file, path)
            self._read_layout(file)

    def _read_layout(self, file: h5py.File) -> None:
        spec = self.header.spec
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
        shape = (self.n_rows, len(self.header.spec.views), self.header.spec.n_features)
        return np.memmap(self.path, self._dtype, "r", self._offset, shape)

    def _column(self, name: str) -> npt.NDArray[Any] | None:
        with open_hdf5(self.path, "r") as file, damage(self.path):
            column = np.asarray(file[name][:]) if name in file else None
        if column is not None and len(column) != self.n_rows:
            raise FormatError(
                f"{self.path} is damaged: the dataset {name} has {len(column)} rows, not "
                f"{self.n_rows}."
            )
        return column

    def _needed(self, name: str) -> npt.NDArray[Any]:
        column = self._column(name)
        if column is None:
            raise FormatError(f"{self.path} is damaged: the dataset {name} is missing.")
        return column

    def _text(self, name: str) -> TextArray:
        with damage(self.path):
            texts = [value.decode("utf-8") for value in self._needed(name).tolist()]
        return np.array(texts, np.str_)

    @cached_property
    def image_id(self) -> TextArray:
        """(N,) the photographs' ids."""
        return self._text("image_id")

    @cached_property
    def paths(self) -> TextArray:
        """(N,) the photographs' paths, relative to `data_root`."""
        return self._text("path")

    @cached_property
    def group(self) -> TextArray:
        """(N,) names of groups that belong together; '' where there is none."""
        return self._text("group")

    @cached_property
    def status(self) -> npt.NDArray[np.uint8]:
        """(N,) what became of each photograph, as in `Status`."""
        return self._needed("status").astype(np.uint8)

    @cached_property
    def ok_rows(self) -> IntArray:
        """(n,) the numbers of the rows that hold features."""
        return np.flatnonzero(self.status == Status.OK).astype(np.int64)

    @cached_property
    def votes(self) -> npt.NDArray[np.int32] | None:
        """(N, K) counts of the ratings 1..K, or None for labels that are means only."""
        return self._column("votes")

    @cached_property
    def mean(self) -> FloatArray:
        """(N,) mean scores on the data's scale."""
        return self._needed("mean")

    @cached_property
    def tags(self) -> npt.NDArray[np.int32] | None:
        """(N, 2) AVA's tag ids, 0 where unknown, or None."""
        return self._column("tags")

    @cached_property
    def challenge(self) -> npt.NDArray[np.int32] | None:
        """(N,) AVA's challenge ids, 0 where unknown, or None."""
        return self._column("challenge")

    @cached_property
    def size(self) -> npt.NDArray[np.int32]:
        """(N, 2) width and height of each photograph in pixels, 0 where unknown."""
        return self._needed("size")

    @cached_property
    def crc32(self) -> npt.NDArray[np.uint32]:
        """(N,) checksums, as `schema.row_crc32` computes them."""
        return self._needed("crc32")

    @cached_property
    def facts(self) -> schema.FileFacts:
        """Bytes and times of the photographs' files when they were read."""
        return schema.FileFacts(self._needed("file_bytes"), self._needed("file_mtime_ns"))

    def checksums(
        self, rows: IntArray, features: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.uint32]:
        """Return CRC-32 of rows (n,) as they are stored now; a sound row has its `crc32`.

        `features` are those of the rows, (n, V, D); they count where a row's status is OK.
        """
        sums = np.empty(len(rows), np.uint32)
        for i, row in enumerate(rows.tolist()):
            votes = None if self.votes is None else self.votes[row]
            labels = schema.label_bytes(str(self.image_id[row]), votes, float(self.mean[row]))
            ok = self.status[row] == Status.OK
            sums[i] = schema.row_crc32(features[i] if ok else None, labels)
        return sums

    def manifest(self) -> Manifest:
        """Return the rows and their labels, as they are stored now.

        Raises:
            LabelError: they contradict themselves, so the file is damaged.
        """
        return Manifest(
            image_id=self.image_id,
            path=self.paths,
            group=self.group,
            votes=self.votes,
            mean=self.mean,
            scale=self.scale,
            threshold=self.threshold,
            split_rule=self.split_rule,
            tags=self.tags,
            challenge=self.challenge,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What made the features."""
        return self.header.spec

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.header.split

    @property
    def split_rule(self) -> SplitRule:
        """How this split was chosen."""
        return self.header.split_rule

    @property
    def scale(self) -> Scale:
        """The range of mean scores."""
        return self.header.scale

    @property
    def threshold(self) -> str:
        """Beautiful means a mean strictly above this decimal number."""
        return self.header.threshold

    @property
    def manifest_sha256(self) -> str:
        """SHA-256 of the rows and their labels."""
        return self.header.manifest_sha256

    @property
    def data_root(self) -> Path:
        """The folder that `paths` are relative to."""
        return Path(self.header.provenance.data_root)

    @property
    def label_note(self) -> str:
        """A remark on the labels to be shown wherever results are, or ''."""
        return self.header.provenance.label_note

    @property
    def library_versions(self) -> dict[str, str]:
        """Versions of the libraries that made the file."""
        return self.header.provenance.library_versions

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of the second axis of `features`."""
        return self.header.spec.views
