"""Shards of one split, extracted anywhere, put together: the file that one machine had made.

Checks that the shards fit, that none is missing and none is there twice, and every row's checksum
on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import FormatError, MismatchError, StorageError
from cache.files import (
    check_ending,
    check_output,
    exclusive,
    storage_errors,
    write_text_atomically,
)
from cache.labels import LabelTable, Manifest
from cache.pairs import pairs_path
from cache.rejects import read_rejects
from cache.resume import MARK, Reuse, open_writer
from cache.schema import FileFacts
from cache.store import FeatureCache, open_cache
from cache.text import quoted, shown
from cache.types import SPLITS, IntArray, Status
from cache.writer import Block, CacheWriter, now


def merge(out: Path, shards: Sequence[Path], *, overwrite: bool = False) -> FeatureCache:
    """Write the whole split of which `shards` are all the parts, in any order.

    Raises:
        StorageError: `out` exists and `overwrite` is not set, it does not end in .h5, or the disk
            refuses.
        MismatchError: shards of different splits, extractors or labels; one missing or twice.
        FormatError: a shard is damaged.
        IncompleteCacheError: a shard is not finished.
    """
    if out.exists() and not overwrite:
        raise StorageError(f"{out} exists. Name another file, or give --overwrite.")
    check_output(out, MARK, inputs=shards)
    check_ending(out, ".h5")
    caches = sorted((open_cache(path) for path in shards), key=lambda c: c.split_rule.shard)
    _check(caches)
    _check_name(out, caches[0].split)
    manifest = _whole_manifest(caches)
    facts = FileFacts(
        np.concatenate([cache.facts.size_bytes for cache in caches]),
        np.concatenate([cache.facts.mtime_ns for cache in caches]),
    )
    origin = replace(caches[0].header.provenance, whole_manifest_sha256="", created=now())
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with storage_errors(out), exclusive(out):
        writer = open_writer(out, manifest, caches[0].spec, facts, origin, Reuse(overwrite=True))
        if writer is not None:
            with writer:
                _copy(writer, caches)
                writer.finish()
    _copy_pairs(caches[0], out)
    return open_cache(out)


def _check_name(out: Path, split: str) -> None:
    """Refuse the name that another split's cache has wherever caches are used."""
    if out.stem in SPLITS and out.stem != split:
        raise MismatchError(
            f"{out} would be used as {out.stem}, and the shards are of {split}. Name it {split}.h5."
        )


def _check(caches: Sequence[FeatureCache]) -> None:
    first = caches[0]
    for cache in caches[1:]:
        for name, mine, theirs in first.spec.differences(cache.spec):
            raise MismatchError(
                f"{cache.path} was made by another extractor than {first.path}: its {name} is "
                f"{shown(theirs)}, not {shown(mine)}."
            )
    shards = first.split_rule.shards
    for cache in caches:
        whole = cache.header.provenance.whole_manifest_sha256
        if not whole:
            raise MismatchError(f"{cache.path} is no shard: it holds a whole split.")
        if (whole, cache.split_rule.shards) != (
            first.header.provenance.whole_manifest_sha256,
            shards,
        ):
            raise MismatchError(
                f"{cache.path} and {first.path} are not shards of the same split: labels, split "
                "or number of shards differ. Extract them from the same data and settings."
            )
        if cache.label_note != first.label_note:
            raise MismatchError(
                f"{cache.path} and {first.path} hold different remarks on the labels: "
                f"{quoted(cache.label_note)} and {quoted(first.label_note)}. Give the `extract` "
                "commands of both again; no photograph is read again for that."
            )
    numbers = [cache.split_rule.shard for cache in caches]
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise MismatchError(f"Shard {twice[0]} of {shards} is given twice.")
    missing = sorted(set(range(1, shards + 1)) - set(numbers))
    if missing:
        raise MismatchError(
            f"Of {shards} shards these are missing: {', '.join(map(str, missing))}. Extract each "
            f"with `extract --shard {missing[0]}/{shards}` and name all of them."
        )


def _whole_manifest(caches: Sequence[FeatureCache]) -> Manifest:
    first = caches[0]
    labels = LabelTable.concat([cache.labels for cache in caches])
    manifest = Manifest(labels, replace(first.split_rule, shard=1, shards=1))
    if manifest.sha256 != first.header.provenance.whole_manifest_sha256:
        raise FormatError(
            "The shards' rows do not add up to the split that they were made from; one of them "
            "is damaged. Find it with `cache verify` and extract it again."
        )
    return manifest


def _copy(writer: CacheWriter, caches: Sequence[FeatureCache]) -> None:
    offset = 0
    for cache in caches:
        for engine in cache.header.provenance.engine.split("; "):
            writer.record_engine(engine)
        reasons = read_rejects(cache.path)
        for rows, features in cache.blocks():
            writer.write(_block(cache, rows, features, offset, reasons))
        offset += cache.n_rows


def _copy_pairs(shard: FeatureCache, out: Path) -> None:
    """Copy the comparisons, which lie beside each shard for all of the split."""
    path = pairs_path(shard.path.with_name(f"{shard.split}.h5"))
    if path.exists() and path != pairs_path(out):
        write_text_atomically(pairs_path(out), path.read_text(encoding="utf-8"))


def _block(
    cache: FeatureCache,
    rows: IntArray,
    features: npt.NDArray[Any],
    offset: int,
    reasons: dict[str, str],
) -> Block:
    wrong = cache.wrong_rows(rows, features)
    if len(wrong):
        raise FormatError(
            f"{cache.path} is damaged: row {wrong[0]} has a wrong checksum. Extract this shard "
            "again with --overwrite."
        )
    unreadable = rows[cache.status[rows] == Status.UNREADABLE].tolist()
    return Block(
        rows=rows + offset,
        features=features,
        status=cache.status[rows],
        size=cache.size[rows],
        reasons={
            row + offset: reasons.get(str(cache.labels.image_id[row]), "?") for row in unreadable
        },
    )
