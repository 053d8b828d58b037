"""From caches to what heads train on: the rows that hold features, checked against each other.

Owns the choice of rows and the refusal of caches that do not belong together; imports neither
keras nor scikit-learn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from cache.console import note
from cache.errors import MismatchError
from cache.places import changed_labels
from cache.store import FeatureCache, open_cache
from cache.types import IntArray
from heads.data.features import FeatureRows, StoredRows, memory_budget
from heads.data.labels import Labels
from heads.errors import HeadError, SplitOverlapError

SPLITS = ("train", "val", "test")
SHOWN_NAMES = 5


@dataclass(frozen=True, eq=False)
class SplitData:
    """The photographs of one split that hold features.

    `X` is (n, V, D), float16 or float32, and knows its memory budget. `labels` has the same n rows,
    with paths relative to `cache.data_root`; `rows` (n,) are row numbers in the cache; `limit` is
    how many were asked for at most, None for all.
    """

    split: str
    X: FeatureRows
    labels: Labels
    rows: IntArray
    cache: FeatureCache
    limit: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of the used rows and their checksums: other features or labels, other text.

        The rows matched their checksums when the split was loaded, so it is that of what was read.
        """
        digest = hashlib.sha256(self.cache.manifest_sha256.encode())
        digest.update(self.rows.astype("<i8").tobytes())
        digest.update(self.cache.crc32[self.rows].astype("<u4").tobytes())
        return digest.hexdigest()


def load_splits(
    features_dir: str | Path,
    splits: Sequence[str] = SPLITS,
    limit: int | None = None,
    memory_bytes: int | None = None,
) -> dict[str, SplitData]:
    """Open the caches of some splits and take the rows that hold features.

    Args:
        features_dir: the folder with train.h5, val.h5 and test.h5.
        splits: which of them.
        limit: use only the first so many rows of train; rows lie in hash order, so the first
            5,000 are part of the first 20,000.
        memory_bytes: features above this size stay on the disk; half of the machine's if None.

    Raises:
        IncompleteCacheError, FormatError: a cache is missing, unfinished or damaged (every row of
            each is compared with its checksum).
        MismatchError: two caches differ in extractor, scale or threshold.
        SplitOverlapError: a photograph or group stands in two splits.
        HeadError: a split has no photograph with features, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise HeadError(f"--limit must be at least 1 photograph; got {limit}.")
    caches = {split: open_cache(Path(features_dir) / f"{split}.h5") for split in splits}
    check_together(caches)
    for line in changed_labels(caches.values()):
        note(line)
    return {
        split: _split_data(split, cache, limit if split == "train" else None, memory_bytes)
        for split, cache in caches.items()
    }


def with_limit(data: Mapping[str, SplitData], limit: int) -> dict[str, SplitData]:
    """Return loaded splits with the first so many rows of train, read from the files as opened."""
    train = data["train"]
    first = _split_data("train", train.cache, limit, memory_budget(train.X))
    return {**data, "train": first}


def _split_data(
    split: str, cache: FeatureCache, limit: int | None, memory_bytes: int | None
) -> SplitData:
    cache.check_rows()
    rows = cache.ok_rows[:limit]
    if not len(rows):
        raise HeadError(
            f"{cache.path} has no photograph with features among its {cache.n_rows} rows. "
            f"Look at its rejects file and extract the split {split} again."
        )
    return SplitData(
        split=split,
        X=_features(cache, rows, memory_bytes),
        labels=labels_of(cache, rows),
        rows=rows,
        cache=cache,
        limit=limit,
    )


def labels_of(cache: FeatureCache, rows: IntArray) -> Labels:
    """Return the labels of some rows of a cache."""
    return Labels.of(cache.labels.take(rows))


def _features(cache: FeatureCache, rows: IntArray, memory_bytes: int | None) -> FeatureRows:
    """Give the map itself for one run of rows, a copy if it fits, else rows read on demand."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return StoredRows(cache.features[rows[0] : rows[-1] + 1], memory_bytes=memory_bytes)
    return StoredRows(cache.features, rows, memory_bytes).held()


# --- caches that are used together ----------------------------------------------------------------


def check_together(caches: Mapping[str, FeatureCache]) -> None:
    """Refuse caches that were made differently or share photographs.

    Raises:
        MismatchError: they differ in extractor, scale or threshold; the message names the field.
        SplitOverlapError: an id or a group stands in two of them; the message names some.
    """
    for first, second in combinations(caches.values(), 2):
        _check_same_making(first, second)
        _check_disjoint(first, second)


def _check_same_making(first: FeatureCache, second: FeatureCache) -> None:
    labels = (
        ("scale", first.scale, second.scale),
        ("threshold", first.threshold, second.threshold),
        ("number of vote levels", first.labels.levels, second.labels.levels),
    )
    for name, mine, theirs in (*first.spec.differences(second.spec), *labels):
        if mine != theirs:
            raise MismatchError(
                f"{first.path} and {second.path} cannot be used together: their {name} differs, "
                f"{mine!r} and {theirs!r}. Extract both with the same settings."
            )


def _check_disjoint(first: FeatureCache, second: FeatureCache) -> None:
    for kind, name in (("photograph", "image_id"), ("group", "group")):
        shared = np.intersect1d(getattr(first.labels, name), getattr(second.labels, name))
        shared = shared[shared != ""]
        if len(shared):
            shown = ", ".join(shared[:SHOWN_NAMES].tolist())
            more = ", ..." if len(shared) > SHOWN_NAMES else ""
            raise SplitOverlapError(
                f"{first.path} and {second.path} have {len(shared)} of their {kind}s in common: "
                f"{shown}{more}. Extract all splits in one run (`extract --split all`), "
                "so that every photograph has one split."
            )
