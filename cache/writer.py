"""Writing a cache so that a kill at any moment loses at most the block at hand.

Owns the filling of `<split>.h5.partial`, block by block (features, flush, status, flush), its
completion and renaming. How it is made is `cache.resume`'s.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from cache import schema
from cache.files import publish, remove_leftovers, replacing, storage_errors
from cache.labels import Manifest
from cache.rejects import (
    REASON_LOST,
    REASON_MISSING,
    journal_path,
    open_journal,
    read_journal,
    read_rejects,
    rejects_path,
)
from cache.schema import FileFacts
from cache.store import open_hdf5, partial_path
from cache.types import ExtractorSpec, IntArray, Status


def now() -> str:
    """Return the time as ISO 8601 text in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Block:
    """Results of some rows: features (n, V, D), status (n,) uint8, size (n, 2) width and height.

    Features of rows that are not OK are ignored. `reasons` says why rows are unreadable. Those of
    them in `again` the next run tries again without being asked: their file counts as not seen.
    """

    rows: IntArray
    features: npt.NDArray[np.floating[Any]]
    status: npt.NDArray[np.uint8]
    size: npt.NDArray[np.int32]
    reasons: Mapping[int, str]
    again: Sequence[int] = ()


class CacheWriter:
    """Fills one cache file; use `open_writer`, hold `cache.files.exclusive` around it."""

    def __init__(self, path: Path, manifest: Manifest, spec: ExtractorSpec) -> None:
        self.path = path
        self.manifest = manifest
        self.spec = spec
        self._file = open_hdf5(partial_path(path), "r+")
        self._status = np.asarray(self._file["status"][:], np.uint8)
        self._journal = open_journal(journal_path(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file as it is; what is written stays."""
        with storage_errors(self.path):
            try:
                self._journal.close()
            finally:
                self._file.close()

    @property
    def status(self) -> npt.NDArray[np.uint8]:
        """(N,) copy of every row's status."""
        return self._status.copy()

    @property
    def pending(self) -> IntArray:
        """Row numbers that are still to be done, in order."""
        return np.flatnonzero(self._status == Status.PENDING).astype(np.int64)

    def record_engine(self, label: str) -> None:
        """Note in the file what computes its features; another engine is added to the first."""
        known = bytes(self._file.attrs["engine"]).decode()
        if label not in known.split("; "):
            both = "; ".join(part for part in (known, label) if part)
            schema.set_in_place(self._file, "engine", both.encode())

    def write(self, block: Block) -> None:
        """Store a block; when this returns a kill no longer loses it.

        Raises:
            StorageError: the disk is full or refuses; earlier blocks are kept.
        """
        with storage_errors(self.path):
            self._write_reasons(block)
            ok = block.status == Status.OK
            stored = np.asarray(block.features, self.spec.dtype)
            sums = schema.checksums(self.manifest.labels, block.rows, stored, ok)
            for span, part in spans_of(block.rows, ok):
                self._file["features"][span] = stored[part]
            for span, part in spans_of(block.rows):
                self._file["size"][span] = block.size[part]
                self._file["crc32"][span] = sums[part]
            for row in block.again:
                self._file["file_bytes"][row] = self._file["file_mtime_ns"][row] = -1
            self._file.flush()
            for span, part in spans_of(block.rows):
                self._file["status"][span] = block.status[part]
            self._file.flush()
        self._status[block.rows] = block.status

    def _write_reasons(self, block: Block) -> None:
        lines = csv.writer(self._journal, lineterminator="\n")
        for row, reason in sorted(block.reasons.items()):
            lines.writerow([self.manifest.labels.image_id[row], " ".join(reason.split())])
        self._journal.flush()

    def adopt(self, facts: FileFacts, again: npt.NDArray[np.bool_]) -> None:
        """Take note of photographs that came, went or changed: the rows `again` are to be redone.

        Rows that have no file any more become missing, the others pending. They are pending in the
        file before anything else changes, so that a kill in between leaves none half taken over.
        """
        if not again.any():
            return
        self._status[again] = Status.PENDING
        rows = np.flatnonzero(again)
        with storage_errors(self.path):
            schema.set_in_place(self._file, "complete", 0)
            self._file["status"][:] = self._status
            self._file.flush()
            for span, _ in spans_of(rows):
                for name in ("features", "size", "crc32"):
                    self._file[name][span] = 0
            self._file["file_bytes"][:] = facts.size_bytes
            self._file["file_mtime_ns"][:] = facts.mtime_ns
            self._file.flush()
            mark_missing(self._file, self.manifest, facts)
            self._file.flush()
        self._status[again & facts.missing] = Status.MISSING

    def reasons(self) -> Counter[str]:
        """Count the reasons of all rows that are unreadable."""
        known = read_journal(journal_path(self.path))
        unreadable = np.flatnonzero(self._status == Status.UNREADABLE)
        ids = self.manifest.labels.image_id[unreadable].tolist()
        return Counter(known.get(image_id, REASON_LOST) for image_id in ids)

    def finish(self) -> Path:
        """Mark the file complete and put it in its place; return its path.

        Raises:
            StorageError: the disk refuses; the partial file is kept.
        """
        with storage_errors(self.path):
            for status in (Status.OK, Status.MISSING, Status.UNREADABLE):
                count = int((self._status == status).sum())
                schema.set_in_place(self._file, f"n_{status.name.lower()}", count)
            schema.set_in_place(self._file, "finished", now().encode())
            schema.set_in_place(self._file, "complete", 1)
            schema.seal(self._file)
            self._file.flush()
            self.close()
            self._write_rejects()
            journal_path(self.path).unlink(missing_ok=True)
            publish(partial_path(self.path), self.path)
        return self.path

    def _write_rejects(self) -> None:
        # The list itself is read too: a kill may have come after the journal was deleted.
        reasons = read_rejects(self.path) | read_journal(journal_path(self.path))
        target, labels = rejects_path(self.path), self.manifest.labels
        remove_leftovers(target)
        rejected = np.flatnonzero(np.isin(self._status, [Status.MISSING, Status.UNREADABLE]))
        with (
            replacing(target) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["image_id", "path", "status", "reason"])
            for row in rejected.tolist():
                image_id = str(labels.image_id[row])
                status = Status(int(self._status[row]))
                reason = REASON_MISSING
                if status is Status.UNREADABLE:
                    reason = reasons.get(image_id, REASON_LOST)
                lines.writerow([image_id, labels.path[row], status.name.lower(), reason])


def spans_of(
    rows: IntArray, chosen: npt.NDArray[np.bool_] | None = None
) -> list[tuple[slice, slice]]:
    """Pair each run of consecutive chosen rows: (slice of the file, slice of the block).

    All rows are chosen where nothing is said.
    """
    picked = np.arange(len(rows)) if chosen is None else np.flatnonzero(chosen)
    if not len(picked):
        return []
    breaks = np.flatnonzero((np.diff(picked) != 1) | (np.diff(rows[picked]) != 1)) + 1
    return [
        (slice(int(rows[run[0]]), int(rows[run[-1]]) + 1), slice(int(run[0]), int(run[-1]) + 1))
        for run in np.split(picked, breaks)
    ]


def mark_missing(file: h5py.File, manifest: Manifest, facts: FileFacts) -> None:
    """Mark the pending rows without a file missing, checksum before status."""
    status, sums = file["status"][:], file["crc32"][:]
    absent = np.flatnonzero(facts.missing & (status == Status.PENDING))
    status[absent] = Status.MISSING
    sums[absent] = schema.checksums(manifest.labels, absent)
    file["crc32"][:] = sums
    file.flush()
    file["status"][:] = status
