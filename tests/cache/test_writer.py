"""Filling a file block by block."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from cache.store import open_cache, partial_path
from cache.types import Status
from cache.verify import verify
from tests.cache.filling import (
    FEATURES,
    MANIFEST,
    SPEC,
    N,
    block,
    fill,
    opened,
    rejects,
    without_file,
)
from tests.helpers import (
    assert_same_cache,
    write_cache,
)


class TestFilling:
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        cache = open_cache(fill(tmp_path / "train.h5"))
        assert np.array_equal(cache.features, FEATURES.astype(np.float16))
        assert cache.status.tolist() == [Status.OK] * N
        assert cache.size[3].tolist() == [643, 483]
        assert verify(cache.path) == []

    def test_the_order_of_blocks_leaves_no_trace(self, tmp_path: Path) -> None:
        one = fill(tmp_path / "one" / "train.h5", [7, 3, 4, 5, 0])
        assert_same_cache(one, fill(tmp_path / "two" / "train.h5"))

    def test_an_unfinished_file_has_another_name(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(5)))
            assert partial_path(path).exists()
            assert not path.exists()
            assert writer.pending.tolist() == list(range(5, N))

    def test_a_finished_file_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        fill(tmp_path / "train.h5")
        assert {p.name for p in tmp_path.iterdir()} == {"train.h5", "train.rejects.csv"}

    def test_features_of_rejected_rows_are_ignored(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5", bad=[2, 5])
        cache = open_cache(path)
        assert np.flatnonzero(cache.status == Status.UNREADABLE).tolist() == [2, 5]
        assert not np.asarray(cache.features[[2, 5]]).any()
        assert verify(path) == []

    def test_counts_are_in_the_attributes(self, tmp_path: Path) -> None:
        writer = opened(tmp_path / "train.h5", facts=without_file([0, 1]))
        with writer:
            writer.write(block(range(2, N), bad=[4]))
            writer.finish()
        with h5py.File(tmp_path / "train.h5") as file:
            counts = {name: int(file.attrs[name]) for name in ("n_ok", "n_missing", "n_unreadable")}
        assert counts == {"n_ok": 9, "n_missing": 2, "n_unreadable": 1}

    def test_engines_are_noted_once_each(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        for label in ("keras", "keras", "openvino", "keras"):
            with opened(path) as writer:
                writer.record_engine(label)
        with opened(path) as writer:
            writer.write(block(range(N)))
            writer.finish()
        assert open_cache(path).header.provenance.engine == "keras; openvino"

    def test_write_cache_gives_a_whole_file_in_one_call(self, tmp_path: Path) -> None:
        status = np.full(N, Status.OK, np.uint8)
        status[3] = Status.UNREADABLE
        path = write_cache(
            tmp_path / "new" / "val.h5",
            MANIFEST,
            SPEC,
            FEATURES,
            status=status,
            data_root="/photos",
            label_note="simulated votes",
        )
        cache = open_cache(path)
        assert cache.ok_rows.tolist() == [i for i in range(N) if i != 3]
        assert (str(cache.data_root), cache.label_note) == ("/photos", "simulated votes")
        assert rejects(path)[0]["reason"] == "given"
        assert verify(path) == []
