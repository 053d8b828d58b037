"""Folding keeps groups together, predicts every photograph once, and never on what it learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.labels import mean_of_votes
from cache.store import open_cache
from cache.types import SplitKind
from heads.data.features import JoinedRows
from heads.data.splits import load_splits
from heads.errors import HeadError
from heads.experiments.folds import (
    Fold,
    Pool,
    fold,
    pooled,
    predict_folds,
)
from heads.models.base import Head
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings
from heads.models.registry import HEADS, make_head
from tests.heads.made import random_labels
from tests.heads.planted import Plan, plant_rule, with_metadata

GROUPED = random_labels(200, group=[f"g{i % 23}" if i % 3 else "" for i in range(200)])
QUICK = NetworkSettings(hidden=(), epochs=2)


def test_every_photograph_is_tested_once_and_trained_on_otherwise() -> None:
    folds = fold(GROUPED, 5, seed=0)
    assert sorted(np.concatenate([part.test for part in folds]).tolist()) == list(range(200))
    for part in folds:
        rows = np.concatenate([part.train, part.val, part.test])
        assert sorted(rows.tolist()) == list(range(200))
        assert 35 <= len(part.test) <= 45
        assert 10 <= len(part.val) <= 30


def test_groups_stay_together() -> None:
    for part in fold(GROUPED, 5, seed=3):
        names = [set(GROUPED.group[rows]) - {""} for rows in (part.train, part.val, part.test)]
        assert not names[0] & names[1]
        assert not names[0] & names[2]
        assert not names[1] & names[2]


def test_another_seed_folds_otherwise_and_the_same_one_alike() -> None:
    first, again, other = (fold(GROUPED, 4, seed=seed)[0].test for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_limit_bounds_what_each_fold_trains_on() -> None:
    whole, limited = fold(GROUPED, 4, seed=1), fold(GROUPED, 4, seed=1, limit=50)
    for all_of_it, part in zip(whole, limited, strict=True):
        np.testing.assert_array_equal(part.train, all_of_it.train[:50])
        np.testing.assert_array_equal(part.test, all_of_it.test)


@pytest.mark.parametrize("k", [1, 90])
def test_too_few_or_too_many_folds_are_refused(k: int) -> None:
    labels = random_labels(60, group=[f"g{i % 30}" for i in range(60)])
    with pytest.raises(HeadError, match=r"--folds must be from 2 to 29 for 60 .* 30 groups; got"):
        fold(labels, k, seed=0)


def test_all_splits_are_pooled_unless_the_test_list_is_official(
    planted: Path, tmp_path: Path
) -> None:
    data = load_splits(planted)
    assert pooled(data, None, None).splits == ("train", "val", "test")
    official = plant_rule(tmp_path, Plan(), SplitKind.OFFICIAL)
    pool = pooled(load_splits(official), None, None)
    assert pool.splits == ("train", "val")
    assert len(pool.labels) == 750
    assert not any(name.startswith("test") for name in pool.labels.image_id)


@pytest.mark.parametrize("kind", [kind for kind in SplitKind if kind is not SplitKind.OFFICIAL])
def test_every_other_kind_of_split_pools_its_test(tmp_path: Path, kind: SplitKind) -> None:
    data = load_splits(plant_rule(tmp_path, Plan(), kind))
    assert pooled(data, None, None).splits == ("train", "val", "test")


def test_the_test_list_of_files_that_tell_it_in_words_alone_stays_out_too(tmp_path: Path) -> None:
    folder = plant_rule(tmp_path, Plan(), SplitKind.HASH)
    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            rule = json.loads(file.attrs["split_rule"])
            rule["rule"] = "the official test list, the rest by hash"
            file.attrs["split_rule"] = json.dumps(rule)
            del file.attrs["split_kind"], file.attrs["seal"]
        sha256 = open_cache(path).manifest().sha256
        with h5py.File(path, "r+") as file:
            file.attrs["manifest_sha256"] = sha256
    assert pooled(load_splits(folder), None, None).splits == ("train", "val")


@pytest.mark.parametrize("memory", [1, 10**9])
def test_the_pool_gives_any_rows_of_all_splits_in_the_order_asked_for(
    planted7: Path, memory: int
) -> None:
    data = load_splits(planted7, memory_bytes=memory)
    whole = np.concatenate([np.asarray(part.X[:]) for part in data.values()])
    pool = pooled(data, None, None)
    rows = np.array([900, 3, 610, 4, 0])
    np.testing.assert_array_equal(np.asarray(pool.features(rows)[:]), whole[rows])
    np.testing.assert_array_equal(np.asarray(pool.features(rows)[1:4]), whole[rows[1:4]])
    assert pool.features(rows).shape == (5, 3, 32)
    assert pooled(data, "center", None).features(rows).shape == (5, 1, 32)


def test_layers_that_the_cache_lacks_are_refused(planted: Path) -> None:
    with pytest.raises(HeadError, match=r"holds the layer top alone\. Leave out --layers"):
        pooled(load_splits(planted), None, "multi")


def test_a_fold_is_predicted_by_a_head_that_never_saw_it(planted: Path) -> None:
    pool = pooled(load_splits(planted), None, None)
    folds = fold(pool.labels, 3, seed=0)
    joined = predict_folds("ridge", ClosedFormSettings(), pool, folds, seed=0)
    part = folds[1]
    alone = predict_folds(
        "ridge", ClosedFormSettings(), pool, [Fold(part.train, part.val, part.test)], seed=0
    )
    np.testing.assert_array_equal(joined.score[part.test], alone.score)
    assert np.corrcoef(joined.score, pool.labels.mean)[0, 1] > 0.8


def test_labels_and_probabilities_agree_in_every_fold(planted: Path) -> None:
    pool = pooled({"train": load_splits(planted, limit=150)["train"]}, None, None)
    joined = predict_folds("ridge", ClosedFormSettings(), pool, fold(pool.labels, 5, 0), seed=0)
    threshold = float(pool.labels.threshold)
    np.testing.assert_array_equal(joined.p_beautiful > 0.5, joined.score > threshold)


def test_hard_labels_are_learned_without_the_votes(planted: Path) -> None:
    pool = pooled({"train": load_splits(planted, limit=150)["train"]}, None, None)
    folds = fold(pool.labels, 3, seed=0)
    hard, soft = (
        predict_folds("logistic", HEADS["logistic"].with_labels(kind), pool, folds, seed=0)
        for kind in ("hard", "soft")
    )
    without = replace(pool, labels=pool.labels.without_votes())
    means = predict_folds("logistic", HEADS["logistic"].with_labels("soft"), without, folds, seed=0)
    np.testing.assert_array_equal(hard.p_beautiful, means.p_beautiful)
    assert np.abs(hard.p_beautiful - soft.p_beautiful).max() > 0.01


@pytest.mark.parametrize("name", [n for n, e in HEADS.items() if not e.about.constant])
def test_nothing_that_a_head_learns_or_chooses_knows_the_test_of_its_fold(
    planted: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = {"train": with_metadata(load_splits(planted, limit=150))["train"]}
    pool = pooled(data, None, None)
    groups = np.array([f"g{i % 40}" for i in range(150)])
    pool = replace(pool, labels=replace(pool.labels, group=groups))
    (part, *_) = fold(pool.labels, 3, seed=0)
    made: list[Head] = []
    monkeypatch.setattr(
        "heads.models.registry.make_head",
        lambda *given: made.append(make_head(*given)) or made[-1],
    )
    settings = QUICK if HEADS[name].neural else HEADS[name].default_settings
    before = predict_folds(name, settings, pool, [part], seed=0)
    predict_folds(name, settings, _with_another_test(pool, part.test), [part], seed=0)
    (arrays, values), (others, other_values) = (head.state() for head in made)
    assert values == other_values
    assert arrays.keys() == others.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, others[key])
    everything = replace(part, train=np.union1d(part.train, part.test))
    predict_folds(name, settings, _with_another_test(pool, part.test), [everything], seed=0)
    assert any(not np.array_equal(a, made[2].state()[0].get(k)) for k, a in arrays.items())
    assert np.ptp(before.score) > 0


def _with_another_test(pool: Pool, test: np.ndarray) -> Pool:
    """Return the pool with other features, metadata and votes in a fold's test."""
    turned, X, known = test[::-1], np.array(pool.rows[:]), pool.metadata.copy()
    X[test], known[test] = 6 - X[turned], known[turned] + 7
    votes = pool.labels.votes.copy()
    votes[test] = votes[turned, ::-1]
    labels = replace(pool.labels, votes=votes, mean=mean_of_votes(votes))
    return replace(pool, rows=JoinedRows([X]), metadata=known, labels=labels)


def test_the_floor_is_one_constant_over_all_folds(planted: Path) -> None:
    pool = pooled(load_splits(planted), None, None)
    folds = fold(pool.labels, 3, seed=0)
    floor = predict_folds("constant", ClosedFormSettings(), pool, folds, seed=0)
    assert np.ptp(floor.score) == 0
    assert floor.score[0] == pytest.approx(pool.labels.mean.mean())
