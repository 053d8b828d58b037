"""Disks that are full and folders that cannot be written: mounted for real, told in words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cache.errors import StorageError
from cache.export import export
from cache.files import (
    exclusive,
    storage_errors,
    write_text_atomically,
)
from cache.resume import Reuse, open_writer
from cache.schema import Provenance
from cache.store import open_cache, partial_path
from cache.types import Status
from cache.verify import verify
from cache.writer import Block
from tests.helpers import make_features, make_manifest, make_spec, present, small_cache, write_cache


@contextmanager
def mounted(target: Path, size: str) -> Iterator[None]:
    """Mount a disk in memory for a while, or skip the test where that is not allowed."""
    target.mkdir()
    mount(target, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def mount(target: Path, *options: str) -> None:
    """Mount something for a test, or skip it where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and the command mount")
    command = ["mount", *options, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mounting allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    target = tmp_path / "disk"
    with mounted(target, "512k"):
        yield target


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted read-only, with a cache in it."""
    target = tmp_path / "read-only"
    with mounted(target, "1m"):
        small_cache(target / "train.h5")
        mount(target, "-o", "remount,ro")
        yield target


SPEC = make_spec(n_features=256)


class TestFullDisk:
    def test_a_cache_that_does_not_fit_says_so_before_any_work(self, disk: Path) -> None:
        n = 2000
        with pytest.raises(StorageError, match=r"train\.h5 cannot be written: the disk is full"):
            open_writer(
                disk / "train.h5", make_manifest(n), SPEC, present(n), Provenance(), Reuse()
            )
        assert list(disk.iterdir()) == []

    @pytest.mark.parametrize("kilobytes", [0, 4, 8, 16, 24])
    def test_a_nearly_full_disk_is_told_in_words(self, disk: Path, kilobytes: int) -> None:
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - (kilobytes << 10)))
        with pytest.raises(StorageError, match="cannot be written: the disk is full"):
            small_cache(disk / "train.h5", 200)
        with pytest.raises(StorageError, match="cannot be written: the disk is full"):
            write_text_atomically(disk / "report.html", "text" * 10**5)
        assert [path.name for path in disk.iterdir()] == ["filler"]

    def test_room_that_goes_during_the_work_costs_nothing(self, disk: Path) -> None:
        n = 200
        path, features = disk / "train.h5", make_features(n, SPEC)
        writer = open_writer(path, make_manifest(n), SPEC, present(n), Provenance(), Reuse())
        with writer:
            fill_up(disk)
            rows = np.arange(n)
            ok, size = np.full(n, Status.OK, np.uint8), np.zeros((n, 2), np.int32)
            writer.write(Block(rows, features, ok, size, {}))
        assert np.array_equal(open_cache(partial_path(path), allow_partial=True).features, features)

    def test_what_is_written_is_kept_and_the_same_command_goes_on(self, disk: Path) -> None:
        n = 200
        path, features, manifest = disk / "train.h5", make_features(n, SPEC), make_manifest(n)
        writer = open_writer(path, manifest, SPEC, present(n), Provenance(), Reuse())
        size = np.zeros((100, 2), np.int32)
        first, second = np.arange(100), np.arange(100, 200)
        ok, bad = np.full(100, Status.OK, np.uint8), np.full(100, Status.UNREADABLE, np.uint8)
        writer.write(Block(first, features[first], ok, size, {}))
        fill_up(disk)
        reasons = {int(row): "broken " * 20 for row in second}
        with pytest.raises(StorageError, match="the disk is full"), writer:
            writer.write(Block(second, features[second], bad, size, reasons))
        (disk / "filler").unlink()
        writer = open_writer(path, manifest, SPEC, present(n), Provenance(), Reuse())
        with writer:
            assert writer.pending.tolist() == second.tolist()
            writer.write(Block(second, features[second], ok, size, {}))
            writer.finish()
        assert np.array_equal(open_cache(path).features, features)
        assert verify(path) == []

    def test_an_export_that_does_not_fit_leaves_nothing(self, disk: Path, tmp_path: Path) -> None:
        n = 2000
        cache = write_cache(tmp_path / "a.h5", make_manifest(n), SPEC, make_features(n, SPEC))
        with pytest.raises(StorageError, match=r"a\.npz cannot be written: the disk is full"):
            export(cache, disk / "a.npz", "npz", overwrite=False)
        assert list(disk.iterdir()) == []


def fill_up(disk: Path) -> None:
    """Take all the room that a disk has left."""
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
    assert shutil.disk_usage(disk).free == 0


class TestFoldersThatCannotBeWritten:
    def test_a_read_only_folder_is_named(self, read_only: Path) -> None:
        path = read_only / "val.h5"
        words = f"{path} cannot be written: no permission, or a read-only folder. Choose another"
        with pytest.raises(StorageError, match=re.escape(words)):
            small_cache(path)
        with (
            pytest.raises(StorageError, match=re.escape(words)),
            storage_errors(path),
            exclusive(path),
        ):
            pass

    def test_a_cache_in_a_read_only_folder_can_be_read(self, read_only: Path) -> None:
        path = read_only / "train.h5"
        assert verify(path) == []
        assert open_cache(path).features[0].any()
        spec, manifest = make_spec(), make_manifest(20)
        facts = present(20)
        for column in (facts.size_bytes, facts.mtime_ns):
            column[:] = 0
        assert open_writer(path, manifest, spec, facts, Provenance(), Reuse()) is None

    def test_a_file_in_place_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "features").write_text("")
        words = "train.h5 cannot be written: a file stands where a folder is needed. Choose another"
        with pytest.raises(StorageError, match=re.escape(words)):
            small_cache(tmp_path / "features" / "train.h5")
