"""Writing a cache so that a kill at any moment loses at most the block at hand.

Owns the filling of `<split>.h5.partial`, block by block (features, then status), its completion,
the reading back of what was written, and renaming. How it is made is `cache.resume`'s.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cache import schema
from cache.errors import StorageError
from cache.files import publish, replacing, storage_errors
from cache.inplace import InPlace
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
from cache.store import open_cache, open_hdf5, partial_path
from cache.text import CsvLines
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
        partial = open_cache(partial_path(path), allow_partial=True)
        self._header = partial.header
        self._facts = FileFacts(
            np.array(partial.facts.size_bytes), np.array(partial.facts.mtime_ns)
        )
        self._status = np.array(partial.status)
        self._size = np.array(partial.size)
        self._file = InPlace(partial.path)
        try:
            self._journal = open_journal(journal_path(path))
        except BaseException:
            self._file.close()
            raise

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
        origin = self._header.provenance
        if label not in origin.engine.split("; "):
            both = "; ".join(part for part in (origin.engine, label) if part)
            both = both.encode()[: schema.ENGINE_BYTES].decode(errors="ignore")
            self._header = replace(self._header, provenance=replace(origin, engine=both))
            with storage_errors(self.path):
                self._file.set("engine", both.encode())
                self._file.force()
            # Now, since a run that goes on with finished rows would not note it again.
            self._check_header(self._header)

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
                self._file.write("features", span.start, stored[part])
            for span, part in spans_of(block.rows):
                self._file.write("size", span.start, block.size[part])
                self._file.write("crc32", span.start, sums[part])
            self._forget_files(block.again)
            # A row is marked last, and only if every write before went well.
            for span, part in spans_of(block.rows):
                self._file.write("status", span.start, block.status[part])
        self._size[block.rows], self._status[block.rows] = block.size, block.status

    def _forget_files(self, rows: Sequence[int]) -> None:
        """Note nothing of photographs that the system refused: the next run tries them again."""
        size_bytes, mtime_ns = self._facts.size_bytes.copy(), self._facts.mtime_ns.copy()
        for row in rows:
            size_bytes[row] = mtime_ns[row] = -1
            self._file.write("file_bytes", row, size_bytes[row : row + 1])
            self._file.write("file_mtime_ns", row, mtime_ns[row : row + 1])
        self._facts = FileFacts(size_bytes, mtime_ns)

    def _write_reasons(self, block: Block) -> None:
        lines = csv.writer(CsvLines(self._journal))
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
            self._file.set("complete", 0)
            self._file.write("status", 0, self._status)
            for span, _ in spans_of(rows):
                for name in ("features", "size", "crc32"):
                    self._file.clear(name, span)
            self._file.write("file_bytes", 0, facts.size_bytes)
            self._file.write("file_mtime_ns", 0, facts.mtime_ns)
            mark_missing(self._file, self.manifest, facts, self._status)
        self._size[again] = 0
        self._facts = facts

    def reasons(self) -> Counter[str]:
        """Count the reasons of all rows that are unreadable."""
        known = read_journal(journal_path(self.path))
        unreadable = np.flatnonzero(self._status == Status.UNREADABLE)
        ids = self.manifest.labels.image_id[unreadable].tolist()
        return Counter(known.get(image_id, REASON_LOST) for image_id in ids)

    def finish(self) -> Path:
        """Mark the file complete, read it back and put it in its place; return its path.

        Raises:
            StorageError: the disk refuses, or gives back something else than was written; the
                partial file is kept.
        """
        with storage_errors(self.path):
            self._file.force()
            if not partial_path(self.path).exists():
                raise StorageError(
                    f"{partial_path(self.path)} has vanished during the run: its folder was moved "
                    "or deleted. Bring it back and give the same command again."
                )
            self._check_rows()
            ok, missing, unreadable = (
                int((self._status == status).sum())
                for status in (Status.OK, Status.MISSING, Status.UNREADABLE)
            )
            header = replace(self._header, finished=now(), counts=(ok, missing, unreadable))
            self._file.set("n_ok", ok)
            self._file.set("n_missing", missing)
            self._file.set("n_unreadable", unreadable)
            self._file.set("finished", header.finished.encode())
            if header.seal is not None:  # files that were begun before there was one have none
                seal = self._seal()
                self._file.set(schema.SEAL, seal.encode())
                header = replace(header, seal=seal)
            self._file.force()
            self._check_rest(header)
            # Last: a file that says that it is complete is held to its seal.
            self._file.set("complete", 1)
            self._file.force()
            self.close()
            self._check_header(replace(header, complete=True))
            self._write_rejects()
            journal_path(self.path).unlink(missing_ok=True)
            publish(partial_path(self.path), self.path)
        return self.path

    def _seal(self) -> str:
        with open_hdf5(partial_path(self.path), "r") as file:
            return schema.seal_of(file)

    def _check_rows(self) -> None:
        """Read all rows back; those that are not as they were written are pending again."""
        back = open_cache(partial_path(self.path), allow_partial=True)
        wrong = (back.size != self._size).any(axis=1) | (back.status != self._status)
        for rows, features in back.blocks():
            wrong[back.wrong_rows(rows, features)] = True
        if wrong.any():
            self._status[wrong] = Status.PENDING
            self._file.write("status", 0, self._status)
            raise self._disk_fails(f"{wrong.sum():,} rows from row {wrong.argmax()} on")

    def _check_rest(self, header: schema.Header) -> None:
        """Read back what belongs to no row, and the labels."""
        self._check_header(header)
        back = open_cache(partial_path(self.path), allow_partial=True)
        facts = self._facts
        for what, same in (
            ("its labels", back.manifest().sha256 == self.manifest.sha256),
            ("the files' sizes", np.array_equal(back.facts.size_bytes, facts.size_bytes)),
            ("the files' times", np.array_equal(back.facts.mtime_ns, facts.mtime_ns)),
        ):
            if not same:
                raise self._disk_fails(what)

    def _check_header(self, header: schema.Header) -> None:
        if open_cache(partial_path(self.path), allow_partial=True).header != header:
            raise self._disk_fails("its attributes")

    def _disk_fails(self, what: str) -> StorageError:
        return StorageError(
            f"{partial_path(self.path)} reads back otherwise than it was written ({what}), so it "
            "was not published. The same command does the rest again; if this comes back, the disk "
            "or the way to it fails."
        )

    def _write_rejects(self) -> None:
        # The list itself is read too: a kill may have come after the journal was deleted.
        reasons = read_rejects(self.path) | read_journal(journal_path(self.path))
        target, labels = rejects_path(self.path), self.manifest.labels
        rejected = np.flatnonzero(np.isin(self._status, [Status.MISSING, Status.UNREADABLE]))
        with (
            replacing(target) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            lines = csv.writer(CsvLines(file))
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


def mark_missing(
    file: InPlace, manifest: Manifest, facts: FileFacts, status: npt.NDArray[np.uint8]
) -> None:
    """Mark the pending rows without a file missing, checksum before status; `status` (N,) too."""
    absent = np.flatnonzero(facts.missing & (status == Status.PENDING)).astype(np.int64)
    sums = schema.checksums(manifest.labels, absent)
    status[absent] = Status.MISSING
    for span, part in spans_of(absent):
        file.write("crc32", span.start, sums[part])
    for span, _ in spans_of(absent):
        file.write("status", span.start, status[span])
