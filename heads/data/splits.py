"""From caches to what heads train on: the rows that hold features, checked against each other.

Owns the choice of rows and the refusal of caches that do not belong together; imports neither
keras nor scikit-learn.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import HeadError, MismatchError, SplitOverlapError
from cache.store import FeatureCache, open_cache
from cache.types import IntArray, TextArray
from heads.data.labels import Labels

SPLITS = ("train", "val", "test")
SHOWN_NAMES = 5


def default_memory_bytes() -> int:
    """Return half of the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class StoredRows:
    """Scattered rows and some views of a memory-map as (n, V, D), read only when sliced.

    Stands in for an array where a copy would not fit into memory: it has `shape`, `ndim`, `dtype`,
    `nbytes`, `len()` and indexing of the first axis by a slice or by row numbers.
    """

    def __init__(self, features: npt.NDArray[Any], rows: IntArray, views: slice | IntArray) -> None:
        self._features = features
        self._rows = rows
        self._views = views
        n_views = features[:1, views].shape[1]
        self.shape = (len(rows), n_views, features.shape[2])
        self.ndim = 3
        self.dtype = features.dtype
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * features.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | IntArray) -> npt.NDArray[Any]:
        return np.asarray(self._features)[self._rows[index]][:, self._views]


Features = npt.NDArray[Any] | StoredRows


@dataclass(frozen=True, eq=False)
class SplitData:
    """The photographs of one split that hold features.

    `X` is (n, V, D), float16 or float32: a memory-map, an array, or `StoredRows`. `labels` has
    the same n rows, `path` (n,) is relative to `cache.data_root`, `rows` (n,) are row numbers in
    the cache. `limit` is how many were asked for at most, None for all; features above
    `memory_bytes` are read from the disk where they are used.
    """

    split: str
    X: Features
    labels: Labels
    path: TextArray
    rows: IntArray
    cache: FeatureCache
    limit: int | None = None
    memory_bytes: int = field(default_factory=default_memory_bytes)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_id(self) -> TextArray:
        """(n,) the photographs' ids."""
        return self.labels.image_id

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of the used rows and their checksums: other features or labels, other text."""
        digest = hashlib.sha256(self.cache.manifest_sha256.encode())
        digest.update(self.rows.astype("<i8").tobytes())
        digest.update(self.cache.crc32[self.rows].astype("<u4").tobytes())
        return digest.hexdigest()


def load_splits(
    features_dir: str | Path,
    splits: Sequence[str] = SPLITS,
    views: Sequence[str] | None = None,
    limit: int | None = None,
    memory_bytes: int | None = None,
) -> dict[str, SplitData]:
    """Open the caches of some splits and take the rows that hold features.

    Args:
        features_dir: the folder with train.h5, val.h5 and test.h5.
        splits: which of them.
        views: names of the views to use; all of the cache's if None.
        limit: use only the first so many rows of train; rows lie in hash order, so the first
            5,000 are part of the first 20,000.
        memory_bytes: features above this size stay on the disk; half of the machine's if None.

    Raises:
        IncompleteCacheError, FormatError: a cache is missing, unfinished or damaged.
        MismatchError: two caches differ in extractor, scale or threshold.
        SplitOverlapError: a photograph or group stands in two splits.
        HeadError: a split has no photograph with features, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise HeadError(f"--limit must be at least 1 photograph; got {limit}.")
    caches = {split: open_cache(Path(features_dir) / f"{split}.h5") for split in splits}
    check_together(caches)
    budget = default_memory_bytes() if memory_bytes is None else memory_bytes
    return {
        split: _split_data(split, cache, views, limit if split == "train" else None, budget)
        for split, cache in caches.items()
    }


def _split_data(
    split: str,
    cache: FeatureCache,
    views: Sequence[str] | None,
    limit: int | None,
    memory_bytes: int,
) -> SplitData:
    rows = cache.ok_rows[:limit]
    if not len(rows):
        raise HeadError(
            f"{cache.path} has no photograph with features among its {cache.n_rows} rows. "
            f"Look at its rejects file and extract the split {split} again."
        )
    return SplitData(
        split=split,
        X=_features(cache, rows, _view_index(cache, views), memory_bytes),
        labels=labels_of(cache, rows),
        path=cache.paths[rows],
        rows=rows,
        cache=cache,
        limit=limit,
        memory_bytes=memory_bytes,
    )


def labels_of(cache: FeatureCache, rows: IntArray) -> Labels:
    """Return the labels of some rows of a cache."""
    return Labels(
        image_id=cache.image_id[rows],
        group=cache.group[rows],
        votes=None if cache.votes is None else cache.votes[rows],
        mean=cache.mean[rows],
        scale=cache.scale,
        threshold=cache.threshold,
        challenge=None if cache.challenge is None else cache.challenge[rows],
    )


def _view_index(cache: FeatureCache, views: Sequence[str] | None) -> slice | IntArray:
    if views is None:
        return slice(None)
    unknown = [name for name in views if name not in cache.view_names]
    if unknown or not views:
        raise HeadError(
            f"{cache.path} has no view {', '.join(unknown) or 'named'}; "
            f"it holds {', '.join(cache.view_names)}."
        )
    return np.array([cache.view_names.index(name) for name in views], np.int64)


def _features(
    cache: FeatureCache, rows: IntArray, views: slice | IntArray, memory_bytes: int
) -> Features:
    """Give a view of the map for one run of rows, a copy if it fits, else rows read on demand."""
    all_views = isinstance(views, slice)
    if all_views and rows[-1] - rows[0] + 1 == len(rows):
        return cache.features[rows[0] : rows[-1] + 1]
    stored = StoredRows(cache.features, rows, views)
    return stored[:] if stored.nbytes <= memory_bytes else stored


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
    differing = [
        *first.spec.differences(second.spec),
        *(
            (name, getattr(first, name), getattr(second, name))
            for name in ("scale", "threshold")
            if getattr(first, name) != getattr(second, name)
        ),
        *_levels_difference(first, second),
    ]
    for name, mine, theirs in differing:
        raise MismatchError(
            f"{first.path} and {second.path} cannot be used together: their {name} differs, "
            f"{mine!r} and {theirs!r}. Extract both with the same settings."
        )


def _levels_difference(first: FeatureCache, second: FeatureCache) -> list[tuple[str, int, int]]:
    mine, theirs = (0 if c.votes is None else c.votes.shape[1] for c in (first, second))
    return [("number of vote levels", mine, theirs)] if mine != theirs else []


def _check_disjoint(first: FeatureCache, second: FeatureCache) -> None:
    for kind, name in (("photograph", "image_id"), ("group", "group")):
        shared = np.intersect1d(getattr(first, name), getattr(second, name))
        shared = shared[shared != ""]
        if len(shared):
            shown = ", ".join(shared[:SHOWN_NAMES].tolist())
            more = ", ..." if len(shared) > SHOWN_NAMES else ""
            raise SplitOverlapError(
                f"{first.path} and {second.path} have {len(shared)} of their {kind}s in common: "
                f"{shown}{more}. Extract all splits in one run (`extract --split all`), "
                "so that every photograph has one split."
            )
