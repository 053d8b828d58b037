"""Opening a cache for writing: new, resumed, or built from what an earlier file holds.

Owns which earlier rows are kept: those of the same extractor whose photograph is the same. The
new file is made whole beside the old one and put in place in one step.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cache import schema
from cache.errors import FormatError, StaleCacheError
from cache.files import remove_leftovers, replacing, storage_errors
from cache.rejects import REASON_LOST, journal_path, read_journal, read_rejects
from cache.schema import FileFacts, Provenance
from cache.store import FeatureCache, open_cache, open_hdf5, partial_path
from cache.types import ExtractorSpec, IntArray, Manifest, Status
from cache.writer import Block, CacheWriter, labels_of, mark_missing, now, spans_of

COPY_ROWS = 4096


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
        found: list[FeatureCache] = []
        if reuse.overwrite:
            partial.unlink(missing_ok=True)
            journal_path(path).unlink(missing_ok=True)
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
    for written in (partial_path(path), journal_path(path)):
        remove_leftovers(written)
    with replacing(partial_path(path)) as temporary:
        schema.create(temporary, manifest, spec, facts, replace(origin, engine=kept.engines))
        _reserve(temporary)
        with open_hdf5(temporary, "r+") as file:
            for earlier, old, new in kept.sources:
                _copy_rows(file, earlier, old, new, manifest)
            mark_missing(file, manifest, facts)
        _carry_reasons(path, kept)


def _reserve(path: Path) -> None:
    """Take the file's whole room now, so that a full disk shows before the work, not after it."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


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
        for span, part in spans_of(rows, ok):
            file["features"][span] = features[part]
        for i, row in enumerate(rows.tolist()):
            sums[row] = schema.row_crc32(features[i] if ok[i] else None, labels_of(manifest, row))
    file["status"][:], file["size"][:], file["crc32"][:] = status, size, sums


def _carry_reasons(path: Path, kept: _Kept) -> None:
    """Start the journal of reasons with those of kept rows that were rejected earlier."""
    reasons: dict[str, str] = {}
    for earlier, _, _ in kept.sources:
        reasons |= read_rejects(earlier.path)
    reasons |= read_rejects(path) | read_journal(journal_path(path))
    with (
        replacing(journal_path(path)) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        for earlier, old, _ in kept.sources:
            for row in old[earlier.status[old] == Status.UNREADABLE].tolist():
                image_id = str(earlier.image_id[row])
                lines.writerow([image_id, reasons.get(image_id, REASON_LOST)])


def write_cache(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    features: npt.NDArray[np.floating[Any]],
    *,
    status: npt.NDArray[np.uint8] | None = None,
    data_root: str = "",
    label_note: str = "",
    value_ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Path:
    """Write a complete cache in one call, from features (N, V, D) that are already there."""
    n = len(manifest)
    facts = FileFacts(np.zeros(n, np.int64), np.zeros(n, np.int64))
    origin = Provenance(data_root, label_note, created=now(), value_ranges=value_ranges or {})
    writer = open_writer(path, manifest, spec, facts, origin, Reuse(overwrite=True))
    if writer is None:
        raise AssertionError("an overwriting writer always writes")
    outcome = np.full(n, Status.OK, np.uint8) if status is None else status
    reasons = {int(row): "given" for row in np.flatnonzero(outcome == Status.UNREADABLE)}
    with writer:
        size = np.zeros((n, 2), np.int32)
        writer.write(Block(np.arange(n, dtype=np.int64), features, outcome, size, reasons))
        return writer.finish()
