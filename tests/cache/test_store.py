"""The writer and the store against a plain dict, under random operations."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cache import schema
from cache.errors import FormatError, IncompleteCacheError, StaleCacheError
from cache.files import exclusive
from cache.labels import Manifest
from cache.resume import Reuse, open_writer, pending_rows
from cache.schema import FileFacts, Provenance
from cache.store import FeatureCache, open_cache, partial_path
from cache.types import Status
from cache.verify import verify
from cache.writer import Block, CacheWriter
from tests.helpers import make_features, make_manifest, make_spec, small_cache, take

SPEC = make_spec(n_features=4, views=("center", "center flipped"))
OTHER_SPEC = replace(SPEC, interpolation="lanczos")
ALL = make_manifest(12, levels=3)
IDS = ALL.labels.image_id.tolist()
# Thousands of flushes cost little in a file system in memory.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class TestOpening:
    def test_labels_are_those_of_the_manifest(self, tmp_path: Path) -> None:
        manifest = make_manifest(20)
        cache = open_cache(small_cache(tmp_path / "train.h5"))
        assert cache.labels.image_id.tolist() == manifest.labels.image_id.tolist()
        assert cache.labels.path.tolist() == manifest.labels.path.tolist()
        assert cache.labels.group.tolist() == manifest.labels.group.tolist()
        assert np.array_equal(cache.labels.votes, manifest.labels.votes)
        assert np.array_equal(cache.labels.mean, manifest.labels.mean)
        assert (cache.scale, cache.threshold) == (manifest.labels.scale, manifest.labels.threshold)
        assert cache.split_rule == manifest.split_rule
        assert cache.manifest_sha256 == manifest.sha256
        assert (cache.split, cache.n_rows, cache.spec.views) == ("train", 20, ("center",))
        assert cache.labels.tags is None
        assert cache.labels.challenge is None

    def test_labels_of_means_have_no_votes(self, tmp_path: Path) -> None:
        assert open_cache(small_cache(tmp_path / "train.h5", levels=None)).labels.votes is None

    def test_features_cannot_be_changed(self, tmp_path: Path) -> None:
        cache = open_cache(small_cache(tmp_path / "train.h5"))
        assert np.array_equal(cache.features, make_features(20, make_spec()).astype(np.float16))
        with pytest.raises(ValueError, match="read-only"):
            cache.features[0] = 0

    @pytest.mark.parametrize(
        "rows",
        [slice(None), slice(3, 5), slice(18, 99), slice(1, 9, 3), slice(7, 7)]
        + [np.array(rows, np.int64) for rows in ([], [4], [19, 0, 1, 2, -1, 7, 7, 8], range(20))],
        ids=str,
    )
    def test_rows_are_those_that_h5py_reads(
        self, tmp_path: Path, rows: slice | npt.NDArray[np.int64]
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path) as file:
            expected = file["features"][:][rows]
        stored = open_cache(path).feature_rows
        assert (stored.shape, len(stored)) == (open_cache(path).features.shape, 20)
        read = stored[rows]
        assert (read.dtype, read.tobytes()) == (stored.dtype, expected.tobytes())
        assert np.array_equal(open_cache(path).features[rows], expected)

    def test_rows_that_the_file_does_not_have_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(IndexError):
            open_cache(small_cache(tmp_path / "train.h5")).feature_rows[np.array([20])]

    def test_a_missing_shard_is_named_with_its_command(self, tmp_path: Path) -> None:
        with pytest.raises(
            IncompleteCacheError, match="Make it with `extract --split train --shard 2/3`, or"
        ):
            open_cache(tmp_path / "train.shard-2-of-3.h5")

    def test_a_missing_cache_is_told_apart_from_an_unfinished_one(self, tmp_path: Path) -> None:
        path = tmp_path / "val.h5"
        with pytest.raises(
            IncompleteCacheError,
            match=r"There is no cache .*val\.h5\. Make it with `extract --split val`, or with "
            r"`cache import` if its features were made elsewhere\.$",
        ):
            open_cache(path)
        small_cache(path).rename(partial_path(path))
        with pytest.raises(
            IncompleteCacheError,
            match=r"val\.h5 is not finished: only val\.h5\.partial is there\. The same `extract "
            r"--split val` command goes on with it\.",
        ):
            open_cache(path)

    def test_a_file_not_marked_complete_is_read_only_when_asked_for(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file.attrs.modify("complete", 0)
        with pytest.raises(IncompleteCacheError, match=r"train\.h5 is not finished; give the same"):
            open_cache(path)
        assert open_cache(path, allow_partial=True).n_rows == 20

    @pytest.mark.parametrize(
        "name", ["features", "image_id", "status", "mean", "crc32", "size", "file_bytes"]
    )
    def test_a_missing_dataset_is_damage(self, tmp_path: Path, name: str) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            del file[name]
        with pytest.raises(FormatError, match=f"h5 is damaged: the dataset {name} is missing"):
            open_cache(path)

    @pytest.mark.parametrize("name", ["votes", "mean", "image_id"])
    def test_a_short_column_is_damage(self, tmp_path: Path, name: str) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            short = file[name][:19]
            del file[name]
            file[name] = short
        with pytest.raises(FormatError, match="is damaged: its datasets have different numbers"):
            open_cache(path)

    def test_features_must_have_the_shape_that_the_header_says(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            del file["features"]
            file["features"] = np.zeros((20, 1, 9), "<f2")
        with pytest.raises(
            FormatError,
            match=r"the dataset features is \(20, 1, 9\), expected \(rows, 1, 8\)",
        ):
            open_cache(path)

    def test_chunked_features_are_refused(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            del file["features"]
            file.create_dataset("features", data=np.zeros((20, 1, 8), "<f2"), chunks=(5, 1, 8))
        with pytest.raises(FormatError, match="features is not stored contiguously in this file"):
            open_cache(path)

    @pytest.mark.parametrize("then", ["labels", "features"])
    def test_a_file_that_is_replaced_after_it_was_opened_gives_nothing_of_the_new_one(
        self, tmp_path: Path, then: str
    ) -> None:
        old, other = small_cache(tmp_path / "train.h5"), small_cache(tmp_path / "b.h5", 30, seed=1)
        cache, expected = open_cache(old), open_cache(old)
        first = expected.labels.mean, np.array(expected.features), expected.crc32, expected.facts
        if then == "labels":
            _ = cache.features
        other.replace(old)
        assert np.array_equal(cache.labels.mean, first[0])
        assert np.array_equal(cache.features, first[1])
        assert np.array_equal(cache.crc32, first[2])
        assert np.array_equal(cache.facts.size_bytes, first[3].size_bytes)
        cache.check_rows()
        assert open_cache(old).n_rows == 30

    def test_a_file_that_is_written_to_in_place_is_refused(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        cache = open_cache(path)
        with path.open("r+b") as file:
            file.write(path.read_bytes())
        os.utime(path, ns=(1, 1))
        with pytest.raises(
            FormatError, match=r"train\.h5 was written to while it was read\. Wait until that is do"
        ):
            cache.check_rows()

    def test_a_file_that_is_truncated_while_it_is_read_is_refused(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        cache = open_cache(path)
        n_bytes = path.stat().st_size
        os.truncate(path, 100)
        said = (
            rf"train\.h5 is damaged: it ends after 100 bytes and had {n_bytes:,} when it was "
            r"opened: somebody cut it off while it was read\. Extract or import it again"
        )
        for read in (
            lambda: cache.features,
            lambda: cache.labels,
            lambda: cache.feature_rows[np.array([19])],
            cache.check_rows,
        ):
            with pytest.raises(FormatError, match=said):
                read()

    def test_a_disk_that_fails_while_a_file_is_read_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = open_cache(small_cache(tmp_path / "train.h5"))

        def failing(*_: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "preadv", failing)
        with pytest.raises(
            FormatError, match=r"train\.h5 is damaged: it cannot be read: Input/output error\."
        ):
            cache.check_rows()

    def test_many_open_caches_hold_one_descriptor_each_and_give_it_back(
        self, tmp_path: Path
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        before = len(list(Path("/proc/self/fd").iterdir()))
        caches = [open_cache(path) for _ in range(50)]
        assert all(len(cache.features) == len(cache.labels) for cache in caches)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 50
        del caches
        gc.collect()
        assert len(list(Path("/proc/self/fd").iterdir())) <= before

    def test_another_process_opens_the_same_file_or_none(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        cache = open_cache(path)
        sent = pickle.dumps(cache)
        assert np.array_equal(pickle.loads(sent).features, cache.features)
        assert np.array_equal(pickle.loads(pickle.dumps(cache.features)), cache.features)
        small_cache(tmp_path / "b.h5").replace(path)
        with pytest.raises(FormatError, match=r"train\.h5 was replaced while it was used\. Give"):
            pickle.loads(sent)

    @pytest.mark.parametrize("name", ["path", "group", "image_id", "votes", "mean"])
    def test_labels_that_are_not_those_of_the_manifest_are_refused(
        self, tmp_path: Path, name: str
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file[name][:4] = file[name][:4][::-1]
        cache = open_cache(path)
        with pytest.raises(
            FormatError,
            match=r"train\.h5 is damaged: its labels do not match the manifest's SHA-256\. `cache "
            r"verify .*train\.h5` says more; extract it again with `extract --split train --overw",
        ):
            _ = cache.labels

    def test_labels_that_contradict_themselves_are_refused(self, tmp_path: Path) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file["image_id"][1] = file["image_id"][0]
        with pytest.raises(FormatError, match=r"its labels contradict themselves \(The id 'photo-"):
            _ = open_cache(path).labels

    @pytest.mark.parametrize("name", ["status", "size", "file_bytes", "file_mtime_ns", "crc32"])
    def test_a_column_that_is_not_as_it_was_sealed_is_refused(
        self, tmp_path: Path, name: str
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file[name][3] = 2
        with pytest.raises(
            FormatError,
            match=r"train\.h5 is damaged: attributes, or columns such as status and size",
        ):
            open_cache(path)

    @pytest.mark.parametrize("name", schema.SEALED_ATTRIBUTES)
    def test_an_attribute_that_is_not_as_it_was_sealed_is_refused(
        self, tmp_path: Path, name: str
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            value = file.attrs[name]
            other = value + "0" if isinstance(value, str) else b"x" + bytes(value)
            file.attrs[name] = value + 1 if isinstance(value, np.number | np.ndarray) else other
        with pytest.raises(
            FormatError, match=r"train\.h5 (is damaged|has cache v|is an HDF5 file)"
        ):
            open_cache(path)

    def test_the_place_of_photographs_may_be_renewed_and_older_files_have_no_seal(
        self, tmp_path: Path
    ) -> None:
        path = small_cache(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file.attrs["data_root"] = "/elsewhere"
        assert open_cache(path).data_root == Path("/elsewhere")
        with h5py.File(path, "r+") as file:
            del file.attrs["seal"]
            file["size"][3] = 2
        assert open_cache(path).header.seal is None

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "train.h5")
        with pytest.raises(FormatError, match=r"train\.h5 cannot be opened: it is no regular file"):
            open_cache(tmp_path / "train.h5")

    def test_two_layers_are_found_by_their_slices(self, tmp_path: Path) -> None:
        cache = open_cache(small_cache(tmp_path / "train.h5"))
        assert cache.features[:, :, cache.spec.layer_slice("top")].shape == (20, 1, 8)


@dataclass(frozen=True)
class Photograph:
    """A file on the imagined disk: its version shows in size and time; it may be broken."""

    version: int
    broken: bool


def features_of(image_id: str, version: int) -> np.ndarray:
    """Return the features that the imagined extractor sees: other ones for every version."""
    return make_features(1, SPEC, crc32(f"{image_id} {version}".encode()))[0]


Known = dict[str, tuple[Status, int]]


@dataclass
class Model:
    """What a cache file should hold: by id, status and the version that was looked at."""

    ids: list[str]
    rows: Known
    complete: bool


class CacheAgainstDict(RuleBasedStateMachine):
    """Photographs come, go, change and break while a cache of them is filled, closed, reopened."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.path = self.folder / "train.h5"
        self.disk: dict[str, Photograph] = {}
        self.wanted = list(IDS[:6])
        self.partial: Model | None = None
        self.finished: Model | None = None
        self.writer: CacheWriter | None = None

    def teardown(self) -> None:
        self.close()
        shutil.rmtree(self.folder)

    # --- the imagined disk

    @initialize(there=st.sets(st.sampled_from(IDS), min_size=3), broken=st.sampled_from(IDS[:6]))
    def some_photographs(self, there: set[str], broken: str) -> None:
        self.disk = {i: Photograph(1, broken=i == broken) for i in there | {broken}}

    @rule(image_id=st.sampled_from(IDS), broken=st.booleans())
    def a_photograph_comes_or_changes(self, image_id: str, broken: bool) -> None:
        before = self.disk.get(image_id, Photograph(0, broken=False))
        self.disk[image_id] = Photograph(before.version + 1, broken)

    @rule(image_id=st.sampled_from(IDS))
    def a_photograph_goes(self, image_id: str) -> None:
        self.disk.pop(image_id, None)

    @rule(image_id=st.sampled_from(IDS))
    def a_photograph_can_be_read_after_all(self, image_id: str) -> None:
        if image_id in self.disk:
            self.disk[image_id] = replace(self.disk[image_id], broken=False)

    @rule(ids=st.sets(st.sampled_from(IDS), min_size=1))
    def other_photographs_are_labelled(self, ids: set[str]) -> None:
        self.wanted = sorted(ids)

    def manifest(self) -> Manifest:
        return take(ALL, [IDS.index(image_id) for image_id in self.wanted])

    def facts(self) -> FileFacts:
        sizes = [100 + self.disk[i].version // 3 if i in self.disk else -1 for i in self.wanted]
        times = [self.disk[i].version if i in self.disk else -1 for i in self.wanted]
        return FileFacts(np.array(sizes, np.int64), np.array(times, np.int64))

    # --- what is done with the cache

    @precondition(lambda self: self.writer is None)
    @rule(overwrite=st.sampled_from([False] * 5 + [True]), retry=st.booleans())
    def open(self, overwrite: bool, retry: bool) -> None:
        expected = self.expected(overwrite, retry)
        reuse = Reuse(overwrite=overwrite, retry_failed=retry)
        counted = pending_rows(self.path, self.manifest(), SPEC, self.facts(), reuse).sum()
        with exclusive(self.path):
            self.writer = open_writer(
                self.path, self.manifest(), SPEC, self.facts(), Provenance(), reuse
            )
        if expected is None:
            assert self.writer is None
            assert counted == 0
            return
        assert self.writer is not None
        self.partial = expected
        assert counted == len(self.writer.pending)

    def expected(self, overwrite: bool, retry: bool) -> Model | None:
        """Return what the partial file holds after opening, or None if there is nothing to do."""
        if not overwrite and self.partial is None and self.is_current(retry):
            return None
        sources = [m for m in (self.partial, self.finished) if m is not None and not overwrite]
        if sources and sources[0] is self.partial and self.partial.ids == self.wanted:
            sources = [self.partial]
        kept = {Status.OK} if retry else {Status.OK, Status.UNREADABLE}
        rows: Known = {}
        for image_id in self.wanted:
            if image_id not in self.disk:
                rows[image_id] = (Status.MISSING, -1)
                continue
            version = self.disk[image_id].version
            known = [m.rows[image_id] for m in sources if image_id in m.rows]
            right = [row for row in known if row[0] in kept and row[1] == version]
            rows[image_id] = right[0] if right else (Status.PENDING, version)
        return Model(list(self.wanted), rows, complete=False)

    def is_current(self, retry: bool) -> bool:
        if self.finished is None or self.finished.ids != self.wanted:
            return False
        for image_id, (status, version) in self.finished.rows.items():
            there = image_id in self.disk
            if version != (self.disk[image_id].version if there else -1):
                return False
            if status is Status.MISSING and there:
                return False
            if status is Status.UNREADABLE and retry:
                return False
        return True

    @precondition(lambda self: self.writer is not None and len(self.writer.pending))
    @rule(n=st.integers(1, 5))
    def write_a_block(self, n: int) -> None:
        rows = self.writer.pending[:n]
        ids = self.writer.manifest.labels.image_id[rows].tolist()
        versions = [self.partial.rows[image_id][1] for image_id in ids]
        status = [self.outcome(i, v) for i, v in zip(ids, versions, strict=True)]
        self.writer.write(
            Block(
                rows=rows,
                features=np.stack([features_of(i, v) for i, v in zip(ids, versions, strict=True)]),
                status=np.array(status, np.uint8),
                size=np.full((len(rows), 2), 9, np.int32),
                reasons={
                    int(row): "broken"
                    for row, s in zip(rows, status, strict=True)
                    if s is Status.UNREADABLE
                },
            )
        )
        for image_id, s, version in zip(ids, status, versions, strict=True):
            self.partial.rows[image_id] = (s, version)

    def outcome(self, image_id: str, version: int) -> Status:
        """Return what becomes of a photograph that is read now, listed as of `version`."""
        there = self.disk.get(image_id)
        if there is None:
            return Status.MISSING
        return Status.UNREADABLE if there.broken else Status.OK

    @precondition(lambda self: self.writer is not None)
    @rule()
    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None

    @precondition(lambda self: self.writer is not None and not len(self.writer.pending))
    @rule()
    def finish(self) -> None:
        self.writer.finish()
        self.writer = None
        self.finished = replace(self.partial, complete=True)
        self.partial = None
        assert verify(self.path) == []

    @precondition(lambda self: self.writer is None and (self.partial or self.finished))
    @rule()
    def another_extractor_is_refused(self) -> None:
        with pytest.raises(StaleCacheError, match="interpolation"):
            open_writer(self.path, self.manifest(), OTHER_SPEC, self.facts(), Provenance(), Reuse())

    @precondition(lambda self: self.writer is not None)
    @rule()
    def write_all_and_finish(self) -> None:
        while len(self.writer.pending):
            self.write_a_block(5)
        self.finish()

    # --- what always holds

    @invariant()
    def the_files_hold_what_the_dict_holds(self) -> None:
        for path, model in ((partial_path(self.path), self.partial), (self.path, self.finished)):
            assert path.exists() == (model is not None)
            if model is not None:
                self.compare(open_cache(path, allow_partial=True), model)

    def compare(self, cache: FeatureCache, model: Model) -> None:
        assert cache.header.complete == model.complete
        assert cache.labels.image_id.tolist() == model.ids
        status = {i: Status(s) for i, s in zip(model.ids, cache.status.tolist(), strict=True)}
        assert status == {image_id: row[0] for image_id, row in model.rows.items()}
        for row, image_id in enumerate(model.ids):
            if status[image_id] is Status.OK:
                right = features_of(image_id, model.rows[image_id][1])
                assert np.array_equal(cache.features[row], right)
        rows = np.flatnonzero(cache.status != Status.PENDING)
        assert not len(cache.wrong_rows(rows, np.asarray(cache.features[rows])))


CacheAgainstDict.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCacheAgainstDict = CacheAgainstDict.TestCase
