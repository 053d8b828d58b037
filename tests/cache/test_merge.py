"""Shards put together: the file that was cut, or an error that says which does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import FormatError, IncompleteCacheError, MismatchError, StorageError
from cache.labels import Manifest
from cache.merge import merge
from cache.pairs import pairs_of, write_pairs
from cache.rejects import read_rejects
from cache.resume import renew
from cache.store import open_cache, partial_path
from cache.types import ExtractorSpec, Status
from tests.helpers import (
    assert_same_cache,
    make_features,
    make_manifest,
    make_spec,
    relabelled,
    write_cache,
)

N = 50
MANIFEST, SPEC = make_manifest(N), make_spec()
STATUS = np.full(N, Status.OK, np.uint8)
STATUS[[8, 30]] = Status.UNREADABLE


def make_shards(
    folder: Path, count: int, manifest: Manifest = MANIFEST, spec: ExtractorSpec = SPEC
) -> list[Path]:
    """Write the parts of a split as `extract --shard` names them."""
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(N), count), 1):
        path = folder / f"train.shard-{number}-of-{count}.h5"
        rule = replace(manifest.split_rule, shard=number, shards=count)
        write_cache(
            path,
            manifest.take(rows, rule),
            spec,
            make_features(N, spec)[rows],
            status=STATUS[rows],
            whole_manifest_sha256=manifest.sha256,
        )
        paths.append(path)
    return paths


@pytest.mark.parametrize("count", [1, 2, 7])
def test_merged_shards_equal_the_whole(tmp_path: Path, count: int) -> None:
    features = make_features(N, SPEC)
    whole = write_cache(tmp_path / "whole.h5", MANIFEST, SPEC, features, status=STATUS)
    merged = merge(tmp_path / "train.h5", make_shards(tmp_path, count)[::-1])
    assert_same_cache(whole, merged.path)
    assert len(read_rejects(whole)) == 2
    assert read_rejects(merged.path) == read_rejects(whole)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 3)
    with pytest.raises(MismatchError, match=r"Of 3 shards these are missing: 2\..*--shard 2/3"):
        merge(tmp_path / "train.h5", [parts[0], parts[2]])


def test_an_output_with_another_splits_name_is_refused(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    words = r"test\.h5 would be used as test, and the shards are of train\. Name it train\.h5\."
    with pytest.raises(MismatchError, match=words):
        merge(tmp_path / "test.h5", parts)
    assert not (tmp_path / "test.h5").exists()
    merge(tmp_path / "whole.h5", parts)


def test_a_shard_given_twice_is_refused(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    with pytest.raises(MismatchError, match="Shard 1 of 2 is given twice"):
        merge(tmp_path / "train.h5", [*parts, parts[0]])


def test_shards_of_other_settings_are_refused(tmp_path: Path) -> None:
    first = make_shards(tmp_path, 2)[0]
    other = make_shards(tmp_path / "other", 2, spec=make_spec(dtype="float32"))[1]
    with pytest.raises(MismatchError, match=r"another extractor.*its dtype is float32"):
        merge(tmp_path / "train.h5", [first, other])


def test_shards_of_other_labels_are_refused(tmp_path: Path) -> None:
    first = make_shards(tmp_path, 2)[0]
    changed = relabelled(MANIFEST, threshold="3")
    other = make_shards(tmp_path / "other", 2, changed)[1]
    with pytest.raises(MismatchError, match="not shards of the same split"):
        merge(tmp_path / "train.h5", [first, other])


def test_shards_with_different_remarks_are_refused(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    renew(parts[1], data_root="/data", label_note="simulated votes")
    with pytest.raises(
        MismatchError,
        match=r"different remarks on the labels: 'simulated votes' and .* Give the `extract` "
        "commands of both again; no photograph is read again for that",
    ):
        merge(tmp_path / "train.h5", parts)


def test_a_whole_split_is_no_shard(tmp_path: Path) -> None:
    whole = write_cache(tmp_path / "whole.h5", MANIFEST, SPEC, make_features(N, SPEC))
    with pytest.raises(MismatchError, match="is no shard: it holds a whole split"):
        merge(tmp_path / "merged.h5", [whole])


def test_an_unfinished_shard_is_refused(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    parts[1].rename(partial_path(parts[1]))
    with pytest.raises(IncompleteCacheError, match="is not finished"):
        merge(tmp_path / "train.h5", parts)


def test_a_damaged_shard_is_found_by_its_checksums(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    cache = open_cache(parts[1])
    with h5py.File(parts[1]) as file:
        start = file["features"].id.get_offset()
    offset = start + cache.features[0].nbytes * int(cache.ok_rows[3])
    with parts[1].open("r+b") as file:
        file.seek(offset)
        file.write(b"\x01\x02")
    with pytest.raises(FormatError, match="has a wrong checksum"):
        merge(tmp_path / "train.h5", parts)
    assert not (tmp_path / "train.h5").exists()


def test_rows_that_do_not_add_up_to_the_split_are_damage(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 1, relabelled(MANIFEST, path=MANIFEST.labels.path[::-1]))
    swapped = MANIFEST.take(np.arange(N)[::-1], MANIFEST.split_rule)
    sha256 = open_cache(parts[0]).header.provenance.whole_manifest_sha256
    write_cache(parts[0], swapped, SPEC, make_features(N, SPEC), whole_manifest_sha256=sha256)
    with pytest.raises(FormatError, match="rows do not add up to the split"):
        merge(tmp_path / "train.h5", parts)


def test_merge_replaces_nothing_unasked(tmp_path: Path) -> None:
    parts, out = make_shards(tmp_path, 2), tmp_path / "train.h5"
    merge(out, parts)
    with pytest.raises(StorageError, match=r"exists\. Name another file, or give --overwrite"):
        merge(out, parts)
    assert merge(out, parts, overwrite=True).n_rows == N


def test_a_name_that_no_cache_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"train\.npz does not end in \.h5.*the ending \.h5\."):
        merge(tmp_path / "train.npz", make_shards(tmp_path, 2))


def test_neither_a_shard_nor_what_is_no_cache_is_ever_replaced(tmp_path: Path) -> None:
    parts = make_shards(tmp_path, 2)
    before = parts[1].read_bytes()
    (tmp_path / "link.h5").hardlink_to(parts[1])
    for out in (parts[1], tmp_path / "link.h5"):
        with pytest.raises(StorageError, match=r"is the same file as .*shard-2-of-2\.h5"):
            merge(out, parts, overwrite=True)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8mine")
    with pytest.raises(StorageError, match=r"photo\.jpg exists and is no earlier output"):
        merge(tmp_path / "photo.jpg", parts, overwrite=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"\xff\xd8mine"
    assert parts[1].read_bytes() == before


def test_the_comparisons_of_the_split_come_along(tmp_path: Path) -> None:
    parts, pairs = make_shards(tmp_path / "parts", 2), [("photo-0000", "photo-0049")]
    write_pairs(tmp_path / "parts" / "train.pairs.csv", pairs)
    assert pairs_of(merge(tmp_path / "whole" / "train.h5", parts)).tolist() == [[0, 49]]
