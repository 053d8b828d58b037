"""Rows with features are taken, and caches that do not belong together are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import IncompleteCacheError, MismatchError
from cache.store import open_cache
from heads.data.features import memory_budget
from heads.data.splits import load_splits
from heads.errors import HeadError, SplitOverlapError
from tests.heads.planted import Plan, plant, plant_split

SMALL = Plan(n_features=4)


def write_small(folder: Path, split: str, plan: Plan, ids: list[str], groups: list[str]) -> None:
    """Write one tiny cache."""
    folder.mkdir(exist_ok=True)
    plant_split(folder / f"{split}.h5", plan, split, ids, groups)


def write_pair(folder: Path, other: Plan) -> Path:
    """Write a train cache of SMALL and a val cache of another plan."""
    write_small(folder, "train", SMALL, ["a", "b"], ["", ""])
    write_small(folder, "val", other, ["c", "d"], ["", ""])
    return folder


def test_only_rows_that_hold_features_are_taken(planted7: Path) -> None:
    train = load_splits(planted7)["train"]
    assert len(train) == 598
    assert not {"train3", "train500"} & set(train.labels.image_id.tolist())
    cache = open_cache(planted7 / "train.h5")
    np.testing.assert_array_equal(train.X, cache.features[train.rows])
    np.testing.assert_array_equal(train.labels.path, cache.labels.path[train.rows])
    np.testing.assert_array_equal(train.labels.votes, cache.labels.votes[train.rows])


def test_features_of_one_run_of_rows_stay_in_the_map(planted: Path) -> None:
    X = load_splits(planted)["train"].X
    assert not X[:].flags.owndata
    assert not X[:].flags.writeable
    assert X.dtype == np.float16
    assert X.shape == (600, 1, 32)


def test_scattered_rows_beyond_the_memory_are_read_when_sliced(planted7: Path) -> None:
    stored = load_splits(planted7, memory_bytes=1000)["train"].X
    copied = load_splits(planted7)["train"].X
    assert np.shares_memory(copied[:], copied[:])
    assert not np.shares_memory(stored[:], stored[:])
    assert (stored.shape, stored.ndim, stored.dtype) == (copied.shape, 3, copied.dtype)
    assert (len(stored), stored.nbytes) == (len(copied), copied.nbytes)
    np.testing.assert_array_equal(stored[100:550], copied[100:550])
    np.testing.assert_array_equal(stored[np.array([5, 2])], copied[np.array([5, 2])])
    assert (memory_budget(stored), memory_budget(copied)) == (1000, memory_budget(np.ones(1)))


def test_a_smaller_limit_is_part_of_a_larger_one(planted7: Path) -> None:
    few = load_splits(planted7, limit=10)
    more = load_splits(planted7, limit=50)
    assert few["train"].labels.image_id.tolist() == more["train"].labels.image_id[:10].tolist()
    assert len(few["train"]) == 10
    assert "train3" not in few["train"].labels.image_id
    assert len(few["val"]) == 150


def test_a_limit_below_one_is_refused(planted: Path) -> None:
    with pytest.raises(HeadError, match="--limit must be at least 1 photograph; got 0"):
        load_splits(planted, limit=0)


def test_a_missing_cache_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCacheError, match=r"train\.h5.*extract --split train"):
        load_splits(tmp_path)


def test_a_split_without_features_is_refused(tmp_path: Path) -> None:
    write_small(tmp_path, "train", replace(SMALL, unreadable=(0, 1)), ["a", "b"], ["", ""])
    with pytest.raises(HeadError, match="no photograph with features among its 2 rows"):
        load_splits(tmp_path, splits=("train",))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(SMALL, weights_sha256="1" * 64), "their weights_sha256 differs, '000.*111"),
        (replace(SMALL, n_views=2), "their views differs"),
        (replace(SMALL, levels=7), "their scale differs"),
        (replace(SMALL, threshold="6"), "their threshold differs, '5.5' and '6'"),
    ],
)
def test_caches_made_differently_are_refused_with_the_field(
    tmp_path: Path, other: Plan, said: str
) -> None:
    folder = write_pair(tmp_path, other)
    with pytest.raises(MismatchError, match=rf"{said}.*Extract both with the same settings"):
        load_splits(folder, splits=("train", "val"))


def test_an_id_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_small(tmp_path, "train", SMALL, ["a", "b", "c"], ["", "", ""])
    write_small(tmp_path, "val", SMALL, ["c", "d"], ["", ""])
    with pytest.raises(SplitOverlapError, match=r"1 of their photographs in common: c\. Extract"):
        load_splits(tmp_path, splits=("train", "val"))


def test_a_group_in_two_splits_is_refused_and_no_group_is_none(tmp_path: Path) -> None:
    write_small(tmp_path, "train", SMALL, ["a", "b"], ["", "cats"])
    write_small(tmp_path, "val", SMALL, ["c", "d"], ["", "dogs"])
    assert len(load_splits(tmp_path, splits=("train", "val"))) == 2
    write_small(tmp_path, "val", SMALL, ["c", "d"], ["", "cats"])
    with pytest.raises(SplitOverlapError, match="have 1 of their groups in common: cats"):
        load_splits(tmp_path, splits=("train", "val"))


def test_other_features_or_rows_give_another_content(tmp_path: Path) -> None:
    folder = plant(tmp_path / "one")
    first = load_splits(folder)["train"].content_sha256
    assert load_splits(folder)["train"].content_sha256 == first
    assert load_splits(folder, limit=599)["train"].content_sha256 != first
    shutil.rmtree(folder)
    assert load_splits(plant(folder, Plan(noise=0.31)))["train"].content_sha256 != first
