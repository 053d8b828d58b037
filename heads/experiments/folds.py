"""Cross-validation: photographs in K folds, each predicted by a head that never saw it.

Owns the pooling of splits, the folding and the joined predictions; groups stay together. The files
are in `heads.experiments.crossval`. Imports neither keras nor scikit-learn: heads are made by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from cache.console import bar, note
from cache.types import ExtractorSpec, FloatArray, IntArray, SplitKind
from heads.data.features import FeatureRows, JoinedRows
from heads.data.labels import Labels, clusters
from heads.data.predictions import Prediction
from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.experiments.contests import Cost
from heads.metrics.conformal import Intervals, bounded
from heads.models.base import About
from heads.models.neural.settings import layer_widths
from heads.models.registry import HeadEntry, Settings, find_head
from heads.runs.files import model_bytes

VAL_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Pool:
    """The photographs that are folded: n of them, from `splits`.

    `rows` are what is used of their features, `columns` that part of each photograph's; `extractor`
    made them. `metadata` is (n, 1, 6), see `heads.data.metadata`.
    """

    splits: tuple[str, ...]
    rows: JoinedRows
    columns: slice
    metadata: FloatArray
    labels: Labels
    extractor: ExtractorSpec

    @property
    def n_views(self) -> int:
        """Views that are used."""
        return self.rows.shape[1]

    @property
    def widths(self) -> tuple[int, ...]:
        """Features that are used, of each layer; of one layer or a part of all."""
        if self.columns == slice(None):
            return layer_widths(self.extractor.layers)
        return (self.n_features,)

    @property
    def n_features(self) -> int:
        """Features that are used."""
        return self.rows.shape[2]

    def features(self, rows: IntArray) -> FeatureRows:
        """Return some rows: in memory if they fit, else to be read on demand."""
        return self.rows.take(rows).held()

    def of_last_layer(self) -> Pool | None:
        """Return the same photographs with the last of several layers; None where that is all."""
        if len(self.widths) < 2:
            return None
        columns = self.extractor.layer_slice(self.extractor.layers[-1][0])
        return replace(self, rows=self.rows.of_columns(columns), columns=columns)

    def given(self, about: About, rows: IntArray) -> FeatureRows:
        """Return what a head is given of some rows: features, or metadata."""
        return self.metadata[rows] if about.looks_at_metadata else self.features(rows)


def pooled(data: Mapping[str, SplitData], views: str | None, layers: str | None) -> Pool:
    """Put the splits of a set together, as `fold_photographs` folds them.

    Raises:
        HeadError: layers is multi and the cache has one layer.
    """
    cache = data["train"].cache
    official = cache.split_rule.kind is SplitKind.OFFICIAL
    splits = ("train", "val") if official else tuple(data)
    if layers == "multi" and len(cache.spec.layers) == 1:
        raise HeadError(
            f"{cache.path} holds the layer {cache.spec.layers[0][0]} alone. Leave out --layers, or "
            "use features of several, as `extract --layers multi` makes them."
        )
    pool = Pool(
        splits=splits,
        rows=JoinedRows(
            [data[split].X for split in splits],
            views=slice(0, 1) if views == "center" else slice(None),
        ),
        columns=slice(None),
        metadata=np.concatenate([data[split].metadata for split in splits]),
        labels=Labels.concat([data[split].labels for split in splits]),
        extractor=cache.spec,
    )
    return (pool.of_last_layer() or pool) if layers == "top" else pool


# --- folding --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Fold:
    """Row numbers of the pool, rising: what one head is trained, chosen and measured on."""

    train: IntArray
    val: IntArray
    test: IntArray


def fold(labels: Labels, k: int, seed: int, limit: int | None = None) -> list[Fold]:
    """Deal photographs into k folds of like size, whole groups at a time.

    Of the photographs outside of a fold a tenth, whole groups again, are its val. With `limit` no
    fold trains on more than that many.

    Raises:
        HeadError: k is below 2, or there are fewer groups than k + 1.
    """
    cluster = clusters(labels.group)
    n_clusters = int(cluster.max()) + 1
    if not 2 <= k < n_clusters:
        raise HeadError(
            f"--folds must be from 2 to {n_clusters - 1} for {len(labels)} photographs in "
            f"{n_clusters} groups; got {k}."
        )
    rng = np.random.default_rng(seed)
    sizes = np.bincount(cluster)
    place = _dealt(sizes, rng.permutation(n_clusters), k)[cluster]
    folds = []
    for number in range(k):
        held = place == number
        others = rng.permutation(np.unique(cluster[~held]))
        wanted = VAL_SHARE * np.count_nonzero(~held)
        n_val = int(np.searchsorted(np.cumsum(sizes[others]), wanted)) + 1
        in_val = np.isin(cluster, others[: min(n_val, len(others) - 1)])
        train, val, test = (np.flatnonzero(m) for m in (~held & ~in_val, in_val, held))
        folds.append(Fold(train[:limit], val, test))
    return folds


def _dealt(sizes: IntArray, order: IntArray, k: int) -> IntArray:
    """Give each cluster, in this order, to the fold that is the smallest so far."""
    place = np.empty(len(sizes), np.int64)
    filled = [0] * k
    for number in order.tolist():
        place[number] = filled.index(min(filled))
        filled[place[number]] += int(sizes[number])
    return place


def predict_folds(
    head: Any,
    settings: Settings,
    pool: Pool,
    folds: Sequence[Fold],
    seed: int,
    after_each: Callable[[Cost, Intervals | None], object] = lambda cost, intervals: None,
) -> Prediction:
    """Train a head for each fold and join what they say of the photographs they never saw.

    `after_each` is called with what each fit took and the intervals that its val tells.

    A constant head is fitted once, on all: constants that differ from fold to fold would seem to
    put photographs in an order, and in a wrong one, since the mean of the others is high where the
    fold's own is low.

    Raises:
        HeadError: the labels or settings do not suit the head.
    """
    entry = find_head(head)
    if entry.about.constant:
        constant, features = entry.make(settings), pool.features(np.arange(len(pool.labels)))
        constant.fit(features, pool.labels, features, pool.labels, seed=seed)
        return constant.predict(features)
    predictions = []
    for part in folds:
        prediction, cost, intervals = _fitted(entry, settings, pool, part, seed)
        predictions.append(prediction)
        after_each(cost, intervals)
    order = np.argsort(np.concatenate([part.test for part in folds]))
    return Prediction.concat(predictions).take(order)


def _fitted(
    entry: Any, settings: Settings, pool: Pool, part: Fold, seed: int
) -> tuple[Prediction, Cost, Intervals | None]:
    """Return what a head trained on a fold says of the fold's test, what it took, its intervals."""
    head = entry.make(entry.resolve(settings, len(part.train), pool.widths))
    given = partial(pool.given, head.about)
    labels = entry.seen(settings, pool.labels)
    train, val = given(part.train), given(part.val)
    started = time.perf_counter()
    head.fit(train, labels.take(part.train), val, labels.take(part.val), seed=seed)
    seconds = time.perf_counter() - started
    cost = Cost(seconds, model_bytes(head) if isinstance(entry, HeadEntry) else None)
    intervals = Intervals.of(head.predict(val), pool.labels.take(part.val))
    return head.predict(given(part.test)), cost, intervals


def bounded_ways(
    predictions: Sequence[Prediction], folding: Folding, intervals: Sequence[Intervals | None]
) -> list[Prediction]:
    """Return joined predictions, of each seed each way, with the intervals of their folds in turn.

    There are none for a head that was fitted once.
    """
    found, rest = [], list(intervals)
    for prediction, folds in zip(predictions, folding.ways * folding.seeds, strict=False):
        here, rest = rest[: len(folds)], rest[len(folds) :]
        parts = [
            bounded(prediction.take(part.test), each)
            for part, each in zip(folds, here or [None] * len(folds), strict=True)
        ]
        order = np.argsort(np.concatenate([part.test for part in folds]))
        found.append(Prediction.concat(parts).take(order))
    return found


# --- all ways of folding --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Folding:
    """A pool and the ways in which it is folded; `seeds` train each head anew on each way.

    `limit` is how many photographs a fold trains on at most.
    """

    pool: Pool
    ways: tuple[tuple[Fold, ...], ...]
    seeds: int
    seed: int
    limit: int | None = None

    @property
    def k(self) -> int:
        """How many folds each way has."""
        return len(self.ways[0])

    def seeds_of(self, head: Any) -> int:
        """Return with how many seeds a head is trained: with one if it draws nothing from them."""
        return self.seeds if find_head(head).draws else 1


def fold_photographs(
    data: Mapping[str, SplitData],
    k: int,
    *,
    ways: int = 1,
    seeds: int = 1,
    seed: int = 0,
    limit: int | None = None,
    views: str | None = None,
    layers: str | None = None,
) -> Folding:
    """Fold all photographs, or train and val beside an official test list, in several ways.

    Args:
        data: train, val and test, as `load_splits` gives them.
        k: folds of each way; groups stay together.
        ways: how often to fold, with seeds from `seed` on.
        seeds: train each neural head so often on each way.
        limit: train on so many photographs of each fold at most.
        views: center for the first view alone, else all of them.
        layers: top for the last layer alone; multi or None for all.

    Raises:
        HeadError: too few groups for k folds, or the cache has no such layers.
    """
    pool = pooled(data, views, layers)
    folded = tuple(tuple(fold(pool.labels, k, seed + way, limit)) for way in range(ways))
    return Folding(pool, folded, seeds, seed, limit)


def predict_ways(
    head: Any, settings: Settings, folding: Folding
) -> tuple[list[Prediction], Cost, list[Intervals | None]]:
    """Return a head's joined predictions, for each seed each way of folding, seed by seed.

    And the mean cost of a fit, and the intervals of each; none for a head that is fitted once.
    """
    entry, costs, found = find_head(head), [], []
    name, seeds = entry.name, folding.seeds_of(entry)
    fits = seeds * len(folding.ways) * folding.k
    with bar(None, f"{name}, folds", fits) as done:

        def keep(cost: Cost, intervals: Intervals | None) -> None:
            costs.append(cost)
            found.append(intervals)
            done.update()

        predictions = [
            predict_folds(entry, settings, folding.pool, folds, folding.seed + s, keep)
            for s in range(seeds)
            for folds in folding.ways
        ]
    if not entry.about.constant:
        note(f"{name}: trained {fits} times.")
    return predictions, Cost.mean(costs), found
