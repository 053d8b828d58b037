"""Writing a cache so that a kill at any moment loses at most the block at hand.

Owns the life of `<split>.h5.partial`: made whole, filled block by block (features, flush, status,
flush), completed, renamed. Rows of an earlier file are kept where the photograph is the same.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import h5py
import numpy as np
import numpy.typing as npt

from cache import schema
from cache.errors import FormatError, StaleCacheError
from cache.files import publish, storage_errors
from cache.schema import FileFacts, Provenance
from cache.store import FeatureCache, open_cache, open_hdf5, partial_path
from cache.types import ExtractorSpec, IntArray, Manifest, Status

COPY_ROWS = 4096
REASON_MISSING = "no such file"
REASON_LOST = "unknown: the record of reasons was lost"


def now() -> str:
    """Return the time as ISO 8601 text in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Block:
    """Results of some rows: features (n, V, D), status (n,) uint8, size (n, 2) width and height.

    Features of rows that are not OK are ignored. `reasons` says why rows are unreadable.
    """

    rows: IntArray
    features: npt.NDArray[np.floating[Any]]
    status: npt.NDArray[np.uint8]
    size: npt.NDArray[np.int32]
    reasons: Mapping[int, str]


def rejects_path(path: Path) -> Path:
    """Return where the reasons of rejected photographs of a cache are listed."""
    return path.with_name(path.stem + ".rejects.csv")


class CacheWriter:
    """Fills one cache file; use `open_writer`, hold `cache.files.exclusive` around it."""

    def __init__(self, path: Path, manifest: Manifest, spec: ExtractorSpec) -> None:
        self.path = path
        self.manifest = manifest
        self.spec = spec
        self._file = open_hdf5(partial_path(path), "r+")
        self._status = np.asarray(self._file["status"][:], np.uint8)
        self._journal = _open_journal(_journal_path(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file as it is; what is written stays."""
        with storage_errors(self.path):
            try:
                self._journal.close()
            finally:
                if self._file:
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
            sums = self._checksums(block.rows, stored, ok)
            for span, part in _spans(block.rows, ok):
                self._file["features"][span] = stored[part]
            everything = np.ones(len(block.rows), bool)
            for span, part in _spans(block.rows, everything):
                self._file["size"][span] = block.size[part]
                self._file["crc32"][span] = sums[part]
            self._file.flush()
            for span, part in _spans(block.rows, everything):
                self._file["status"][span] = block.status[part]
            self._file.flush()
        self._status[block.rows] = block.status

    def _checksums(
        self, rows: IntArray, stored: npt.NDArray[Any], ok: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.uint32]:
        return np.array(
            [
                schema.row_crc32(stored[i] if ok[i] else None, _labels_of(self.manifest, int(row)))
                for i, row in enumerate(rows)
            ],
            np.uint32,
        )

    def _write_reasons(self, block: Block) -> None:
        lines = csv.writer(self._journal, lineterminator="\n")
        for row, reason in sorted(block.reasons.items()):
            lines.writerow([self.manifest.image_id[row], " ".join(reason.split())])
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
            for span, _ in _spans(rows, np.ones(len(rows), bool)):
                for name in ("features", "size", "crc32"):
                    self._file[name][span] = 0
            self._file["file_bytes"][:] = facts.size_bytes
            self._file["file_mtime_ns"][:] = facts.mtime_ns
            self._file.flush()
            _mark_missing(self._file, self.manifest, facts)
            self._file.flush()
        self._status[again & facts.missing] = Status.MISSING

    def reasons(self) -> Counter[str]:
        """Count the reasons of all rows that are unreadable."""
        known = _read_reasons(_journal_path(self.path))
        unreadable = np.flatnonzero(self._status == Status.UNREADABLE)
        ids = self.manifest.image_id[unreadable].tolist()
        return Counter(known.get(image_id, REASON_LOST) for image_id in ids)

    def finish(self) -> Path:
        """Mark the file complete and put it in its place; return its path.

        Raises:
            StorageError: the disk refuses; the partial file is kept.
        """
        with storage_errors(self.path):
            for name, status in _COUNTED.items():
                schema.set_in_place(self._file, name, int((self._status == status).sum()))
            schema.set_in_place(self._file, "finished", now().encode())
            schema.set_in_place(self._file, "complete", 1)
            self._file.flush()
            self.close()
            self._write_rejects()
            _journal_path(self.path).unlink(missing_ok=True)
            publish(partial_path(self.path), self.path)
        return self.path

    def _write_rejects(self) -> None:
        # The list itself is read too: a kill may have come after the journal was deleted.
        reasons = read_rejects(self.path) | _read_reasons(_journal_path(self.path))
        target = rejects_path(self.path)
        temporary = target.with_name(f".{target.name}.new")
        rejected = np.flatnonzero(np.isin(self._status, [Status.MISSING, Status.UNREADABLE]))
        with temporary.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["image_id", "path", "status", "reason"])
            for row in rejected.tolist():
                image_id = str(self.manifest.image_id[row])
                status = Status(int(self._status[row]))
                lost = REASON_MISSING if status is Status.MISSING else REASON_LOST
                reason = lost if status is Status.MISSING else reasons.get(image_id, lost)
                lines.writerow([image_id, self.manifest.path[row], status.name.lower(), reason])
        publish(temporary, target)


_COUNTED = {
    "n_ok": Status.OK,
    "n_missing": Status.MISSING,
    "n_unreadable": Status.UNREADABLE,
}


def _labels_of(manifest: Manifest, row: int) -> bytes:
    votes = None if manifest.votes is None else manifest.votes[row]
    return schema.label_bytes(str(manifest.image_id[row]), votes, float(manifest.mean[row]))


def _spans(rows: IntArray, chosen: npt.NDArray[np.bool_]) -> list[tuple[slice, slice]]:
    """Pair each run of consecutive chosen rows: (slice of the file, slice of the block)."""
    picked = np.flatnonzero(chosen)
    if not len(picked):
        return []
    breaks = np.flatnonzero((np.diff(picked) != 1) | (np.diff(rows[picked]) != 1)) + 1
    return [
        (slice(int(rows[run[0]]), int(rows[run[-1]]) + 1), slice(int(run[0]), int(run[-1]) + 1))
        for run in np.split(picked, breaks)
    ]


def _journal_path(path: Path) -> Path:
    return path.with_name(path.stem + ".rejects.csv.partial")


def _open_journal(path: Path) -> TextIO:
    """Open for appending; a line that a kill cut short is ended first."""
    journal = path.open("a+", newline="", encoding="utf-8")
    journal.seek(0)
    if not journal.read().endswith("\n") and journal.tell():
        journal.write("\n")
    return journal


def read_rejects(path: Path) -> dict[str, str]:
    """Read the reasons of a finished cache's rejected photographs, by id."""
    if not rejects_path(path).exists():
        return {}
    with rejects_path(path).open(newline="", encoding="utf-8") as file:
        return {line["image_id"]: line["reason"] for line in csv.DictReader(file)}


def _read_reasons(path: Path) -> dict[str, str]:
    """Read reasons by id; the last one of an id counts, and a line cut by a kill is passed over."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return {line[0]: line[1] for line in csv.reader(file) if len(line) == 2}


# --- opening: new, resumed, or built from what an earlier file holds -----------------------------


@dataclass(frozen=True)
class Reuse:
    """What of earlier work counts; `donors` are other finished caches whose rows may be taken."""

    overwrite: bool = False
    retry_failed: bool = False
    donors: tuple[Path, ...] = ()


def open_writer(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    facts: FileFacts,
    origin: Provenance,
    reuse: Reuse = Reuse(),
) -> CacheWriter | None:
    """Open the writer of `path`, keeping every earlier row that is still right.

    A row is kept if an earlier file (partial first, then finished) of the same extractor holds
    the id with the same file size and time of modification. Rows without a file are marked
    missing. Returns None where the finished file already holds just this.

    Raises:
        StaleCacheError: an earlier file was made by another extractor.
        FormatError: an earlier file is damaged or of another version.
        StorageError: the folder or disk refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(path)
        if reuse.overwrite:
            partial.unlink(missing_ok=True)
            _journal_path(path).unlink(missing_ok=True)
        else:
            found = _earlier(path, manifest, spec)
            if found and found[0].path == path and _is_current(found[0], manifest, facts, reuse):
                return None
            if found and found[0].path == partial and _same_rows(found[0], manifest):
                outdated = _outdated(found[0], facts, reuse)
                writer = CacheWriter(path, manifest, spec)
                writer.adopt(facts, outdated)
                return writer
            found += _donors(path, spec, reuse)
            _make(path, manifest, spec, facts, origin, _Kept.of(found, manifest, facts, reuse))
            return CacheWriter(path, manifest, spec)
        _make(path, manifest, spec, facts, origin, _Kept.of([], manifest, facts, reuse))
        return CacheWriter(path, manifest, spec)


def is_current(
    path: Path, manifest: Manifest, spec: ExtractorSpec, facts: FileFacts, reuse: Reuse
) -> bool:
    """Whether the finished file `path` already holds just this, so that there is nothing to do.

    Raises:
        StaleCacheError, FormatError: as `open_writer`.
    """
    if reuse.overwrite or partial_path(path).exists() or not path.exists():
        return False
    return _is_current(_compatible(path, spec), manifest, facts, reuse)


def count_pending(
    path: Path, manifest: Manifest, spec: ExtractorSpec, facts: FileFacts, reuse: Reuse
) -> int:
    """Return how many photographs `open_writer` would leave to extract; write nothing.

    Raises:
        StaleCacheError, FormatError: as `open_writer`.
    """
    found = [] if reuse.overwrite else _earlier(path, manifest, spec)
    if found and _same_rows(found[0], manifest):
        to_do = _outdated(found[0], facts, reuse) | (found[0].status == Status.PENDING)
        return int((to_do & ~facts.missing).sum())
    found += [] if reuse.overwrite else _donors(path, spec, reuse)
    kept = sum(len(new) for _, _, new in _Kept.of(found, manifest, facts, reuse).sources)
    return int((~facts.missing).sum()) - kept


def _earlier(path: Path, manifest: Manifest, spec: ExtractorSpec) -> list[FeatureCache]:
    """Return what earlier work left at `path`: the partial file, then the finished one.

    A partial file of the same rows is all that counts. Where a partial file is there to replace a
    finished one of another extractor, the finished one does not.
    """
    partial = partial_path(path)
    found = [_compatible(partial, spec)] if partial.exists() else []
    if path.exists() and not (found and _same_rows(found[0], manifest)):
        try:
            found.append(_compatible(path, spec))
        except StaleCacheError:
            if not found:
                raise
    return found


def _donors(path: Path, spec: ExtractorSpec, reuse: Reuse) -> list[FeatureCache]:
    donors = [donor for donor in reuse.donors if donor != path and donor.exists()]
    return [_compatible(donor, spec) for donor in donors]


def _compatible(path: Path, spec: ExtractorSpec) -> FeatureCache:
    earlier = open_cache(path, allow_partial=True)
    for name, theirs, mine in earlier.spec.differences(spec):
        raise StaleCacheError(
            f"{path} was made by another extractor: its {name} is {theirs!r}, this command's is "
            f"{mine!r}. Use the same settings, choose another --out, or replace it with "
            "--overwrite."
        )
    return earlier


def _same_rows(earlier: FeatureCache, manifest: Manifest) -> bool:
    return earlier.manifest_sha256 == manifest.sha256 and earlier.n_rows == len(manifest)


def _outdated(earlier: FeatureCache, facts: FileFacts, reuse: Reuse) -> npt.NDArray[np.bool_]:
    """(N,) True where a photograph's file came, went or changed, or is to be tried again."""
    before = earlier.facts
    outdated: npt.NDArray[np.bool_] = (
        (before.size_bytes != facts.size_bytes)
        | (before.mtime_ns != facts.mtime_ns)
        | ((earlier.status == Status.MISSING) & ~facts.missing)
        | ((earlier.status == Status.UNREADABLE) & reuse.retry_failed)
        | ((earlier.status == Status.PENDING) & facts.missing)
    )
    return outdated


def _is_current(earlier: FeatureCache, manifest: Manifest, facts: FileFacts, reuse: Reuse) -> bool:
    return (
        earlier.header.complete
        and _same_rows(earlier, manifest)
        and not _outdated(earlier, facts, reuse).any()
    )


@dataclass(frozen=True, eq=False)
class _Kept:
    """Rows of earlier files that are still right: (file, its rows, rows of the new file)."""

    sources: Sequence[tuple[FeatureCache, IntArray, IntArray]]

    @property
    def engines(self) -> str:
        """What computed the kept rows, as `CacheWriter.record_engine` notes it."""
        noted = [each.header.provenance.engine for each, rows, _ in self.sources if len(rows)]
        names = dict.fromkeys(name for text in noted for name in text.split("; ") if name)
        return "; ".join(names)

    @classmethod
    def of(
        cls, found: Sequence[FeatureCache], manifest: Manifest, facts: FileFacts, reuse: Reuse
    ) -> _Kept:
        keep = [Status.OK] if reuse.retry_failed else [Status.OK, Status.UNREADABLE]
        open_rows = {image_id: row for row, image_id in enumerate(manifest.image_id.tolist())}
        sources = []
        for earlier in found:
            before = earlier.facts
            pairs = []
            for old in np.flatnonzero(np.isin(earlier.status, keep)).tolist():
                new = open_rows.get(str(earlier.image_id[old]))
                if (
                    new is not None
                    and before.size_bytes[old] == facts.size_bytes[new]
                    and before.mtime_ns[old] == facts.mtime_ns[new]
                ):
                    pairs.append((old, new))
                    del open_rows[str(earlier.image_id[old])]
            both = np.array(pairs, np.int64).reshape(-1, 2)
            both = both[np.argsort(both[:, 1])]
            sources.append((earlier, both[:, 0], both[:, 1]))
        return cls(sources)


def _make(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    facts: FileFacts,
    origin: Provenance,
    kept: _Kept,
) -> None:
    """Make a new partial file, with the kept rows in it, in one step."""
    for stale in path.parent.glob(f".{path.name}.[0-9]*"):
        stale.unlink()  # left by a process that was killed here; the lock is ours
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        schema.create(temporary, manifest, spec, facts, replace(origin, engine=kept.engines))
        _reserve(temporary)
        with open_hdf5(temporary, "r+") as file:
            for earlier, old, new in kept.sources:
                _copy_rows(file, earlier, old, new, manifest)
            _mark_missing(file, manifest, facts)
        _carry_reasons(path, kept)
        publish(temporary, partial_path(path))
    finally:
        temporary.unlink(missing_ok=True)


def _reserve(path: Path) -> None:
    """Take the file's whole room now, so that a full disk shows before the work, not after it."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _mark_missing(file: h5py.File, manifest: Manifest, facts: FileFacts) -> None:
    status, sums = file["status"][:], file["crc32"][:]
    absent = np.flatnonzero(facts.missing)
    status[absent] = Status.MISSING
    for row in absent.tolist():
        sums[row] = schema.row_crc32(None, _labels_of(manifest, row))
    file["crc32"][:] = sums
    file.flush()
    file["status"][:] = status


def _copy_rows(
    file: h5py.File, earlier: FeatureCache, old: IntArray, new: IntArray, manifest: Manifest
) -> None:
    status, size, sums = file["status"][:], file["size"][:], file["crc32"][:]
    status[new], size[new] = earlier.status[old], earlier.size[old]
    for start in range(0, len(new), COPY_ROWS):
        rows, source = new[start : start + COPY_ROWS], old[start : start + COPY_ROWS]
        features = earlier.features[source]
        wrong = source[earlier.checksums(source, features) != earlier.crc32[source]]
        if len(wrong):
            raise FormatError(
                f"{earlier.path} is damaged: {len(wrong)} rows from row {wrong[0]} on have a wrong "
                "checksum. `cache verify` shows more; extract again with --overwrite."
            )
        ok = status[rows] == Status.OK
        for span, part in _spans(rows, ok):
            file["features"][span] = features[part]
        for i, row in enumerate(rows.tolist()):
            sums[row] = schema.row_crc32(features[i] if ok[i] else None, _labels_of(manifest, row))
    file["status"][:], file["size"][:], file["crc32"][:] = status, size, sums


def _carry_reasons(path: Path, kept: _Kept) -> None:
    """Start the journal of reasons with those of kept rows that were rejected earlier."""
    reasons: dict[str, str] = {}
    for earlier, _, _ in kept.sources:
        reasons |= read_rejects(earlier.path)
    reasons |= read_rejects(path) | _read_reasons(_journal_path(path))
    temporary = path.with_name(f".{path.name}.reasons")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        for earlier, old, _ in kept.sources:
            for row in old[earlier.status[old] == Status.UNREADABLE].tolist():
                image_id = str(earlier.image_id[row])
                lines.writerow([image_id, reasons.get(image_id, REASON_LOST)])
    publish(temporary, _journal_path(path))


def write_cache(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    features: npt.NDArray[np.floating[Any]],
    *,
    status: npt.NDArray[np.uint8] | None = None,
    data_root: str = "",
    label_note: str = "",
) -> Path:
    """Write a complete cache in one call, from features (N, V, D) that are already there."""
    n = len(manifest)
    facts = FileFacts(np.zeros(n, np.int64), np.zeros(n, np.int64))
    origin = Provenance(data_root, label_note, created=now())
    writer = open_writer(path, manifest, spec, facts, origin, Reuse(overwrite=True))
    if writer is None:
        raise AssertionError("an overwriting writer always writes")
    outcome = np.full(n, Status.OK, np.uint8) if status is None else status
    reasons = {int(row): "given" for row in np.flatnonzero(outcome == Status.UNREADABLE)}
    with writer:
        size = np.zeros((n, 2), np.int32)
        writer.write(Block(np.arange(n, dtype=np.int64), features, outcome, size, reasons))
        return writer.finish()
