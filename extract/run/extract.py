"""One extraction: from a plan to finished caches, resumable at every moment.

Owns the order of things: open the engine only if there is work, fill each split's cache, look at
failures on the way, say where the time went.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.console import note
from cache.errors import NoPhotographsError
from cache.files import exclusive, storage_errors
from cache.resume import open_writer
from cache.schema import FileFacts, Provenance
from cache.store import open_cache
from cache.types import ExtractorSpec, Manifest, Status
from cache.writer import Block, CacheWriter, now
from extract.backbones.engines import Engine, OpenEngine, open_engine
from extract.backbones.weights import Weights
from extract.images.views import views
from extract.labels.records import read_note
from extract.run.plan import plan
from extract.run.settings import Settings, whole_name
from extract.run.summary import Clock, Summary, summarise
from extract.stream import Account, Cutting, extract_blocks

FAILURES_LOOKED_AT_AFTER = 200


def extract(settings: Settings, open_engine_: OpenEngine = open_engine) -> list[Summary]:
    """Extract every split that the settings name; what is there already is not done again.

    Raises:
        AestheticError: any problem that the user can mend; the work so far is kept.
    """
    planned = plan(settings)
    opener = _Once(lambda: open_engine_(settings.engine, planned.weights))
    with storage_errors(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
    origin = _provenance(settings, planned.weights)
    return [
        _extract_split(
            settings,
            manifest,
            facts,
            planned.spec,
            replace(origin, whole_manifest_sha256=whole),
            opener,
        )
        for (manifest, facts), whole in zip(planned.splits, planned.whole_sha256, strict=True)
    ]


class _Once:
    """Opens the engine when it is first needed, and says so."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None

    def __call__(self) -> Engine:
        if self._engine is None:
            note("Opening the engine ...")
            self._engine = self._make()
            note(f"Engine: {self._engine.label}.")
        return self._engine


def _provenance(settings: Settings, weights: Weights) -> Provenance:
    names = (
        *("aesthetic-heads", "tensorflow", "jax", "keras", "openvino"),
        *("numpy", "pillow", "h5py"),
    )
    return Provenance(
        data_root=str(settings.data.resolve()),
        label_note=read_note(settings.data),
        weights_origin=weights.origin,
        value_ranges=weights.backbone.value_ranges(settings.engine.layers),
        library_versions={name: _version(name) for name in names},
        created=now(),
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _extract_split(
    settings: Settings,
    manifest: Manifest,
    facts: FileFacts,
    spec: ExtractorSpec,
    origin: Provenance,
    opener: _Once,
) -> Summary:
    path = settings.shard.path(settings.out, manifest.split_rule.split)
    with storage_errors(path), exclusive(path):
        # A shard takes what an earlier file of the whole split already holds.
        reuse = replace(settings.reuse, donors=(settings.out / whole_name(manifest),))
        writer = open_writer(path, manifest, spec, facts, origin, reuse)
        if writer is None:
            cache = open_cache(path)
            note(f"{path}: already complete.")
            return summarise(path, cache.status, 0, Clock(), "none needed")
        with writer:
            clock, engine_label, n_pending = Clock(), "none needed", len(writer.pending)
            if n_pending:
                engine = opener()
                engine_label = engine.label
                writer.record_engine(engine_label)
                clock = _fill(settings, writer, engine)
            counts = Counter(Status(s) for s in writer.status.tolist())
            settings.failures.check(counts, writer.reasons(), path)
            writer.finish()
            return summarise(path, writer.status, n_pending, clock, engine_label)


def _fill(settings: Settings, writer: CacheWriter, engine: Engine) -> Clock:
    """Extract what is pending; look at failures on the way."""
    cutting = Cutting(views(settings.views), settings.engine.cores, settings.max_pixels)
    pending, account, clock = writer.pending, Account(), Clock()
    blocks = extract_blocks(settings.data, writer.manifest.path, pending, cutting, engine, account)
    seen: Counter[Status] = Counter()
    reasons: Counter[str] = Counter()
    start, begun_run = time.process_time(), time.perf_counter()
    with _bar(settings, writer) as bar:
        for block in blocks:
            _check_folders(settings.data, writer.manifest, block)
            begun = time.perf_counter()
            writer.write(block)
            clock.write += time.perf_counter() - begun
            bar.update(len(block.rows))
            seen.update(Status(s) for s in block.status.tolist())
            reasons.update(block.reasons.values())
            if seen.total() >= FAILURES_LOOKED_AT_AFTER:
                settings.failures.check(seen, reasons, writer.path)
    clock.fill = time.perf_counter() - begun_run
    clock.decode, clock.engine = account.decode_seconds, account.engine_seconds
    clock.device = engine.device
    clock.inference = max(0.0, time.process_time() - start - clock.decode - clock.write)
    return clock


def _check_folders(data: Path, manifest: Manifest, block: Block) -> None:
    """Tell photographs that are gone from a whole folder that is gone, such as a network's.

    Raises:
        NoPhotographsError: a photograph is missing that was there, and so is its folder.
    """
    for row in block.rows[block.status == Status.MISSING].tolist():
        folder = (data / str(manifest.path[row])).parent
        if not folder.is_dir():
            raise NoPhotographsError(
                f"The folder {folder} has vanished during the run. What is written is kept: "
                "bring the folder back and give the same command again."
            )


def _bar(settings: Settings, writer: CacheWriter) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=len(writer.manifest),
        initial=len(writer.manifest) - len(writer.pending),
        desc=writer.manifest.split_rule.split,
        unit="img",
        disable=not settings.progress,
        smoothing=0.05,
    )
