"""One extraction: from a plan to finished caches, resumable at every moment.

Owns the order of things: open the engine only if there is work, fill each split's cache, look at
failures on the way, say where the time went.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.console import note, working
from cache.errors import NoPhotographsError
from cache.files import exclusive, storage_errors
from cache.frameworks import installed_versions
from cache.labels import Manifest
from cache.resume import open_writer
from cache.schema import FileFacts, Provenance
from cache.store import open_cache
from cache.text import kept_name, path_named
from cache.types import ExtractorSpec, Status
from cache.writer import Block, CacheWriter, now
from extract.backbones.engines import Engine, OpenEngine, open_engine
from extract.images.apart import spent
from extract.labels.pairs import put_pairs
from extract.labels.records import read_note
from extract.run.away import Away, is_away
from extract.run.changes import changes, left_behind
from extract.run.plan import Plan, plan
from extract.run.settings import Settings
from extract.run.summary import Summary
from extract.stream import Account, extract_blocks

FAILURES_LOOKED_AT_AFTER = 200


def extract(settings: Settings, open_engine_: OpenEngine = open_engine) -> list[Summary]:
    """Extract every split that the settings name; what is there already is not done again.

    Raises:
        AestheticError: any problem that the user can solve; the work so far is kept.
    """
    planned = plan(settings)

    @functools.cache
    def opener() -> Engine:
        note("Opening the engine ...")
        with working("opening the engine"):
            engine = open_engine_(settings.engine, planned.weights)
        note(f"Engine: {engine.label}.")
        return engine

    with storage_errors(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
    origin = provenance_of(settings, planned)
    for line in left_behind(settings.out, settings.splits, origin.label_files):
        note(line)
    for (manifest, _), pairs in zip(planned.splits, planned.pairs, strict=True):
        put_pairs(settings.out, manifest.split_rule.split, pairs)
    return [
        _extract_split(
            settings,
            manifest,
            facts,
            planned.spec,
            replace(origin, whole_manifest_sha256=whole),
            planned.away.of(manifest),
            opener,
        )
        for (manifest, facts), whole in zip(planned.splits, planned.whole_sha256, strict=True)
    ]


def provenance_of(settings: Settings, planned: Plan) -> Provenance:
    """Return who makes the files of an extraction, and from what."""
    names = (
        *("aesthetic-heads", "tensorflow", "jax", "keras", "openvino"),
        *("numpy", "pillow", "h5py"),
    )
    return Provenance(
        data_root=kept_name(settings.data.resolve()),
        label_note=read_note(settings.data),
        label_files=planned.label_files,
        weights_origin=planned.weights.origin,
        value_ranges=planned.weights.backbone.value_ranges(settings.engine.layers),
        library_versions=installed_versions(*names),
        created=now(),
    )


def _extract_split(
    settings: Settings,
    manifest: Manifest,
    facts: FileFacts,
    spec: ExtractorSpec,
    origin: Provenance,
    away: Away,
    opener: Callable[[], Engine],
) -> Summary:
    split = manifest.split_rule.split
    path = settings.shard.path(settings.out, split)
    summary = Summary(path, away=away.problems(settings.data, path))
    with storage_errors(path), exclusive(path):
        reuse = settings.reuse_for(split)
        for line in () if reuse.overwrite else changes(path, manifest, origin):
            note(line)
        with working(f"opening {path.name}"):
            writer = open_writer(path, manifest, spec, facts, origin, reuse)
        if writer is None:
            if not summary.problems:
                note(f"{path}: already complete.")
            return summary.count(open_cache(path).counts)
        with writer:
            summary.extracted = len(writer.pending)
            if summary.extracted:
                engine = opener()
                writer.record_engine(engine.label)
                _fill(settings, writer, engine, summary)
            counts = Counter(Status(s) for s in writer.status.tolist())
            settings.failures.check(counts, writer.reasons(), path)
            summary.finished = not away.unread
            if summary.finished:
                with working(f"reading {path.name} back"):
                    writer.finish()
            return summary.count(counts)


def _fill(settings: Settings, writer: CacheWriter, engine: Engine, summary: Summary) -> None:
    """Extract what is pending; look at failures on the way, and sum up the times."""
    cutting = settings.cutting(writer.spec)
    paths, account = writer.manifest.labels.path, Account()
    blocks = extract_blocks(settings.data, paths, writer.pending, cutting, engine, account)
    seen: Counter[Status] = Counter()
    reasons: Counter[str] = Counter()
    start, begun_run, apart = time.process_time(), time.perf_counter(), spent()
    with _bar(settings, writer) as bar:
        for block in blocks:
            _check_folders(settings.data, writer.manifest, block)
            begun = time.perf_counter()
            writer.write(block)
            summary.write += time.perf_counter() - begun
            bar.update(len(block.rows))
            seen.update(Status(s) for s in block.status.tolist())
            reasons.update(block.reasons.values())
            summary.refused.update(block.reasons[row] for row in block.again)
            if seen.total() >= FAILURES_LOOKED_AT_AFTER:
                settings.failures.check(seen, reasons, writer.path)
    summary.wall = time.perf_counter() - begun_run
    summary.decode, summary.engine_busy = account.decode_seconds, account.engine_seconds
    summary.engine, summary.device = engine.label, engine.device
    computing = time.process_time() - start - summary.decode - summary.write
    summary.inference = max(0.0, computing)
    summary.decode += spent() - apart  # in other processes


def _check_folders(data: Path, manifest: Manifest, block: Block) -> None:
    """Tell photographs that are gone or damaged from a whole folder that is away.

    Raises:
        NoPhotographsError: a photograph that was there was not read, and its folder is away.
    """
    for row in (*block.rows[block.status != Status.OK].tolist(), *block.again):
        folder = (data / path_named(str(manifest.labels.path[row]))).parent
        if is_away(folder):
            raise NoPhotographsError(
                f"The folder {folder} has vanished during the run. What is written is kept: "
                "bring the folder back and give the same command again."
            )


def _bar(settings: Settings, writer: CacheWriter) -> Any:
    from tqdm.auto import tqdm

    return tqdm(
        total=len(writer.manifest),
        initial=len(writer.manifest) - len(writer.pending),
        desc=writer.manifest.split_rule.split,
        unit="img",
        disable=not settings.progress,
        smoothing=0.05,
    )
