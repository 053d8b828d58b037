"""`extract --dry-run`: what would be done, on how much disk and in what time.

The rate is measured on a few of the photographs at hand, not assumed. Writes no cache.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cache.console import working
from cache.files import storage_errors
from cache.labels import Manifest
from cache.resume import pending_rows
from cache.schema import FileFacts
from cache.text import path_named
from cache.types import ExtractorSpec, IntArray
from extract.backbones.engines import OpenEngine, open_engine
from extract.run.plan import Plan, plan
from extract.run.settings import Settings
from extract.stream import Account, block_size, extract_blocks

MEASURED_BLOCKS = 2


@dataclass(frozen=True)
class SplitPlan:
    """What one split would take; `bytes` is the size of its file."""

    path: str
    rows: int
    missing: int
    to_extract: int
    bytes: int


def dry_run(settings: Settings, open_engine_: OpenEngine = open_engine) -> tuple[str, str]:
    """Return what would be done as (lines for a person, one JSON object)."""
    planned = plan(settings)
    out = settings.out.absolute()
    nearest = next(folder for folder in (out, *out.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        with storage_errors(settings.out):
            with suppress(FileNotFoundError):
                out.lstat()  # below a loop of links the system says so, as it will then
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    splits = [_split_plan(settings, planned.spec, *each) for each in planned.splits]
    problems = _problems(settings, planned)
    pending = sum(split.to_extract for split in splits)
    rate = _measured_rate(settings, planned, open_engine_) if pending else 0.0
    free = shutil.disk_usage(nearest).free
    seconds = pending / rate if rate else 0.0
    facts = {
        "splits": [split.__dict__ for split in splits],
        "images_per_second": rate,
        "seconds": seconds,
        "disk_free": free,
        "problems": problems,
    }
    lines = [_lines(splits, pending, rate, seconds, free), *problems]
    return "\n".join(lines), json.dumps(facts)


def _problems(settings: Settings, planned: Plan) -> list[str]:
    """Say what is away, as the extraction will at its end."""
    said = []
    for manifest, _ in planned.splits:
        path = settings.shard.path(settings.out, manifest.split_rule.split)
        said += planned.away.of(manifest).problems(settings.data, path)
    return said


def _split_plan(
    settings: Settings, spec: ExtractorSpec, manifest: Manifest, facts: FileFacts
) -> SplitPlan:
    split = manifest.split_rule.split
    path = settings.shard.path(settings.out, split)
    vector = len(spec.views) * spec.n_features * np.dtype(spec.dtype).itemsize
    labels = manifest.labels
    texts = labels.image_id.dtype.itemsize // 4 + labels.path.dtype.itemsize // 4
    return SplitPlan(
        path=str(path),
        rows=len(manifest),
        missing=int(facts.missing.sum()),
        to_extract=int(pending_rows(path, manifest, spec, facts, settings.reuse_for(split)).sum()),
        bytes=len(manifest) * (vector + 4 * labels.levels + texts + 56),
    )


@working("opening the engine and measuring its rate")
def _measured_rate(settings: Settings, planned: Plan, open_engine_: OpenEngine) -> float:
    """Return photographs a second on a sample of those that are there."""
    manifest, facts = max(planned.splits, key=lambda each: int((~each[1].missing).sum()))
    engine = open_engine_(settings.engine, planned.weights)
    known = np.flatnonzero(~facts.missing).tolist()  # of a folder that is away, too
    paths = manifest.labels.path.tolist()
    there = (row for row in known if (settings.data / path_named(paths[row])).is_file())
    cutting = settings.cutting(planned.spec)
    wanted = MEASURED_BLOCKS * block_size(cutting.views, engine.batch_size)
    rows = np.resize(list(islice(there, wanted)), wanted)

    def run(rows: IntArray) -> None:
        for _ in extract_blocks(
            settings.data, manifest.labels.path, rows, cutting, engine, Account()
        ):
            pass

    run(rows[: engine.batch_size])  # the first batch warms up
    start = time.perf_counter()
    run(rows)
    return len(rows) / (time.perf_counter() - start)


def _lines(splits: list[SplitPlan], pending: int, rate: float, seconds: float, free: int) -> str:
    lines = [
        f"{split.path}: {split.rows:,} photographs, {split.missing:,} missing, "
        f"{split.to_extract:,} to extract, {split.bytes / 1e6:,.1f} MB"
        for split in splits
    ]
    room = sum(split.bytes for split in splits)
    lines.append(f"Disk: {room / 1e6:,.1f} MB of {free / 1e9:,.1f} GB free.")
    if pending:
        lines.append(f"Time: about {_duration(seconds)}, at {rate:.0f} photographs a second.")
    else:
        lines.append("Nothing to do.")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
