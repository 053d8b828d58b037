"""Folding keeps groups together, predicts every photograph once, and never on what it learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from cache.types import SplitKind
from heads.data.splits import load_splits
from heads.errors import HeadError
from heads.experiments.folds import (
    Fold,
    calibrated,
    fold,
    pooled,
    predict_folds,
)
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings
from tests.heads.made import random_labels
from tests.heads.planted import Plan, plant_rule

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
            del file.attrs["split_kind"]
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
    with pytest.raises(HeadError, match=r"holds the layer top alone\. Extract with --layers multi"):
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


def test_probabilities_of_all_folds_are_comparable(planted: Path) -> None:
    data = load_splits(planted, limit=150)
    pool = pooled({"train": data["train"]}, None, None)
    folds = fold(pool.labels, 5, seed=0)
    assert max(len(part.val) for part in folds) < 15
    joined = predict_folds("ridge", ClosedFormSettings(), pool, folds, seed=0)
    by_p, by_score = (
        roc_auc_score(pool.labels.beautiful, values)
        for values in (joined.p_beautiful, joined.score)
    )
    assert by_p == pytest.approx(by_score, abs=0.01)
    own = np.concatenate(
        [
            predict_folds("ridge", ClosedFormSettings(), pool, [part], seed=0).p_beautiful
            for part in folds
        ]
    )
    truth = np.concatenate([pool.labels.beautiful[part.test] for part in folds])
    assert log_loss(pool.labels.beautiful, joined.p_beautiful) < log_loss(truth, own)


def test_a_probability_is_calibrated_without_the_photograph_itself(planted: Path) -> None:
    pool = pooled({"train": load_splits(planted, limit=150)["train"]}, None, None)
    folds = fold(pool.labels, 3, seed=0)
    test = folds[0].test
    joined = predict_folds("ridge", ClosedFormSettings(), pool, folds, seed=0)
    # The other side of the middle: what was said of this fold's test must not matter to it.
    votes = pool.labels.votes.copy()
    votes[test] = votes[test][:, ::-1]
    flipped = replace(pool, labels=replace(pool.labels, votes=votes))
    score, beautiful = joined.score[test], flipped.labels.beautiful
    told = [(joined.take(part.val), joined.take(part.test)) for part in folds]
    first, other = (
        calibrated(told, folds, labels)[0] for labels in (pool.labels.beautiful, beautiful)
    )
    np.testing.assert_array_equal(first.p_beautiful, other.p_beautiful)
    assert (np.diff(first.p_beautiful[np.argsort(score)]) >= 0).all()


def test_the_floor_is_one_constant_over_all_folds(planted: Path) -> None:
    pool = pooled(load_splits(planted), None, None)
    folds = fold(pool.labels, 3, seed=0)
    floor = predict_folds("constant", ClosedFormSettings(), pool, folds, seed=0)
    assert np.ptp(floor.score) == 0
    assert floor.score[0] == pytest.approx(pool.labels.mean.mean())
