"""Small caches filled block by block, for the tests of writing and going on."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cache.labels import Manifest
from cache.rejects import rejects_path
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.types import ExtractorSpec, Status
from cache.writer import Block, CacheWriter
from tests.helpers import (
    make_features,
    make_manifest,
    make_spec,
    present,
)

N = 12
DEFAULT = Reuse()
SPEC = make_spec()
MANIFEST = make_manifest(N)
FEATURES = make_features(N, SPEC)


def opened(
    path: Path,
    manifest: Manifest = MANIFEST,
    facts: FileFacts | None = None,
    spec: ExtractorSpec = SPEC,
    reuse: Reuse = DEFAULT,
) -> CacheWriter | None:
    """Open the writer as `extract` does."""
    facts = present(len(manifest)) if facts is None else facts
    return open_writer(path, manifest, spec, facts, Provenance(), reuse)


def block(rows: Iterable[int], bad: Iterable[int] = ()) -> Block:
    """Return true features of these rows; those of `bad` are unreadable."""
    numbers = np.array(list(rows), np.int64)
    is_bad = np.isin(numbers, list(bad))
    return Block(
        rows=numbers,
        features=np.where(is_bad[:, None, None], np.nan, FEATURES[numbers]),
        status=np.where(is_bad, Status.UNREADABLE, Status.OK).astype(np.uint8),
        size=np.stack([numbers + 640, numbers + 480], axis=1).astype(np.int32),
        reasons={int(row): f"row {row} is\nbroken" for row in numbers[is_bad]},
    )


def fill(path: Path, rows: Iterable[int] = range(N), bad: Iterable[int] = ()) -> Path:
    """Write a finished cache with these rows as one block and the others as another."""
    writer = opened(path)
    assert writer is not None
    with writer:
        writer.write(block(rows, bad))
        if len(writer.pending):
            writer.write(block(writer.pending.tolist(), bad))
        return writer.finish()


def without_file(rows: list[int], n: int = N) -> FileFacts:
    """Return facts of n files of which some are missing."""
    facts = present(n)
    for column in (facts.size_bytes, facts.mtime_ns):
        column[rows] = -1
    return facts


def rejects(path: Path) -> list[dict[str, str]]:
    """Read the list of rejected photographs."""
    with rejects_path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
