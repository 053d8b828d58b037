"""Finding damage in a cache: every row's checksum, range and bookkeeping.

Reads in blocks, so that memory stays bounded; must not write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import AestheticError, LabelError
from cache.store import FeatureCache, open_cache
from cache.types import Status

BLOCK_ROWS = 2048
SHOWN = 5


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

    A file that cannot be opened has the reason as its one finding, and no counts.
    """

    path: Path
    findings: tuple[Finding, ...]
    counts: dict[str, int]

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
        }


def judge(path: Path) -> Verdict:
    """Verify a cache; one that cannot be opened is a verdict too and no error."""
    try:
        findings, cache = verify(path), open_cache(path)
    except AestheticError as error:
        return Verdict(path, (Finding(error.one_line(), 0, ()),), {})
    by_status = {status.name.lower(): cache.counts[status] for status in Status}
    return Verdict(path, tuple(findings), {"rows": cache.n_rows, **by_status})


def verify(path: Path) -> list[Finding]:
    """Return what is wrong with a cache, nothing for a sound one.

    Raises:
        FormatError: it cannot even be opened (no cache, truncated, another version).
        IncompleteCacheError: there is no such file, or it is unfinished.
    """
    cache = open_cache(path)
    found: dict[str, list[int]] = {}
    for problem, row in _row_problems(cache):
        found.setdefault(problem, []).append(row)
    for problem, rows in _bookkeeping(cache):
        found.setdefault(problem, []).extend(rows)
    findings = [Finding(name, len(rows), tuple(rows[:SHOWN])) for name, rows in found.items()]
    return findings or _label_problems(cache)


def _label_problems(cache: FeatureCache) -> list[Finding]:
    """Look at what no row's checksum covers: paths, groups, tags, challenges, their order."""
    try:
        sound = cache.manifest().sha256 == cache.manifest_sha256
    except LabelError as error:
        return [Finding(f"labels that contradict themselves: {error}", cache.n_rows, ())]
    if sound:
        return []
    problem = "labels that do not match the manifest's SHA-256 (paths, groups, tags or challenges)"
    return [Finding(problem, cache.n_rows, ())]


def _bookkeeping(cache: FeatureCache) -> Iterator[tuple[str, list[int]]]:
    _, first = np.unique(cache.image_id, return_index=True)
    if len(first) != cache.n_rows:
        yield "duplicated ids", np.setdiff1d(np.arange(cache.n_rows), first).tolist()
    pending = np.flatnonzero(cache.status == Status.PENDING)
    if len(pending):
        yield "rows that are still pending in a file marked complete", pending.tolist()
    unknown = np.flatnonzero(cache.status > max(Status))
    if len(unknown):
        yield "rows of unknown status", unknown.tolist()
    if cache.votes is not None:
        empty = np.flatnonzero(cache.votes.sum(axis=1) < 1)
        if len(empty):
            yield "rows without votes", empty.tolist()


def _row_problems(cache: FeatureCache) -> Iterator[tuple[str, int]]:
    for start in range(0, cache.n_rows, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, cache.n_rows))
        features = np.asarray(cache.features[rows[0] : rows[-1] + 1])
        wrong = cache.checksums(rows, features) != cache.crc32[rows]
        for row in rows[wrong & (cache.status[rows] != Status.PENDING)].tolist():
            yield "a wrong checksum", row
        yield from _value_problems(cache, rows, features)


def _value_problems(
    cache: FeatureCache, rows: npt.NDArray[Any], features: npt.NDArray[Any]
) -> Iterator[tuple[str, int]]:
    ok = cache.status[rows] == Status.OK
    flat = features.reshape(len(rows), -1)
    finite = np.isfinite(flat).all(axis=1)
    for row in rows[ok & ~finite].tolist():
        yield "NaN or infinite features", row
    for name, (lo, hi) in cache.header.provenance.value_ranges.items():
        part = features[:, :, cache.spec.layer_slice(name)].reshape(len(rows), -1)
        inside = ((part >= lo) & (part <= hi)).all(axis=1)
        for row in rows[ok & finite & ~inside].tolist():
            yield f"{name} features outside {lo:g}..{hi:g}", row
    for row in rows[ok & ~flat.any(axis=1)].tolist():
        yield "marked ok but without features", row
