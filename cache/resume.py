"""Opening a cache for writing: new, resumed, or built from what an earlier file holds.

Owns which earlier rows are kept: those of the same extractor whose photograph is the same. What an
unfinished file holds wrong, because a write failed, is found here and done again. The new file is
made whole beside the old one and put in place in one step.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cache import schema
from cache.console import note
from cache.errors import FormatError, LabelError, StaleCacheError, StorageError
from cache.files import Mark, check_output, publish, replacing, scratch_folder, storage_errors
from cache.inplace import InPlace
from cache.labels import Manifest
from cache.places import photographs_of
from cache.rejects import REASON_LOST, journal_path, read_journal, read_rejects
from cache.schema import FileFacts, Provenance
from cache.store import PARTIAL, FeatureCache, open_cache, partial_path
from cache.text import CsvLines, shown
from cache.types import ExtractorSpec, IntArray, Status
from cache.writer import CacheWriter, mark_missing, spans_of

COPY_ROWS = 4096
# How every cache file starts, and a text in it.
MARK = Mark(b"\x89HDF\r\n\x1a\n", schema.FORMAT.encode())


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
    missing. Returns None where the finished file already holds just this. Where only `origin`
    names another place or remark, or other files of labels, a file with these is made of all rows.

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
            check_output(path, MARK)
            partial.unlink(missing_ok=True)
            journal_path(path).unlink(missing_ok=True)
        elif is_current(path, manifest, spec, facts, reuse, origin):
            return None
        else:
            found = _earlier(path, manifest, spec)
            origin = _origin(found, manifest, facts, reuse, origin)
            if (
                found
                and found[0].path == partial
                and _same_rows(found[0], manifest)
                and not renewals(found[0], origin)
            ):
                outdated = _outdated(found[0], facts, reuse) | _damaged(found[0])
                writer = CacheWriter(path, manifest, spec)
                writer.adopt(facts, outdated)
                return writer
            found += _donors(path, spec, reuse)
        _make(path, manifest, spec, facts, origin, _kept(found, manifest, facts, reuse))
        return CacheWriter(path, manifest, spec)


def is_current(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    facts: FileFacts,
    reuse: Reuse,
    origin: Provenance | None = None,
) -> bool:
    """Whether the finished file `path` already holds just this, so that there is nothing to do.

    Of `origin`, what is to be renewed counts.

    Raises:
        StaleCacheError, FormatError: as `open_writer`.
    """
    if reuse.overwrite or partial_path(path).exists() or not path.exists():
        return False
    earlier = _compatible(path, spec)
    return (
        earlier.header.complete
        and _same_rows(earlier, manifest)
        and not _outdated(earlier, facts, reuse).any()
        and not (origin and renewals(earlier, origin))
    )


def renewals(earlier: FeatureCache, origin: Provenance) -> dict[str, Any]:
    """Return what of `Provenance.RENEWED` an earlier file does not have as `origin` has it.

    A folder that is found from the file is no other one, whatever its name on this machine; a file
    that knows nothing of its labels' files is not renewed for them. An `origin` without a folder
    says nothing of the data.
    """
    if not origin.data_root:
        return {}
    before = earlier.header.provenance
    new = {name: getattr(origin, name) for name in Provenance.RENEWED}
    new = {name: value for name, value in new.items() if value != getattr(before, name)}
    if not before.label_files:
        new.pop("label_files", None)
    found = photographs_of(earlier) if "data_root" in new else None
    if found is not None and found.resolve() == Path(origin.data_root):
        del new["data_root"]
    return new


def renew(path: Path, **changes: Any) -> None:
    """Give a finished file other values of `Provenance.RENEWED`: a copy of it takes its place.

    The copy is made in a folder of its own, so that a kill leaves nothing that looks like the
    unfinished file of an extraction, and the next call clears it.

    Raises:
        StorageError: the disk refuses, or an unfinished file is beside it, which `extract` renews.
        CacheLockedError: another process is writing it.
        IncompleteCacheError, FormatError: as `open_cache`.
    """
    with storage_errors(path), scratch_folder(path, wait=False) as folder:
        cache = open_cache(path)
        origin = replace(cache.header.provenance, **changes)
        if not renewals(cache, origin):
            return
        if partial_path(path).exists():
            raise StorageError(
                f"{partial_path(path)} is unfinished; the same `extract` command finishes it."
            )
        rows = np.flatnonzero(np.isin(cache.status, [Status.OK, Status.UNREADABLE]))
        manifest, kept = cache.manifest(), [_Kept(cache, rows, rows)]
        copy = folder / path.name
        _make(copy, manifest, cache.spec, cache.facts, origin, kept)
        with CacheWriter(copy, manifest, cache.spec) as writer:
            publish(writer.finish(), path)


def _origin(
    found: Sequence[FeatureCache],
    manifest: Manifest,
    facts: FileFacts,
    reuse: Reuse,
    origin: Provenance,
) -> Provenance:
    """Return who made the new file: the maker of the earlier one where no photograph is read."""
    if not found or not _same_rows(found[0], manifest) or _outdated(found[0], facts, reuse).any():
        return origin
    before = found[0].header.provenance
    return replace(before, **{name: getattr(origin, name) for name in Provenance.RENEWED})


def pending_rows(
    path: Path, manifest: Manifest, spec: ExtractorSpec, facts: FileFacts, reuse: Reuse
) -> npt.NDArray[np.bool_]:
    """(N,) True for the photographs that `open_writer` would leave to extract; writes nothing.

    Raises:
        StaleCacheError, FormatError: as `open_writer`.
    """
    found = [] if reuse.overwrite else _earlier(path, manifest, spec)
    if found and _same_rows(found[0], manifest):
        to_do = _outdated(found[0], facts, reuse)
        to_do |= found[0].status == Status.PENDING
        if found[0].path == partial_path(path):
            to_do |= _damaged(found[0])
        return to_do & ~facts.missing
    found += [] if reuse.overwrite else _donors(path, spec, reuse)
    pending = ~facts.missing
    for part in _kept(found, manifest, facts, reuse):
        pending[part.new] = False
    return pending


def _earlier(path: Path, manifest: Manifest, spec: ExtractorSpec) -> list[FeatureCache]:
    """Return what earlier work left at `path`: the partial file, then the finished one.

    A partial file of the same rows is all that counts. Where a partial file is there to replace a
    finished one of another extractor, the finished one does not.
    """
    partial = partial_path(path)
    found = [_compatible(partial, spec)] if partial.exists() else []
    found = [earlier for earlier in found if _labels_are_sound(earlier)]
    if path.exists() and not (found and _same_rows(found[0], manifest)):
        try:
            found.append(_compatible(path, spec))
        except StaleCacheError:
            if not found:
                raise
    return found


def _labels_are_sound(earlier: FeatureCache) -> bool:
    """Whether an unfinished file's labels are those that it was made with; say so if not."""
    try:
        sound = earlier.manifest().sha256 == earlier.manifest_sha256
    except (LabelError, FormatError):
        sound = False
    if not sound:
        note(f"{earlier.path}: its labels are damaged, so it is not gone on with but begun anew.")
    return sound


def _damaged(earlier: FeatureCache) -> npt.NDArray[np.bool_]:
    """(N,) True where an unfinished file's row is marked as done and has a wrong checksum."""
    damaged = np.zeros(earlier.n_rows, np.bool_)
    for rows, features in earlier.blocks():
        damaged[earlier.wrong_rows(rows, features)] = True
    damaged &= earlier.status != Status.PENDING
    if damaged.any():
        note(f"{earlier.path}: {damaged.sum():,} rows have a wrong checksum and are done again.")
    return damaged


def _donors(path: Path, spec: ExtractorSpec, reuse: Reuse) -> list[FeatureCache]:
    donors = [donor for donor in reuse.donors if donor != path and donor.exists()]
    return [_compatible(donor, spec) for donor in donors]


def _compatible(path: Path, spec: ExtractorSpec) -> FeatureCache:
    earlier = open_cache(path, allow_partial=True)
    for name, theirs, mine in earlier.spec.differences(spec):
        raise StaleCacheError(
            f"{path} was made by another extractor: its {name} is {shown(theirs)}, this command's "
            f"is {shown(mine)}. Use the same settings, choose another --out, or replace it with "
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
        | ((earlier.status == Status.UNREADABLE) & (reuse.retry_failed | before.missing))
        | ((earlier.status == Status.PENDING) & facts.missing)
    )
    return outdated


class _Kept(NamedTuple):
    """Rows of an earlier file that are still right: `old` in that file, `new` in the new one."""

    earlier: FeatureCache
    old: IntArray
    new: IntArray


def _kept(
    found: Sequence[FeatureCache], manifest: Manifest, facts: FileFacts, reuse: Reuse
) -> list[_Kept]:
    keep = [Status.OK] if reuse.retry_failed else [Status.OK, Status.UNREADABLE]
    open_rows = {image_id: row for row, image_id in enumerate(manifest.labels.image_id.tolist())}
    kept = []
    for earlier in found:
        before, ids = earlier.facts, earlier.labels.image_id.tolist()
        good = np.isin(earlier.status, keep) & ~before.missing
        old_rows, new_rows = array("q"), array("q")
        if earlier.path.name.endswith(PARTIAL):
            good &= ~_damaged(earlier)
        for old in np.flatnonzero(good).tolist():
            new = open_rows.get(ids[old])
            if (
                new is not None
                and before.size_bytes[old] == facts.size_bytes[new]
                and before.mtime_ns[old] == facts.mtime_ns[new]
            ):
                old_rows.append(old)
                new_rows.append(new)
                del open_rows[ids[old]]
        order = np.argsort(np.array(new_rows, np.int64))
        pairs = (np.array(rows, np.int64)[order] for rows in (old_rows, new_rows))
        kept.append(_Kept(earlier, *pairs))
    return kept


def _make(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    facts: FileFacts,
    origin: Provenance,
    kept: Sequence[_Kept],
) -> None:
    """Make a new partial file, with the kept rows in it, in one step."""
    noted = [part.earlier.header.provenance.engine for part in kept if len(part.old)]
    # As `CacheWriter.record_engine` notes them.
    engines = dict.fromkeys(name for text in noted for name in text.split("; ") if name)
    origin = replace(origin, engine="; ".join(engines))
    with replacing(partial_path(path)) as temporary:
        schema.create(temporary, manifest, spec, facts, origin)
        with InPlace(temporary) as file:
            status = np.full(len(manifest), Status.PENDING, np.uint8)
            for part in kept:
                _copy_rows(file, part, manifest)
                status[part.new] = part.earlier.status[part.old]
            mark_missing(file, manifest, facts, status)
        _carry_reasons(path, kept)


def _copy_rows(file: InPlace, kept: _Kept, manifest: Manifest) -> None:
    earlier, old, new = kept
    for start in range(0, len(new), COPY_ROWS):
        rows, source = new[start : start + COPY_ROWS], old[start : start + COPY_ROWS]
        features, status = earlier.feature_rows[source], earlier.status[source]
        wrong = earlier.wrong_rows(source, features)
        if len(wrong):
            raise FormatError(
                f"{earlier.path} is damaged: {len(wrong)} rows from row {wrong[0]} on have a wrong "
                "checksum. `cache verify` shows more; extract again with --overwrite."
            )
        ok = status == Status.OK
        for span, part in spans_of(rows, ok):
            file.write("features", span.start, features[part])
        sums = schema.checksums(manifest.labels, rows, features, ok)
        columns: dict[str, npt.NDArray[Any]] = {"size": earlier.size[source], "crc32": sums}
        columns["status"] = status  # last, as ever
        for span, part in spans_of(rows):
            for name, values in columns.items():
                file.write(name, span.start, values[part])


def _carry_reasons(path: Path, kept: Sequence[_Kept]) -> None:
    """Start the journal of reasons with those of kept rows that were rejected earlier."""
    reasons: dict[str, str] = {}
    for earlier, _, _ in kept:
        reasons |= read_rejects(earlier.path)
    reasons |= read_rejects(path) | read_journal(journal_path(path))
    with (
        replacing(journal_path(path)) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        lines = csv.writer(CsvLines(file))
        for earlier, old, _ in kept:
            for row in old[earlier.status[old] == Status.UNREADABLE].tolist():
                image_id = str(earlier.labels.image_id[row])
                lines.writerow([image_id, reasons.get(image_id, REASON_LOST)])
