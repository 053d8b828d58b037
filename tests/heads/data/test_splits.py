"""Rows with features are taken, and caches that do not belong together are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import schema, store
from cache.errors import FormatError, IncompleteCacheError, MismatchError
from cache.store import open_cache
from cache.types import Status
from heads.data.features import memory_budget
from heads.data.splits import load_splits, with_limit
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


def one_bit(columns: dict[str, np.ndarray]) -> None:
    columns["features"].view(np.uint8)[7, 0, 3] ^= 1


def a_row_too_far(columns: dict[str, np.ndarray]) -> None:
    columns["features"][1:] = columns["features"][:-1].copy()


def swapped_columns(columns: dict[str, np.ndarray]) -> None:
    columns["features"][:] = columns["features"][:, :, ::-1].copy()


def shuffled(name: str) -> Callable[[dict[str, np.ndarray]], None]:
    def damage(columns: dict[str, np.ndarray]) -> None:
        columns[name][:] = columns[name][::-1].copy()

    return damage


def another_mean(columns: dict[str, np.ndarray]) -> None:
    columns["mean"][5] += 0.25


def called_missing(columns: dict[str, np.ndarray]) -> None:
    columns["status"][5] = Status.MISSING


DAMAGES = {
    "one bit": one_bit,
    "a row too far": a_row_too_far,
    "swapped columns": swapped_columns,
    "shuffled ids": shuffled("image_id"),
    "shuffled votes": shuffled("votes"),
    "shuffled paths": shuffled("path"),
    "shuffled checksums": shuffled("crc32"),
    "another mean": another_mean,
    "called missing": called_missing,
}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_of_every_kind_is_refused_when_a_split_is_loaded(
    tmp_path: Path, kind: str, sealed: bool
) -> None:
    folder = write_pair(tmp_path, SMALL)
    write_small(folder, "train", SMALL, [f"t{i}" for i in range(12)], [""] * 12)
    load_splits(folder, splits=("train", "val"))
    with h5py.File(folder / "train.h5", "r+") as file:
        columns = {name: file[name][:] for name in file}
        DAMAGES[kind](columns)
        for name, values in columns.items():
            file[name][:] = values
        if not sealed:
            del file.attrs["seal"]
    with pytest.raises(FormatError, match=r"train\.h5 is damaged: .*extract --split train --overw"):
        load_splits(folder, splits=("train", "val"))


def test_damaged_rows_are_counted_and_named(tmp_path: Path) -> None:
    write_small(tmp_path, "train", SMALL, [f"t{i}" for i in range(12)], [""] * 12)
    with h5py.File(tmp_path / "train.h5", "r+") as file:
        file["features"][2:9] = 1
    with pytest.raises(
        FormatError,
        match=r"train\.h5 is damaged: 7 of its 12 rows do not match their checksums, row 2 \(t2\), "
        r"row 3 \(t3\), row 4 \(t4\), row 5 \(t5\), row 6 \(t6\) and more\. `cache verify ",
    ):
        load_splits(tmp_path, splits=("train",))


def test_rows_of_a_file_that_stays_are_compared_once_and_of_one_that_changed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.h5"
    write_small(tmp_path, "train", SMALL, ["a", "b"], ["", ""])
    compared = []
    checksums = schema.checksums
    monkeypatch.setattr(store, "SETTLED_NS", 0)
    monkeypatch.setattr(schema, "checksums", lambda *a: compared.append(1) or checksums(*a))
    for _ in range(3):
        load_splits(tmp_path, splits=("train",))
    assert len(compared) == 1
    before = path.stat()
    with h5py.File(path, "r+") as file:
        file["features"][1] = 3
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FormatError, match=r"1 of its 2 rows do not match"):
        load_splits(tmp_path, splits=("train",))


def test_a_file_that_changed_a_moment_ago_is_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(tmp_path, "train", SMALL, ["a", "b"], ["", ""])
    compared = []
    checksums = schema.checksums
    monkeypatch.setattr(schema, "checksums", lambda *a: compared.append(1) or checksums(*a))
    for _ in range(2):
        load_splits(tmp_path, splits=("train",))
    assert len(compared) == 2


def test_a_smaller_limit_is_read_from_the_files_as_they_were_opened(tmp_path: Path) -> None:
    write_small(tmp_path, "train", SMALL, [f"t{i}" for i in range(12)], [""] * 12)
    data = load_splits(tmp_path, splits=("train",))
    first = np.array(data["train"].X[:5])
    write_small(tmp_path, "train", Plan(n_features=4, seed=7), ["x", "y"], ["", ""])
    fewer = with_limit(data, 5)["train"]
    assert fewer.labels.image_id.tolist() == [f"t{i}" for i in range(5)]
    assert (fewer.limit, len(fewer)) == (5, 5)
    np.testing.assert_array_equal(fewer.X[:], first)


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
