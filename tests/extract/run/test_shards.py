"""Parts of a split, extracted apart and merged: the same file as one machine makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from cache.errors import LabelError
from cache.merge import merge
from cache.rejects import read_rejects
from cache.types import SplitKind
from extract.run.extract import extract
from extract.run.settings import FailurePolicy, Settings, Shard
from tests.cheap import Opener, make_folder, settings_for
from tests.helpers import assert_same_cache

N = 50


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Fifty photographs, one of them missing and one unreadable."""
    data = make_folder(tmp_path / "data", N)
    (data / "images" / "7.jpg").unlink()
    (data / "images" / "8.jpg").write_bytes(b"no picture")
    return replace(settings_for(tmp_path), failures=FailurePolicy(max_rate=0.5))


def extract_shards(settings: Settings, count: int, out: str = "parts") -> list[Path]:
    """Extract every shard into a folder of its own name and return their files."""
    folder = settings.out.parent / out
    paths = []
    for number in range(1, count + 1):
        part = replace(settings, out=folder, shard=Shard(number, count))
        paths.append(extract(part, Opener())[0].path)
    return paths


@pytest.mark.parametrize("count", [2, 3, 7])
def test_merged_shards_equal_the_file_of_one_machine(settings: Settings, count: int) -> None:
    whole = extract(settings, Opener())[0].path
    parts = extract_shards(settings, count)
    merged = merge(settings.out.parent / "merged" / "train.h5", parts[::-1])
    assert_same_cache(whole, merged.path)
    assert read_rejects(merged.path) == read_rejects(whole)
    assert len(read_rejects(whole)) == 2


def test_shards_without_the_kind_of_their_split_merge_to_the_same_file(settings: Settings) -> None:
    whole = extract(settings, Opener())[0].path
    parts = extract_shards(settings, 2)
    with h5py.File(parts[0], "r+") as file:
        del file.attrs["split_kind"], file.attrs["seal"]
    merged = merge(settings.out.parent / "merged" / "train.h5", parts)
    assert_same_cache(whole, merged.path)
    assert merged.split_rule.kind is SplitKind.COLUMN


def test_an_upgrade_extracts_nothing_again(settings: Settings) -> None:
    path = extract(settings, Opener())[0].path
    with h5py.File(path, "r+") as file:
        del file.attrs["split_kind"], file.attrs["seal"]
    opener = Opener()
    assert extract(settings, opener)[0].extracted == 0
    assert opener.engine is None


def test_a_merged_file_is_current_for_an_ordinary_extraction(settings: Settings) -> None:
    merge(settings.out / "train.h5", extract_shards(settings, 3))
    opener = Opener()
    assert extract(settings, opener)[0].extracted == 0
    assert opener.engine is None


def test_a_shard_takes_what_the_whole_split_already_holds(settings: Settings) -> None:
    extract(replace(settings, split=replace(settings.split, limit=30)), Opener())
    extracted = [
        extract(replace(settings, shard=Shard(number, 2)), Opener())[0].extracted
        for number in (1, 2)
    ]
    # 30 good ones and perhaps the unreadable one are known; the others are to be done.
    assert N - 1 - 31 <= sum(extracted) <= N - 1 - 30


def test_shards_merge_after_labels_of_one_of_them_changed(settings: Settings) -> None:
    extract_shards(settings, 2)
    labels = settings.data / "labels.csv"
    labels.write_text(labels.read_text().replace("\n0.jpg,train,", "\n0.jpg,train,9"))
    merged = merge(settings.out / "merged.h5", extract_shards(settings, 2))
    assert_same_cache(extract(settings, Opener())[0].path, merged.path)


def test_more_shards_than_photographs_are_refused(settings: Settings) -> None:
    with pytest.raises(LabelError, match="50 photographs cannot be cut into 51 shards"):
        extract(replace(settings, shard=Shard(1, 51)), Opener())
