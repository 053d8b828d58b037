"""Rows with features are taken, and caches that do not belong together are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from cache import schema, store
from cache.errors import FormatError, IncompleteCacheError, MismatchError
from cache.labels import LabelTable, Manifest
from cache.pairs import write_pairs
from cache.store import FeatureCache, open_cache
from cache.types import SPLITS, SplitKind, SplitRule, Status
from heads.data.features import memory_budget
from heads.data.splits import check_together, joint_note, load_splits, with_limit
from heads.errors import HeadError, SplitOverlapError
from tests.heads.planted import Plan, plant, plant_split, spec
from tests.helpers import write_cache

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


def write_ruled(folder: Path, rule: SplitRule, name: str, **facts: Any) -> FeatureCache:
    """Write a cache of one photograph by a rule of splitting, and open it."""
    columns = {"challenge": facts.pop("challenge")} if "challenge" in facts else {}
    labels = LabelTable(
        image_id=np.array([name]),
        path=np.array([f"{name}.jpg"]),
        group=np.array([""]),
        mean=np.array([3.0]),
        scale=SMALL.scale,
        threshold="5",
        **columns,
    )
    features = np.ones((1, 1, SMALL.n_features), np.float16)
    path = folder / f"{rule.split}.h5"
    write_cache(path, Manifest(labels, rule), spec(SMALL), features, **facts)
    return open_cache(path)


def test_only_rows_that_hold_features_are_taken(planted7: Path) -> None:
    train = load_splits(planted7)["train"]
    assert len(train) == 598
    assert not {"train3", "train500"} & set(train.labels.image_id.tolist())
    cache = open_cache(planted7 / "train.h5")
    np.testing.assert_array_equal(train.X, cache.features[train.rows])
    np.testing.assert_array_equal(train.labels.path, cache.labels.path[train.rows])
    np.testing.assert_array_equal(train.labels.votes, cache.labels.votes[train.rows])


def test_a_file_that_is_truncated_after_it_was_loaded_is_an_error(
    planted: Path, tmp_path: Path
) -> None:
    shutil.copytree(planted, tmp_path, dirs_exist_ok=True)
    X = load_splits(tmp_path)["train"].X
    os.truncate(tmp_path / "train.h5", 4096)
    with pytest.raises(FormatError, match=r"train\.h5 is damaged: it ends after 4,096 bytes"):
        X[500:]


def test_features_are_read_when_sliced_whatever_the_budget(planted7: Path) -> None:
    stored = load_splits(planted7, memory_bytes=1000)["train"].X
    copied = load_splits(planted7)["train"].X
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
        (replace(SMALL, weights_sha256="1" * 64), "their weights_sha256 differs, 000.*111"),
        (replace(SMALL, n_views=2), "their views differs"),
        (replace(SMALL, levels=7), "their scale differs"),
        (replace(SMALL, threshold="6"), "their threshold differs, 5.5 and 6"),
    ],
)
def test_caches_made_differently_are_refused_with_the_field(
    tmp_path: Path, other: Plan, said: str
) -> None:
    folder = write_pair(tmp_path, other)
    with pytest.raises(MismatchError, match=rf"{said}.*Make both with the same settings"):
        load_splits(folder, splits=("train", "val"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            SplitRule("val", "hash", 1, 0.1, 0.2, 0, kind=SplitKind.HASH),
            "--split-seed differs, 0 and 1",
        ),
        (
            SplitRule("val", "hash", 0, 0.2, 0.2, 0, kind=SplitKind.HASH),
            "--val-fraction differs, 0.1",
        ),
        (SplitRule("val", "hash", 0, 0.1, 0.3, 0, kind=SplitKind.HASH), "--test-fraction differs"),
        (
            SplitRule("val", "a list", 0, 0.1, 0.2, 0, kind=SplitKind.OFFICIAL),
            "way of splitting differs, hash and official",
        ),
    ],
)
def test_splits_of_another_rule_are_refused_with_what_differs(
    tmp_path: Path, rule: SplitRule, said: str
) -> None:
    write_ruled(tmp_path, SplitRule("train", "hash", 0, 0.1, 0.2, 0, kind=SplitKind.HASH), "a")
    write_ruled(tmp_path, rule, "b")
    with pytest.raises(MismatchError, match=rf"cannot be used together: their {said}"):
        load_splits(tmp_path, splits=("train", "val"))


def test_a_limit_and_a_seed_that_draws_nothing_may_differ(tmp_path: Path) -> None:
    column = SplitKind.COLUMN
    write_ruled(tmp_path, SplitRule("train", "a split column", 0, 0, 0, 5, kind=column), "a")
    write_ruled(tmp_path, SplitRule("val", "a split column", 7, 0, 0, 0, kind=column), "b")
    assert len(load_splits(tmp_path, splits=("train", "val"))) == 2


def test_labels_with_other_columns_are_refused(tmp_path: Path) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    write_ruled(tmp_path, rule, "a", challenge=np.array([3], np.int32))
    write_ruled(tmp_path, replace(rule, split="val"), "b")
    with pytest.raises(MismatchError, match=r"their columns of labels differs, .*, challenge and"):
        load_splits(tmp_path, splits=("train", "val"))


def test_splits_of_two_versions_of_the_labels_are_refused(tmp_path: Path) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    train = write_ruled(tmp_path, rule, "a")
    test = write_ruled(tmp_path, replace(rule, split="test"), "b")
    caches = {"train": train, "test": test}
    note_alone = {"labels.csv": "1" * 64, "labels-note.txt": "3" * 64}
    for files, refused in (
        ({"labels.csv": "1" * 64, "labels-note.txt": ""}, False),
        (note_alone, False),
        ({"labels.csv": "2" * 64}, True),
        ({}, False),
    ):
        know_label_files(train, note_alone)
        know_label_files(test, files)
        if not refused:
            check_together(caches)
            continue
        with pytest.raises(MismatchError, match=r"labels\.csv changed between their extractions"):
            check_together(caches)


def test_a_file_that_does_not_know_its_labels_files_is_named_beside_one_that_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    caches = {s: write_ruled(tmp_path, replace(rule, split=s), s) for s in ("train", "test")}
    know_label_files(caches["train"], {"labels.csv": "1" * 64})
    know_label_files(caches["test"], {})
    check_together(caches)
    said = capsys.readouterr().err
    assert "test.h5 does not say which files of labels it was made from, so whether they" in said
    assert "train.h5 cannot be told" in said


def know_label_files(cache: FeatureCache, files: dict[str, str]) -> None:
    """Let a cache know the SHA-256 of the files that its labels come from."""
    provenance = SimpleNamespace(**vars(cache.header.provenance) | {"label_files": files})
    cache.header = SimpleNamespace(**vars(cache.header) | {"provenance": provenance})


def test_a_file_of_another_split_than_it_is_used_as_is_refused(tmp_path: Path) -> None:
    folder = plant(tmp_path / "features")
    (folder / "train.h5").rename(folder / "spare.h5")
    (folder / "test.h5").rename(folder / "train.h5")
    (folder / "spare.h5").rename(folder / "test.h5")
    for splits in (SPLITS, ("test",)):
        with pytest.raises(
            MismatchError, match=r"is used as t\w+ and holds the split t\w+: it was"
        ):
            load_splits(folder, splits=splits)
    shutil.copy(folder / "test.h5", folder / "val.h5")
    words = (
        r"val\.h5 is used as val and holds the split train.*its name back, train\.h5, and make val"
    )
    with pytest.raises(MismatchError, match=words):
        load_splits(folder, splits=("val",))


def test_one_shard_is_no_split(tmp_path: Path) -> None:
    write_ruled(tmp_path, SplitRule("train", "hash", 0, 0.1, 0.2, 0, shard=2, shards=3), "a")
    with pytest.raises(MismatchError, match=r"is shard 2 of 3 of train alone.*`cache merge`"):
        load_splits(tmp_path, splits=("train",))


def test_a_note_of_one_split_is_shown_with_its_split(tmp_path: Path) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    train = write_ruled(tmp_path, rule, "a", label_note="simulated")
    val = write_ruled(tmp_path, replace(rule, split="val"), "b")
    test = write_ruled(tmp_path, replace(rule, split="test"), "c", label_note="by experts")
    assert joint_note([train, val, test]) == "train: simulated; test: by experts"
    assert joint_note([train]) == "simulated"
    assert joint_note([val]) == ""


def test_another_data_folder_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    write_ruled(tmp_path, rule, "a", data_root="/photos")
    write_ruled(tmp_path, replace(rule, split="val"), "b", data_root="/old/photos")
    load_splits(tmp_path, splits=("train", "val"))
    said = capsys.readouterr().err
    assert said.endswith("val.h5 were made with another data folder (/photos; /old/photos).\n")
    load_splits(tmp_path, splits=("train",))
    assert capsys.readouterr().err == ""


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


def test_comparisons_come_with_the_photographs_that_hold_features(tmp_path: Path) -> None:
    folder = plant(tmp_path, Plan(unreadable=(1,)))
    without = load_splits(folder)["train"]
    assert without.labels.pairs is None
    write_pairs(folder / "train.pairs.csv", [("train0", "train1"), ("train3", "train0")])
    with_one = load_splits(folder)["train"]
    assert with_one.labels.pairs.tolist() == [[2, 0]]
    assert with_one.content_sha256 != without.content_sha256
    assert load_splits(folder, limit=2)["train"].labels.pairs.shape == (0, 2)
