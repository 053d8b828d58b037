"""A disk that fails at any single call: words, nothing published, and the next run ends well."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.rejects import read_rejects
from cache.store import open_cache, partial_path
from cache.verify import verify
from tests import failing
from tests.cheap import make_folder, make_weights
from tests.failing import Disk, Ended
from tests.helpers import assert_same_cache

N = 16
EXTRACT = "tests.cheap:main"


class Work:
    """One extraction, done again and again on disks that fail in turn."""

    def __init__(self, server: failing.Server, folder: Path) -> None:
        self.server = server
        self.data = make_folder(folder / "data", N)
        for number in (3, 11):
            (self.data / "images" / f"{number}.jpg").write_bytes(b"no picture")
            (self.data / "images" / f"{number + 1}.jpg").unlink()
        self.weights = make_weights(folder)
        self.whole = folder / "whole" / "train.h5"
        self.path = folder / "failing" / "train.h5"
        self.begun = folder / "begun"
        assert self.extract(self.whole.parent).code == 0

    def extract(self, out: Path, disk: Disk | None = None, *more: str) -> Ended:
        """Extract the split train, in several blocks."""
        given = ["--split", "train", "--data", self.data, "--out", out, "--weights", self.weights]
        given += ["--views", "flip", "--max-failure-rate", "0.5", "--jobs", "1", *more]
        return self.server.run(EXTRACT, given, disk)

    def check_failed(self, ended: Ended) -> None:
        """Check that it ended in words, and that what is published is whole."""
        assert ended.code == 1, ended
        assert ended.err.count("extract: ") == 1, ended.err
        assert "Traceback" not in ended.err
        assert "ignored" not in ended.err
        if self.path.exists():
            self.check_whole()

    def check_whole(self) -> None:
        """Check that the published file is as an undisturbed extraction's."""
        assert_same_cache(self.path, self.whole)
        assert verify(self.path) == []
        assert read_rejects(self.path) == read_rejects(self.whole)

    def check_after_going_on(self) -> None:
        """Go on without any disturbance; check that all is as if nothing had happened."""
        assert self.extract(self.path.parent).code == 0
        self.check_whole()
        names = {path.name for path in self.path.parent.iterdir()}
        assert names == {"train.h5", "train.rejects.csv"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    folder = tmp_path_factory.mktemp("disk")
    modules = ("extract.api", "extract.run.extract", "extract.labels.csv", "tests.cheap", "tqdm")
    with failing.server(folder, "h5py", "PIL.Image", *modules) as server:
        work = Work(server, folder)
        for at in range(8, 30):
            shutil.rmtree(work.begun, ignore_errors=True)
            ended = work.extract(work.begun, Disk("/begun/train", errno.EIO, ("pwrite",), at=at))
            assert ended.code == 1
            begun = open_cache(partial_path(work.begun / "train.h5"), allow_partial=True)
            if len(begun.ok_rows):
                break
        assert len(begun.ok_rows) < N - 3
        yield work


@pytest.mark.parametrize(("number", "begun"), [(errno.EIO, False), (errno.ENOSPC, True)])
def test_whichever_call_fails_it_says_so_and_the_next_run_ends_as_if_it_had_not(
    work: Work, number: int, begun: bool
) -> None:
    def reset() -> None:
        shutil.rmtree(work.path.parent, ignore_errors=True)
        if begun:
            shutil.copytree(work.begun, work.path.parent)

    reset()
    never = Disk("/failing/", number, at=10**6)
    calls = work.extract(work.path.parent, never).calls
    assert len(calls) > 20
    for at, call in list(enumerate(calls))[:: 3 if begun else 2]:
        reset()
        try:
            work.check_failed(work.extract(work.path.parent, Disk("/failing/", number, at=at)))
            work.check_after_going_on()
        except BaseException as error:
            error.add_note(f"call {at} of {len(calls)} failed: {call}")
            raise


@pytest.mark.parametrize(
    ("calls", "number", "said"),
    [
        (("flock",), errno.EOPNOTSUPP, "offers no locks (Operation not supported)."),
        (("fsync",), errno.EINVAL, "offers no way to force files and folders to the disk"),
    ],
)
def test_a_file_system_that_offers_less_is_remarked_on_once(
    work: Work, calls: tuple[str, ...], number: int, said: str
) -> None:
    shutil.rmtree(work.path.parent, ignore_errors=True)
    ended = work.extract(work.path.parent, Disk("/failing", number, calls))
    assert ended.code == 0, ended.err
    assert ended.err.count("this file system offers no") == 1
    assert said in ended.err
    work.check_whole()
    assert len(list(work.path.parent.iterdir())) == 2


def test_a_disk_that_says_yes_and_does_nothing_is_found_out(work: Work) -> None:
    found = 0
    shutil.rmtree(work.path.parent, ignore_errors=True)
    never = Disk("/failing/train", 0, ("pwrite",), at=10**6)
    calls = work.extract(work.path.parent, never).calls
    for at, call in enumerate(calls):
        shutil.rmtree(work.path.parent, ignore_errors=True)
        ended = work.extract(work.path.parent, Disk("/failing/train", 0, ("pwrite",), at=at))
        try:
            if ended.code == 0:  # it wrote what was there already
                work.check_whole()
                continue
            found += 1
            work.check_failed(ended)
            assert "reads back otherwise than it was written" in ended.err
            work.check_after_going_on()
        except BaseException as error:
            error.add_note(f"call {at} of {len(calls)} was dropped: {call}")
            raise
    assert found > 6
