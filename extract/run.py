"""One extraction: from labels to a finished cache, resumable at every moment.

Owns the order of things: read labels, split, plan, open the engine only if there is work, fill
the cache, say where the time went.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.console import note
from cache.errors import LabelError, NoPhotographsError, TooManyFailuresError
from cache.files import exclusive, storage_errors
from cache.rejects import rejects_path
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.store import PARTIAL, open_cache, partial_path
from cache.types import ExtractorSpec, Manifest, Status
from cache.writer import Block, CacheWriter, now
from extract.engines import Engine, EngineSettings, open_engine, resolved_precision
from extract.images import MAX_PIXELS
from extract.labels import LABELS_FILE, SPLITS, Labels, file_facts, read_labels_csv, read_note
from extract.pipeline import Account, Cutting, extract_blocks
from extract.preprocess import CROP, DECODE, INTERPOLATION, RESIZE, views
from extract.splits import SplitSettings, make_manifest
from extract.weights import Weights, find_weights

BACKBONE = "mobilenet_v2_1.0_224"
FAILURES_LOOKED_AT_AFTER = 200
REASONS_SHOWN = 4


@dataclass(frozen=True)
class FailurePolicy:
    """How many photographs may be unreadable before a run ends with an error."""

    max_rate: float = 0.05
    count_missing: bool = False

    def check(self, counts: Counter[Status], reasons: Counter[str], path: Path) -> None:
        """Compare the share of failures with what is allowed.

        Raises:
            TooManyFailuresError: more; the message counts the reasons.
        """
        failed = counts[Status.UNREADABLE]
        if self.count_missing:
            failed += counts[Status.MISSING]
        total = failed + counts[Status.OK]
        if total == 0 or failed / total <= self.max_rate:
            return
        shown = "; ".join(f"{n:,} x {text}" for text, n in reasons.most_common(REASONS_SHOWN))
        raise TooManyFailuresError(
            f"{failed:,} of {total:,} photographs failed, more than --max-failure-rate "
            f"{self.max_rate:g} allows ({shown}). The work so far is kept in "
            f"{partial_path(path)}; mend the photographs and give the same command with "
            "--retry-failed, or allow a higher rate."
        )


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` equal parts of a split: consecutive rows."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise LabelError(f"--shard {self.number}/{self.count}: expected i/n with 1 <= i <= n.")

    def path(self, out: Path, split: str) -> Path:
        """Return the file that holds this part of a split."""
        if self.count == 1:
            return out / f"{split}.h5"
        return out / f"{split}.shard-{self.number}-of-{self.count}.h5"

    def cut(self, manifest: Manifest, facts: FileFacts) -> tuple[Manifest, FileFacts]:
        """Return this part's rows.

        Raises:
            LabelError: there are fewer rows than parts.
        """
        if self.count == 1:
            return manifest, facts
        if len(manifest) < self.count:
            raise LabelError(f"{len(manifest)} photographs cannot be cut into {self.count} shards.")
        start = len(manifest) * (self.number - 1) // self.count
        rows = slice(start, len(manifest) * self.number // self.count)
        rule = replace(manifest.split_rule, shard=self.number, shards=self.count)
        part = manifest.take(rows, rule)
        return part, FileFacts(facts.size_bytes[rows], facts.mtime_ns[rows])


@dataclass(frozen=True)
class Settings:
    """Everything that one `extract` command decides."""

    data: Path
    out: Path
    splits: tuple[str, ...] = SPLITS
    split: SplitSettings = field(default_factory=SplitSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    reuse: Reuse = field(default_factory=Reuse)
    failures: FailurePolicy = field(default_factory=FailurePolicy)
    weights: str = "auto"
    views: str = "center"
    dtype: str = "float16"
    max_pixels: int = MAX_PIXELS
    shard: Shard = field(default_factory=Shard)
    progress: bool = False


@dataclass(frozen=True)
class Summary:
    """What became of one split: counts of photographs, and where the time went, in seconds.

    `decode` and `inference` are processor seconds over all cores; `write` and `wall` are by the
    clock, without opening the engine. `extracted` counts what this run computed.
    """

    path: Path
    ok: int
    missing: int
    unreadable: int
    extracted: int
    decode: float
    inference: float
    write: float
    wall: float
    engine: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**self.__dict__, "path": str(self.path)}


def whole_name(manifest: Manifest) -> str:
    """Return the name of the file that holds a whole split."""
    return f"{manifest.split_rule.split}.h5"


OpenEngine = Callable[[EngineSettings, Weights], Engine]


def read_labels(data: Path) -> Labels:
    """Read the labels of a folder: AVA.txt, or labels.csv.

    Raises:
        LabelError: neither is there, or both, or the file is not right.
    """
    from extract.ava import LABELS_FILE as AVA_FILE
    from extract.ava import read_ava

    is_ava, is_csv = (data / AVA_FILE).is_file(), (data / LABELS_FILE).is_file()
    if is_ava and is_csv:
        raise LabelError(
            f"{data} holds both {AVA_FILE} and {LABELS_FILE}; move one of them away, so that it "
            "is clear which votes are meant."
        )
    if not is_ava and not is_csv:
        raise LabelError(
            f"{data} holds neither {AVA_FILE} (the AVA dataset as released) nor {LABELS_FILE} "
            "(your own photographs: a column `file`, and votes r1..rK or mean, scale_min, "
            "scale_max). Name the folder with --data."
        )
    labels = read_ava(data) if is_ava else read_labels_csv(data)
    if labels.bad.count:
        note(labels.bad.summary(labels.source))
    return labels


def make_spec(settings: Settings, weights: Weights) -> ExtractorSpec:
    """Return the description of the extractor that the settings name; its hash fingerprints."""
    from extract.layers import layer_slices

    return ExtractorSpec(
        backbone=BACKBONE,
        weights_sha256=weights.sha256,
        scaling=weights.scaling,
        decode=DECODE,
        resize=RESIZE,
        crop=CROP,
        interpolation=INTERPOLATION,
        views=tuple(view.name for view in views(settings.views)),
        layers=layer_slices(settings.engine.layers),
        precision=resolved_precision(settings.engine.precision),
        dtype=settings.dtype,
    )


def wanted_weights(settings: Settings) -> Weights:
    """Find the weights; `auto` prefers those that a cache in the same folder was made with."""
    wanted = None
    if settings.weights == "auto" and not settings.reuse.overwrite:
        for path in _neighbours(settings.out):
            wanted = wanted or open_cache_header(path)
    return find_weights(settings.weights, wanted)


def _neighbours(out: Path) -> list[Path]:
    """List the caches in a folder: of all splits and their shards, unfinished ones first."""
    endings = ("h5" + PARTIAL, "h5")
    found = [out.glob(f"{split}.*{ending}") for split in SPLITS for ending in endings]
    return [path for paths in found for path in sorted(paths)]


def open_cache_header(path: Path) -> str:
    """Return the SHA-256 of the weights that a cache, finished or not, was made with."""
    return open_cache(path, allow_partial=True).spec.weights_sha256


@dataclass(frozen=True, eq=False)
class Plan:
    """Labels read, split and matched with files: what an extraction is about to do.

    `whole_sha256` names, for each of `splits`, the manifest that a shard is a part of, or ''.
    """

    weights: Weights
    spec: ExtractorSpec
    splits: tuple[tuple[Manifest, FileFacts], ...]
    whole_sha256: tuple[str, ...]


def plan(settings: Settings) -> Plan:
    """Read labels, look for every photograph and split them.

    Raises:
        LabelError, NoPhotographsError, WeightsError: what is needed is not there.
    """
    labels = read_labels(settings.data)
    facts = file_facts(settings.data, labels.path)
    if facts.missing.all():
        raise NoPhotographsError(
            f"None of the {len(labels):,} labelled photographs was found below {settings.data} "
            f"(looked for {labels.path[0]}, for one). Put them into {settings.data}/images."
        )
    note(_found(labels, facts, settings.data))
    weights = wanted_weights(settings)
    note(f"Weights: {weights.origin}.")
    splits = [make_manifest(labels, facts, name, settings.split) for name in settings.splits]
    whole = tuple(manifest.sha256 if settings.shard.count > 1 else "" for manifest, _ in splits)
    parts = tuple(settings.shard.cut(*split) for split in splits)
    return Plan(weights, make_spec(settings, weights), parts, whole)


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


def _found(labels: Labels, facts: FileFacts, data: Path) -> str:
    """Say how many labelled photographs are there, and how many are missing."""
    missing = int(facts.missing.sum())
    line = f"{labels.source}: {len(labels):,} labelled photographs, {len(labels) - missing:,} found"
    if missing:
        line += f", {missing:,} missing below {data}"
    return line + "."


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
    names = ("aesthetic-heads", "tensorflow", "keras", "openvino", "numpy", "pillow", "h5py")
    return Provenance(
        data_root=str(settings.data.resolve()),
        label_note=read_note(settings.data),
        weights_origin=weights.origin,
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
            return _summary(path, cache.status, 0, _Clock(), "none needed")
        with writer:
            clock, engine_label, n_pending = _Clock(), "none needed", len(writer.pending)
            if n_pending:
                engine = opener()
                engine_label = engine.label
                writer.record_engine(engine_label)
                clock = _fill(settings, writer, engine)
            counts = Counter(Status(s) for s in writer.status.tolist())
            settings.failures.check(counts, writer.reasons(), path)
            writer.finish()
            return _summary(path, writer.status, n_pending, clock, engine_label)


@dataclass
class _Clock:
    """Seconds of one split's extraction; `fill` by the clock, without opening the engine."""

    decode: float = 0.0
    inference: float = 0.0
    write: float = 0.0
    fill: float = 0.0


def _fill(settings: Settings, writer: CacheWriter, engine: Engine) -> _Clock:
    """Extract what is pending; look at failures on the way."""
    cutting = Cutting(views(settings.views), settings.engine.cores, settings.max_pixels)
    pending, account, clock = writer.pending, Account(), _Clock()
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
    clock.decode = account.decode_seconds
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


def _summary(path: Path, status: np.ndarray, extracted: int, clock: _Clock, engine: str) -> Summary:
    return Summary(
        path=path,
        ok=int((status == Status.OK).sum()),
        missing=int((status == Status.MISSING).sum()),
        unreadable=int((status == Status.UNREADABLE).sum()),
        extracted=extracted,
        decode=clock.decode,
        inference=clock.inference,
        write=clock.write,
        wall=clock.fill,
        engine=engine,
    )


def describe(summary: Summary, cores: int) -> str:
    """Return the closing line of a split: what there is, how fast, and what the time went into."""
    noun = "photograph" if summary.ok == 1 else "photographs"
    parts = [f"{summary.path}: {summary.ok:,} {noun}"]
    if summary.missing:
        parts.append(f"{summary.missing:,} missing")
    if summary.unreadable:
        parts.append(f"{summary.unreadable:,} unreadable")
    if summary.missing or summary.unreadable:
        parts.append(f"listed in {rejects_path(summary.path).name}")
    line = ", ".join(parts)
    if not summary.extracted:
        return f"{line}; nothing to do, no photograph was decoded."
    rate = summary.extracted / max(summary.wall, 1e-9)
    shares = {
        "decode": summary.decode / cores,
        "inference": summary.inference / cores,
        "write": summary.write,
    }
    return (
        f"{line}; {summary.extracted:,} extracted in {summary.wall:.1f} s ({rate:.0f} img/s): "
        f"decode {summary.decode:.1f} and inference {summary.inference:.1f} core-seconds on "
        f"{cores} cores, write {summary.write:.1f} s; bound by "
        f"{max(shares, key=shares.__getitem__)}."
    )
