"""Finding damage in a cache: every row's checksum, range and bookkeeping.

Reads in blocks, so that memory stays bounded; must not write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from cache.console import words
from cache.errors import AestheticError, IncompleteCacheError, LabelError
from cache.labels import mean_of_votes
from cache.schema import UNSEALED_ATTRIBUTES
from cache.store import SEAL_BROKEN, FeatureCache, open_unsealed
from cache.text import shown
from cache.types import IntArray, Status

SHOWN = 5
# Means may have been computed elsewhere, with other rounding.
MEAN_TOLERANCE = 1e-6
NOT_COVERED = f"No checksum covers {', '.join(UNSEALED_ATTRIBUTES[:-1])}, nor HDF5's own tables."
NOT_SEALED = (
    "It was made before files had a seal: no checksum covers its attributes (but scale, threshold "
    "and split_rule), size, file_bytes, file_mtime_ns, whether a photograph is missing or "
    "unreadable, nor HDF5's own tables."
)


@dataclass(frozen=True)
class Finding:
    """One kind of damage: what it is, how many rows have it, and the first of them."""

    problem: str
    count: int
    rows: tuple[int, ...]

    def __str__(self) -> str:
        if not self.rows:
            return self.problem
        rows = ", ".join(map(str, self.rows)) + ", ..." * (self.count > len(self.rows))
        return f"{self.count:,} with {self.problem} (rows {rows})"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"problem": self.problem, "count": self.count, "first_rows": list(self.rows)}


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a file, nothing for a sound one, and its rows counted by status.

    A file that cannot be opened has the reason as its one finding, and no counts. `not_covered`
    says what of it no checksum covers.
    """

    path: Path
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    not_covered: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file is sound."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "problems": [finding.to_dict() for finding in self.findings],
            "counts": self.counts,
            "not_covered": self.not_covered,
        }


def judge(path: Path) -> Verdict:
    """Verify a cache; one that cannot be opened is a verdict too and no error."""
    try:
        cache = _opened(path)
        findings = _findings(cache)
    except (AestheticError, OSError) as error:
        return Verdict(path, (Finding(words(error), 0, ()),), {})
    by_status = {status.name.lower(): cache.counts[status] for status in Status}
    not_covered = NOT_SEALED if cache.header.seal is None else NOT_COVERED
    return Verdict(path, tuple(findings), {"rows": cache.n_rows, **by_status}, not_covered)


def verify(path: Path) -> list[Finding]:
    """Return what is wrong with a cache, nothing for a sound one.

    Raises:
        FormatError: it cannot even be opened (no cache, truncated, another version).
        IncompleteCacheError: there is no such file, or it is unfinished.
    """
    return _findings(_opened(path))


def _opened(path: Path) -> FeatureCache:
    cache = open_unsealed(path)
    if not cache.header.complete:
        raise IncompleteCacheError(
            f"{path} is not finished; give the same `extract` command again to go on with it."
        )
    return cache


def _findings(cache: FeatureCache) -> list[Finding]:
    found: dict[str, list[int]] = {}
    for problem, rows in chain(_row_problems(cache), _bookkeeping(cache), _photographs(cache)):
        if len(rows):
            found.setdefault(problem, []).extend(rows.tolist())
    findings = [Finding(name, len(rows), tuple(rows[:SHOWN])) for name, rows in found.items()]
    findings = findings or [*_label_problems(cache), *_header_problems(cache)]
    cache.check_unchanged()
    return findings


def _label_problems(cache: FeatureCache) -> list[Finding]:
    """Look at what no row's checksum covers: paths, groups, tags, challenges, their order."""
    try:
        sound = cache.manifest().sha256 == cache.manifest_sha256
    except LabelError as error:
        return [Finding(f"labels that contradict themselves: {shown(error)}", cache.n_rows, ())]
    if sound:
        return []
    problem = "labels that do not match the manifest's SHA-256 (paths, groups, tags or challenges)"
    return [Finding(problem, cache.n_rows, ())]


def _header_problems(cache: FeatureCache) -> list[Finding]:
    """Look at what the file says of all its rows: counts of them, and the seal."""
    found = []
    counted = tuple(cache.counts[s] for s in (Status.OK, Status.MISSING, Status.UNREADABLE))
    if counted != cache.header.counts:
        found.append(
            f"n_ok, n_missing and n_unreadable are {shown(cache.header.counts)}, but the rows' "
            f"status gives {shown(counted)}"
        )
    if cache.seal_is_broken:
        found.append(SEAL_BROKEN)
    return [Finding(problem, cache.n_rows, ()) for problem in found]


def _bookkeeping(cache: FeatureCache) -> Iterator[tuple[str, IntArray]]:
    labels = cache.stored_labels
    _, first = np.unique(labels.image_id, return_index=True)
    yield "duplicated ids", np.setdiff1d(np.arange(cache.n_rows), first)
    pending = np.flatnonzero(cache.status == Status.PENDING)
    yield "rows that are still pending in a file marked complete", pending
    yield "rows of unknown status", np.flatnonzero(cache.status > max(Status))
    if labels.votes is not None:
        voted = labels.votes.sum(axis=1, dtype=np.int64) > 0
        yield "rows without votes", np.flatnonzero(~voted)
        gap = np.abs(mean_of_votes(labels.votes[voted]) - labels.mean[voted])
        yield "a mean that is not that of the votes", np.flatnonzero(voted)[gap > MEAN_TOLERANCE]


def _photographs(cache: FeatureCache) -> Iterator[tuple[str, IntArray]]:
    """Look at what is noted of the photographs' files, for what cannot be."""
    size, facts = cache.size, cache.facts
    half_known = (size < 0).any(axis=1) | ((size == 0).sum(axis=1) == 1)
    yield "an impossible width or height", np.flatnonzero(half_known)
    n_bytes, absent = facts.size_bytes, facts.size_bytes == -1
    impossible = (n_bytes < -1) | (absent & (facts.mtime_ns != -1))
    impossible |= absent & (cache.status == Status.OK)
    yield "an impossible length or time of the photograph's file", np.flatnonzero(impossible)


def _row_problems(cache: FeatureCache) -> Iterator[tuple[str, IntArray]]:
    for rows, features in cache.blocks():
        wrong = cache.wrong_rows(rows, features)
        yield "a wrong checksum", wrong[cache.status[wrong] != Status.PENDING]
        ok = cache.status[rows] == Status.OK
        finite = np.isfinite(features).all(axis=(1, 2))
        yield "NaN or infinite features", rows[ok & ~finite]
        for name, (lo, hi) in cache.header.provenance.value_ranges.items():
            part = features[:, :, cache.spec.layer_slice(name)]
            inside = ((part >= lo) & (part <= hi)).all(axis=(1, 2))
            yield f"{name} features outside {lo:g}..{hi:g}", rows[ok & finite & ~inside]
        yield "marked ok but without features", rows[ok & ~features.any(axis=(1, 2))]
