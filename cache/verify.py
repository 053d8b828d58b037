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
from cache.errors import AestheticError, LabelError
from cache.store import FeatureCache, open_cache
from cache.types import IntArray, Status

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
    except (AestheticError, OSError) as error:
        return Verdict(path, (Finding(words(error), 0, ()),), {})
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
    for problem, rows in chain(_row_problems(cache), _bookkeeping(cache)):
        if len(rows):
            found.setdefault(problem, []).extend(rows.tolist())
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


def _bookkeeping(cache: FeatureCache) -> Iterator[tuple[str, IntArray]]:
    _, first = np.unique(cache.labels.image_id, return_index=True)
    yield "duplicated ids", np.setdiff1d(np.arange(cache.n_rows), first)
    pending = np.flatnonzero(cache.status == Status.PENDING)
    yield "rows that are still pending in a file marked complete", pending
    yield "rows of unknown status", np.flatnonzero(cache.status > max(Status))
    votes = cache.labels.votes
    if votes is not None:
        yield "rows without votes", np.flatnonzero(votes.sum(axis=1) < 1)


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
