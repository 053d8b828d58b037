"""Going on with a file, and what counts of earlier work."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

from cache.errors import FormatError, StaleCacheError, StorageError
from cache.resume import Reuse, is_current, open_writer, pending_rows, renew
from cache.schema import FileFacts, Provenance
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
    make_manifest,
    present,
    relabelled,
    small_cache,
    take,
)


class TestGoingOn:
    def test_a_resumed_file_equals_an_uninterrupted_one(self, tmp_path: Path) -> None:
        path = tmp_path / "resumed" / "train.h5"
        for stop in (4, 8):
            with opened(path) as writer:
                writer.write(block(writer.pending[writer.pending < stop].tolist(), bad=[2, 9]))
        with opened(path) as writer:
            assert writer.pending.tolist() == [8, 9, 10, 11]
            writer.write(block(writer.pending.tolist(), bad=[2, 9]))
            writer.finish()
        whole = fill(tmp_path / "whole" / "train.h5", bad=[2, 9])
        assert_same_cache(path, whole)
        assert rejects(path) == rejects(whole)

    def test_there_is_nothing_to_do_for_a_finished_file(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        before = path.stat()
        assert opened(path) is None
        assert is_current(path, MANIFEST, SPEC, present(N), Reuse())
        assert path.stat() == before
        assert not partial_path(path).exists()

    def test_a_file_complete_but_not_yet_renamed_is_only_renamed(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        path.rename(partial_path(path))
        with opened(path) as writer:
            assert not len(writer.pending)
            writer.finish()
        assert verify(path) == []

    def test_overwriting_starts_anew(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5", bad=[1])
        with opened(path, reuse=Reuse(overwrite=True)) as writer:
            assert len(writer.pending) == N
            assert not writer.reasons()
            assert path.exists(), "the finished file stays until it is replaced"

    def test_overwriting_replaces_no_file_that_is_no_cache(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with h5py.File(path, "w") as file:
            file["mine"] = [1]
        with pytest.raises(StorageError, match=r"train\.h5 exists and is no earlier output"):
            opened(path, reuse=Reuse(overwrite=True))
        assert [p.name for p in tmp_path.iterdir()] == ["train.h5"]
        path.write_bytes(b"")
        with opened(path, reuse=Reuse(overwrite=True)) as writer:
            assert len(writer.pending) == N

    def test_rows_of_a_partial_file_with_a_wrong_checksum_are_done_again(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(9)))
        with h5py.File(partial_path(path), "r+") as file:
            file["features"][4, 0, 0] += 1
            file["crc32"][7] = 0
        assert pending_rows(path, MANIFEST, SPEC, present(N), Reuse()).sum() == N - 9 + 2
        with opened(path) as writer:
            assert writer.pending.tolist() == [4, 7, 9, 10, 11]
            writer.write(block(writer.pending.tolist()))
            writer.finish()
        words = f"{partial_path(path)}: 2 rows have a wrong checksum and are done again.\n"
        assert capsys.readouterr().err == 2 * words
        assert_same_cache(path, fill(tmp_path / "whole" / "train.h5"))

    def test_those_rows_are_not_taken_over_by_another_manifest_either(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(9)))
        with h5py.File(partial_path(path), "r+") as file:
            file["features"][4, 0, 0] += 1
        with opened(path, make_manifest(N, seed=5)) as writer:
            assert writer.pending.tolist() == [4, 9, 10, 11]

    @pytest.mark.parametrize("column", ["path", "mean"])
    def test_a_partial_file_whose_labels_are_damaged_is_begun_anew(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
    ) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(9)))
        with h5py.File(partial_path(path), "r+") as file:
            file[column][3] = file[column][4]
        with opened(path) as writer:
            assert len(writer.pending) == N
            writer.write(block(range(N)))
            writer.finish()
        words = "its labels are damaged, so it is not gone on with but begun anew."
        assert capsys.readouterr().err == f"{partial_path(path)}: {words}\n"
        assert_same_cache(path, fill(tmp_path / "whole" / "train.h5"))

    def test_an_overwriting_that_was_cut_off_is_gone_on_with(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        other = replace(SPEC, interpolation="lanczos")
        with opened(path, spec=other, reuse=Reuse(overwrite=True)) as writer:
            writer.write(block(range(5)))
        with opened(path, spec=other) as writer:
            assert writer.pending.tolist() == list(range(5, N))
        more = relabelled(make_manifest(N), threshold="3.5")
        with opened(path, more, spec=other) as writer:
            assert writer.pending.tolist() == list(range(5, N))

    def test_retrying_does_the_unreadable_again(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5", bad=[2, 5])
        assert opened(path) is None
        with opened(path, reuse=Reuse(retry_failed=True)) as writer:
            assert writer.pending.tolist() == [2, 5]
            writer.write(block([2, 5], bad=[5]))
            writer.finish()
        assert [row["image_id"] for row in rejects(path)] == ["photo-0005"]
        assert verify(path) == []

    def test_retrying_does_the_unreadable_of_a_partial_file_again(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(6), bad=[2]))
        with opened(path, reuse=Reuse(retry_failed=True)) as writer:
            assert writer.pending.tolist() == [2, *range(6, N)]


class TestPhotographsThatChange:
    def test_a_changed_file_is_extracted_again(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        facts = present(N)
        facts.mtime_ns[3] += 1
        facts.size_bytes[7] += 1
        with opened(path, facts=facts) as writer:
            assert writer.pending.tolist() == [3, 7]

    def test_a_file_that_went_is_missing_and_leaves_no_features(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path) as writer:
            writer.write(block(range(6)))
        with opened(path, facts=without_file([2, 8])) as writer:
            assert writer.status[[2, 8]].tolist() == [Status.MISSING] * 2
            writer.write(block(writer.pending.tolist()))
            writer.finish()
        with opened(tmp_path / "whole" / "train.h5", facts=without_file([2, 8])) as writer:
            writer.write(block(writer.pending.tolist()))
            writer.finish()
        assert_same_cache(path, tmp_path / "whole" / "train.h5")
        assert verify(path) == []

    def test_a_file_that_came_is_extracted(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path, facts=without_file([2, 8])) as writer:
            writer.write(block(writer.pending.tolist()))
            writer.finish()
        with opened(path) as writer:
            assert writer.pending.tolist() == [2, 8]
            writer.write(block([2, 8]))
            writer.finish()
        assert_same_cache(path, fill(tmp_path / "whole" / "train.h5"))

    def test_a_complete_partial_file_is_not_complete_any_more(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        path.rename(partial_path(path))
        with opened(path, facts=present(N, mtime_ns=2)) as writer:
            assert len(writer.pending) == N
        assert not open_cache(partial_path(path), allow_partial=True).header.complete


class TestAnotherManifest:
    def test_more_photographs_keep_the_rows_that_are_there(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        odd = list(range(1, N, 2))
        with opened(path, take(MANIFEST, odd)) as writer:
            writer.write(replace(block(odd, bad=[5]), rows=np.arange(6), reasons={2: "broken"}))
            writer.finish()
        with opened(path) as writer:
            assert writer.pending.tolist() == list(range(0, N, 2))
            assert writer.reasons() == Counter({"broken": 1})
            assert path.exists(), "the finished file stays until it is replaced"
            writer.write(block(writer.pending.tolist()))
            writer.finish()
        cache = open_cache(path)
        assert cache.status[5] == Status.UNREADABLE
        assert np.array_equal(cache.features[cache.ok_rows], FEATURES[cache.ok_rows])
        assert verify(path) == []

    def test_rows_of_files_of_another_size_or_time_are_not_kept(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        facts = present(N)
        facts.mtime_ns[3] += 1
        facts.size_bytes[7] += 1
        with opened(path, make_manifest(N, seed=5), facts) as writer:
            assert writer.pending.tolist() == [3, 7]

    def test_a_partial_and_a_finished_file_both_give_their_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with opened(path, take(MANIFEST, [0, 1, 2])) as writer:
            writer.write(block(range(3)))
            writer.finish()
        with opened(path, take(MANIFEST, range(6))) as writer:
            writer.write(block([3, 4]))
        with opened(path) as writer:
            assert writer.pending.tolist() == list(range(5, N))

    def test_other_donors_give_their_rows_and_reasons(self, tmp_path: Path) -> None:
        donor = tmp_path / "other.h5"
        with opened(donor, take(MANIFEST, range(6))) as writer:
            writer.write(block(range(6), bad=[4]))
            writer.finish()
        with opened(tmp_path / "train.h5", reuse=Reuse(donors=(donor,))) as writer:
            assert writer.pending.tolist() == list(range(6, N))
            assert writer.reasons() == Counter({"row 4 is broken": 1})

    def test_other_votes_keep_features_and_get_a_new_checksum(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        other = make_manifest(N, seed=5)
        with opened(path, other) as writer:
            assert not len(writer.pending)
            writer.finish()
        cache = open_cache(path)
        assert np.array_equal(cache.labels.votes, other.labels.votes)
        assert np.array_equal(cache.features, FEATURES.astype(np.float16))
        assert verify(path) == []

    def test_damage_is_not_taken_over(self, tmp_path: Path) -> None:
        path = fill(tmp_path / "train.h5")
        with h5py.File(path, "r+") as file:
            file["features"][4, 0, 0] += 1
        with pytest.raises(FormatError, match=r"train\.h5 is damaged: 1 rows from row 4 on have a"):
            opened(path, make_manifest(N, seed=5))
        assert path.exists()
        assert not partial_path(path).exists()


class TestAnotherExtractor:
    @pytest.mark.parametrize("finished", [True, False])
    def test_it_is_refused_and_the_field_and_both_values_are_named(
        self, tmp_path: Path, finished: bool
    ) -> None:
        path = fill(tmp_path / "train.h5")
        if not finished:
            path.rename(partial_path(path))
        with pytest.raises(StaleCacheError) as caught:
            opened(path, spec=replace(SPEC, interpolation="lanczos"))
        name = "train.h5" if finished else "train.h5.partial"
        assert str(caught.value) == (
            f"{tmp_path / name} was made by another extractor: its interpolation is bilinear, "
            "this command's is lanczos. Use the same settings, choose another --out, or replace "
            "it with --overwrite."
        )


class TestRenewal:
    NEW: ClassVar = {"data_root": "/new/place", "label_note": "", "label_files": {"a.csv": "2"}}

    def made(self, path: Path, bad: Sequence[int] = (2,)) -> Path:
        """Write a finished cache with a remark and another place, of a program of its own."""
        origin = Provenance("/old/place", "a remark", library_versions={"x": "1"})
        writer = open_writer(path, MANIFEST, SPEC, without_file([7]), origin, Reuse())
        assert writer is not None
        with writer:
            writer.record_engine("an engine")
            rows = writer.pending.tolist()
            writer.write(replace(block(rows, bad=bad), again=bad))
            return writer.finish()

    def test_place_remark_and_label_files_are_new_and_all_else_is_as_it_was(
        self, tmp_path: Path
    ) -> None:
        path = self.made(tmp_path / "train.h5")
        before, listed = open_cache(path), rejects(path)
        renew(path, **self.NEW)
        after = open_cache(path)
        assert after.header.provenance == replace(before.header.provenance, **self.NEW)
        assert after.manifest_sha256 == before.manifest_sha256
        for name in ("features", "status", "size", "crc32"):
            assert np.array_equal(getattr(after, name), getattr(before, name)), name
        assert np.array_equal(after.facts.size_bytes, before.facts.size_bytes)
        assert rejects(path) == listed
        assert verify(path) == []
        assert not partial_path(path).exists()

    def test_what_is_the_same_is_not_written(self, tmp_path: Path) -> None:
        path = self.made(tmp_path / "train.h5")
        before = path.stat()
        renew(path, data_root="/old/place")
        assert path.stat() == before

    def test_an_unfinished_file_beside_it_is_left_alone(self, tmp_path: Path) -> None:
        path = self.made(tmp_path / "train.h5")
        partial_path(path).write_bytes(path.read_bytes())
        with pytest.raises(StorageError) as caught:
            renew(path, **self.NEW)
        assert str(caught.value) == (
            f"{partial_path(path)} is unfinished; the same `extract` command finishes it."
        )

    def test_extraction_renews_a_finished_file_and_keeps_who_made_it(self, tmp_path: Path) -> None:
        path = self.made(tmp_path / "train.h5", bad=())
        before = open_cache(path).header.provenance
        origin = Provenance(**self.NEW, library_versions={"x": "2"}, created="later")
        facts = without_file([7])
        assert not is_current(path, MANIFEST, SPEC, facts, Reuse(), origin)
        with open_writer(path, MANIFEST, SPEC, facts, origin, Reuse()) as writer:
            assert not len(writer.pending)
            writer.finish()
        assert open_cache(path).header.provenance == replace(before, **self.NEW)
        assert open_writer(path, MANIFEST, SPEC, facts, origin, Reuse()) is None
        assert verify(path) == []

    def test_an_unfinished_file_is_renewed_with_its_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        old = Provenance("/old/place")
        with open_writer(path, MANIFEST, SPEC, present(N), old, Reuse()) as writer:
            writer.write(block(range(5)))
        origin = Provenance(**self.NEW)
        with open_writer(path, MANIFEST, SPEC, present(N), origin, Reuse()) as writer:
            assert writer.pending.tolist() == list(range(5, N))
            writer.write(block(range(5, N)))
            writer.finish()
        assert open_cache(path).header.provenance.data_root == "/new/place"

    def test_an_older_file_is_not_written_for_label_files_alone(self, tmp_path: Path) -> None:
        path = self.made(tmp_path / "train.h5", bad=[])
        origin = Provenance("/old/place", "a remark", label_files={"a.csv": "2"})
        assert open_writer(path, MANIFEST, SPEC, without_file([7]), origin, Reuse()) is None

    def test_a_folder_that_is_found_from_the_file_is_no_new_place(self, tmp_path: Path) -> None:
        project = tmp_path / "project"
        for name in MANIFEST.labels.path.tolist():
            (project / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (project / "data" / name).write_bytes(b"x" * 100)
        path = project / "features" / "train.h5"
        old = Provenance(str(project / "data"))
        with open_writer(path, MANIFEST, SPEC, present(N), old, Reuse()) as writer:
            writer.write(block(range(N)))
            writer.finish()
        moved = project.rename(tmp_path / "moved") / "features" / "train.h5"
        here = Provenance(str((tmp_path / "moved" / "data").resolve()))
        assert open_writer(moved, MANIFEST, SPEC, present(N), here, Reuse()) is None

    def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(self, tmp_path: Path) -> None:
        source = self.made(tmp_path / "source" / "train.h5")
        seen = set()
        for number in range(12):
            path = tmp_path / f"{number}" / "train.h5"
            path.parent.mkdir()
            shutil.copy(source, path)
            child = os.fork()
            if not child:
                renew(path, **self.NEW)
                os._exit(0)
            time.sleep(number * 0.002)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            assert verify(path) == []
            seen.add(open_cache(path).header.provenance.data_root)
            renew(path, **self.NEW)
            assert open_cache(path).header.provenance.data_root == "/new/place"
            assert [each.name for each in path.parent.iterdir()] == [path.name]
        assert "/old/place" in seen


class TestCountingBeforehand:
    @pytest.mark.parametrize("facts", [present(N), present(N, 2), without_file([0, 7])])
    @pytest.mark.parametrize("reuse", [Reuse(), Reuse(retry_failed=True), Reuse(overwrite=True)])
    @pytest.mark.parametrize("state", ["nothing", "partial", "finished", "fewer"])
    def test_it_promises_what_the_writer_then_finds(
        self, tmp_path: Path, facts: FileFacts, reuse: Reuse, state: str
    ) -> None:
        path = tmp_path / "train.h5"
        if state == "partial":
            with opened(path) as writer:
                writer.write(block(range(6), bad=[2]))
        elif state == "finished":
            fill(path, bad=[2])
        elif state == "fewer":
            with opened(path, take(MANIFEST, range(6))) as writer:
                writer.write(block(range(6), bad=[2]))
                writer.finish()
        promised = pending_rows(path, MANIFEST, SPEC, facts, reuse).sum()
        writer = opened(path, facts=facts, reuse=reuse)
        if writer is None:
            assert promised == 0
            return
        with writer:
            assert len(writer.pending) == promised


def test_a_damaged_earlier_file_is_named(tmp_path: Path) -> None:
    path = small_cache(tmp_path / "train.h5")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        FormatError, match=r"train\.h5 cannot be read: it is truncated\. Extract or import it again"
    ):
        opened(path)
