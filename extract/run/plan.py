"""What an extraction is about to do: labels read, split, matched with files, weights found.

Reads labels and looks for files; decodes no photograph and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.console import note
from cache.errors import LabelError, NoPhotographsError
from cache.schema import FileFacts
from cache.store import PARTIAL, open_cache
from cache.types import ExtractorSpec, Manifest, SplitKind
from extract.backbones.engines import resolved_precision
from extract.backbones.registry import find_backbone
from extract.backbones.weights import Weights, find_weights
from extract.images.views import CROP, DECODE, INTERPOLATION, RESIZE, views
from extract.labels.ava import LABELS_FILE as AVA_FILE
from extract.labels.ava import read_ava
from extract.labels.csv import LABELS_FILE as CSV_FILE
from extract.labels.csv import read_labels_csv
from extract.labels.records import SPLITS, Labels, file_facts
from extract.labels.splits import make_manifests, unused_fractions
from extract.run.settings import Settings


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
    splits = make_manifests(labels, facts, settings.splits, settings.split)
    rule = splits[0][0].split_rule
    if rule.kind is SplitKind.COLUMN_WITHOUT_VAL:
        note(
            f"The split column names no val: {rule.val_fraction:.0%} of its train is taken for it, "
            "by hash (--val-fraction)."
        )
    for flag in unused_fractions(settings.split, rule.kind):
        note(f"{flag} has no effect here: the photographs are split by {rule.rule}.")
    whole = tuple(manifest.sha256 if settings.shard.count > 1 else "" for manifest, _ in splits)
    parts = tuple(settings.shard.cut(*split) for split in splits)
    return Plan(weights, make_spec(settings, weights), parts, whole)


def _found(labels: Labels, facts: FileFacts, data: Path) -> str:
    """Say how many labelled photographs are there, and how many are missing."""
    missing = int(facts.missing.sum())
    line = f"{labels.source}: {len(labels):,} labelled photographs, {len(labels) - missing:,} found"
    if missing:
        line += f", {missing:,} missing below {data}"
    return line + "."


def read_labels(data: Path) -> Labels:
    """Read the labels of a folder: AVA.txt, or labels.csv.

    Raises:
        LabelError: neither is there, or both, or the file is not right or cannot be read.
    """
    is_ava, is_csv = (data / AVA_FILE).is_file(), (data / CSV_FILE).is_file()
    if is_ava and is_csv:
        raise LabelError(
            f"{data} holds both {AVA_FILE} and {CSV_FILE}; move one of them away, so that it "
            "is clear which votes are meant."
        )
    if not is_ava and not is_csv:
        raise LabelError(
            f"{data} holds neither {AVA_FILE} (the AVA dataset as released) nor {CSV_FILE} "
            "(your own photographs: a column `file`, and votes r1..rK or mean, scale_min, "
            "scale_max). Name the folder with --data."
        )
    try:
        labels = read_ava(data) if is_ava else read_labels_csv(data)
    except OSError as error:
        raise LabelError(
            f"The labels in {data} cannot be read: {error}. Give yourself the right to read the "
            "folder and its files, or see whether its disk is there."
        ) from None
    if labels.bad.count:
        note(labels.bad.summary(labels.source))
    return labels


def make_spec(settings: Settings, weights: Weights) -> ExtractorSpec:
    """Return the description of the extractor that the settings name; its hash fingerprints."""
    return ExtractorSpec(
        backbone=weights.backbone.name,
        weights_sha256=weights.sha256,
        scaling=weights.scaling,
        decode=DECODE,
        resize=RESIZE,
        crop=CROP,
        interpolation=INTERPOLATION,
        views=tuple(view.name for view in views(settings.views)),
        layers=weights.backbone.layer_slices(settings.engine.layers),
        precision=resolved_precision(settings.engine.precision),
        dtype=settings.dtype,
    )


def wanted_weights(settings: Settings) -> Weights:
    """Find the weights; `auto` prefers those that a cache in the same folder was made with."""
    wanted = None
    if settings.weights == "auto" and not settings.reuse.overwrite:
        for path in _neighbours(settings.out):
            wanted = wanted or _weights_sha256(path)
    return find_weights(find_backbone(settings.backbone), settings.weights, wanted)


def _neighbours(out: Path) -> list[Path]:
    """List the caches in a folder: of all splits and their shards, unfinished ones first."""
    endings = ("h5" + PARTIAL, "h5")
    found = [out.glob(f"{split}.*{ending}") for split in SPLITS for ending in endings]
    return [path for paths in found for path in sorted(paths)]


def _weights_sha256(path: Path) -> str:
    """Return the SHA-256 of the weights that a cache, finished or not, was made with."""
    return open_cache(path, allow_partial=True).spec.weights_sha256
