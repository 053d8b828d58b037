"""What an extraction is about to do: labels read, split, matched with files, weights found.

Reads labels and looks for files; decodes no photograph and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cache.console import note, working
from cache.errors import LabelError, NoPhotographsError
from cache.labels import Manifest
from cache.resume import pending_rows
from cache.schema import FileFacts
from cache.store import PARTIAL, open_cache
from cache.types import SPLITS, ExtractorSpec, SplitKind, SplitRule
from extract.api import spec_of
from extract.backbones.registry import find_backbone
from extract.backbones.weights import Weights, find_weights
from extract.images.resizing import find_interpolation
from extract.labels.pairs import pairs_within
from extract.labels.records import FolderLabels, file_facts
from extract.labels.sources import read_labels
from extract.labels.splits import make_manifests, unused_fractions
from extract.run.away import Away, held, settle, unkept
from extract.run.changes import finished
from extract.run.settings import Settings, Shard


@dataclass(frozen=True, eq=False)
class Plan:
    """Labels read, split and matched with files: what an extraction is about to do.

    `whole_sha256` names, for each of `splits`, the manifest that a shard is a part of, or ''.
    What was read earlier and is `away` now has the facts of then. `pairs` are the comparisons of
    each whole split, None without any file of them; `label_files` as `FolderLabels`.
    """

    weights: Weights
    spec: ExtractorSpec
    splits: tuple[tuple[Manifest, FileFacts], ...]
    whole_sha256: tuple[str, ...]
    away: Away
    pairs: tuple[list[tuple[str, str]] | None, ...]
    label_files: dict[str, str]


@working("reading labels and looking for photographs")
def plan(settings: Settings) -> Plan:
    """Read labels, look for every photograph and split them.

    Raises:
        LabelError, NoPhotographsError, WeightsError: what is needed is not there.
    """
    labels = read_labels(settings.data, settings.labels, settings.scale)
    facts = file_facts(settings.data, labels.table.path)
    if facts.missing.all():
        raise NoPhotographsError(
            f"None of the {len(labels):,} labelled photographs was found below {settings.data} "
            f"(looked for {labels.table.path[0]}, for one). Put them into {settings.data}/images."
        )
    before = held(_files(settings), labels.table, facts)
    table, facts, away = settle(
        settings.data, labels.table, facts, before, anew=settings.reuse.overwrite
    )
    labels = replace(labels, table=table)
    note(_found(labels, facts, away, settings.data))
    weights = wanted_weights(settings)
    note(f"Weights: {weights.origin}.")
    splits = make_manifests(labels, facts, settings.splits, settings.split)
    rule = splits[0][0].split_rule
    _check_official(settings, rule)
    if rule.kind is SplitKind.COLUMN_WITHOUT_VAL:
        note(
            f"The split column names no val: {rule.val_fraction:.0%} of its train is taken for it, "
            "by hash (--val-fraction)."
        )
    for flag in unused_fractions(settings.split, rule.kind):
        note(f"{flag} has no effect here: the photographs are split by {rule.rule}.")
    whole = tuple(manifest.sha256 if settings.shard.count > 1 else "" for manifest, _ in splits)
    pairs = tuple(pairs_within(labels, manifest) for manifest, _ in splits)
    spec, parts = make_spec(settings, weights), []
    for manifest, facts in (settings.shard.cut(*split) for split in splits):
        if away.of(manifest).read:
            split = manifest.split_rule.split
            path, reuse = settings.shard.path(settings.out, split), settings.reuse_for(split)
            pending = pending_rows(path, manifest, spec, facts, reuse)
            facts, away = unkept(manifest, facts, away, pending)
        parts.append((manifest, facts))
    return Plan(weights, spec, tuple(parts), whole, away, pairs, labels.files)


def _files(settings: Settings) -> list[Path]:
    """List the files whose rows count as read: of each split or its shard, then of the whole."""
    shards = dict.fromkeys((settings.shard, Shard()))
    return [shard.path(settings.out, split) for shard in shards for split in settings.splits]


def _check_official(settings: Settings, rule: SplitRule) -> None:
    """Refuse to split by hash what a finished file split by an official list, which is away now.

    Raises:
        LabelError: it is.
    """
    if rule.kind is not SplitKind.HASH or settings.reuse.overwrite:
        return
    for path in _files(settings):
        earlier = finished(path)
        if earlier is not None and earlier.split_rule.kind is SplitKind.OFFICIAL:
            raise LabelError(
                f"{path} was split by the official test list, which is not in {settings.data} any "
                "more. Bring it back; --overwrite splits all photographs anew, by hash."
            )


def _found(labels: FolderLabels, facts: FileFacts, away: Away, data: Path) -> str:
    """Say how many labelled photographs are there, how many are missing and how many away."""
    n_away = len(away.read) + len(away.unread)
    missing = int(facts.missing.sum()) - len(away.unread)
    found = len(labels) - missing - n_away
    line = f"{labels.source}: {len(labels):,} labelled photographs, {found:,} found"
    if missing:
        line += f", {missing:,} missing below {data}"
    if n_away:
        line += f", {n_away:,} in folders that are away"
    return line + "."


def make_spec(settings: Settings, weights: Weights) -> ExtractorSpec:
    """Return the description of the extractor that the settings name; its hash fingerprints."""
    chosen, interpolation = settings.engine, _interpolation(settings)
    return spec_of(
        weights, interpolation, settings.views, chosen.layers, chosen.precision, settings.dtype
    )


def wanted_weights(settings: Settings) -> Weights:
    """Find the weights; `auto` prefers those that a cache in the same folder was made with."""
    wanted = None
    if settings.weights == "auto" and (spec := _neighbours_spec(settings)):
        wanted = spec.weights_sha256
    return find_weights(find_backbone(settings.backbone), settings.weights, wanted)


def _interpolation(settings: Settings) -> str:
    """Say who resizes; `auto` prefers who did for a cache in the same folder."""
    wanted = None
    if settings.resizer == "auto" and (spec := _neighbours_spec(settings)):
        wanted = spec.interpolation
    return find_interpolation(settings.resizer, wanted)


def _neighbours_spec(settings: Settings) -> ExtractorSpec | None:
    """Return the extractor of a cache in the same folder that is not to be replaced, if any is."""
    if settings.reuse.overwrite:
        return None
    neighbour = next(iter(_neighbours(settings.out)), None)
    return None if neighbour is None else open_cache(neighbour, allow_partial=True).spec


def _neighbours(out: Path) -> list[Path]:
    """List the caches in a folder: of all splits and their shards, unfinished ones first."""
    endings = ("h5" + PARTIAL, "h5")
    found = [out.glob(f"{split}.*{ending}") for split in SPLITS for ending in endings]
    return [path for paths in found for path in sorted(paths)]
