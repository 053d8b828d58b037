"""Runs and their outputs on a disk that fails at any single call: words, and nothing half."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from heads.runs.loaded import load_run
from tests import failing
from tests.failing import Disk

HEADS = "heads.cli.main:main"
LOST_LOCKS = (
    "this file system offers no locks (Function not implemented). Nothing keeps two writers of one "
    "file apart there"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[failing.Server]:
    modules = ("heads.cli.main", "heads.cli.train", "heads.cli.predict", "heads.experiments.train")
    more = ("heads.data.splits", "heads.runs.loaded", "heads.report.write", "heads.models.constant")
    with failing.server(tmp_path_factory.mktemp("disk"), *modules, *more) as server:
        yield server


COMMANDS = [
    (
        "predict",
        lambda out, run, features: ["predict", run, "--split", "val", "--out", out / "a.csv"],
    ),
    (
        "train",
        lambda out, run, data: ["train", "constant", "--features", data, "--out", out],
    ),
    ("report", lambda out, run, features: ["report", out]),
]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def run(server: failing.Server, planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of constant, the head that costs least."""
    out = tmp_path_factory.mktemp("runs")
    assert server.run(HEADS, ["train", "constant", "--features", planted, "--out", out]).code == 0
    return out / "constant"


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_whichever_call_fails_it_says_so_and_leaves_nothing_half(
    server: failing.Server, run: Path, planted: Path, tmp_path: Path, name: str, words: object
) -> None:
    out = tmp_path / "failing"

    def reset() -> None:
        shutil.rmtree(out, ignore_errors=True)
        if name == "report":
            shutil.copytree(run.parent, out)
        else:
            out.mkdir()

    reset()
    arguments = words(out, run, planted)
    done = server.run(HEADS, arguments, Disk("/failing", errno.ENOSPC, at=10**6))
    assert done.code == 0
    whole = tree(out)
    assert len(done.calls) > 5
    # Each takes a moment: some of the calls, the first and the last among them.
    step = max(1, len(done.calls) // 5)
    for at, call in [*list(enumerate(done.calls))[::step], (len(done.calls) - 1, done.calls[-1])]:
        reset()
        before = set(tree(out))
        ended = server.run(HEADS, arguments, Disk("/failing", errno.ENOSPC, at=at))
        try:
            assert ended.code == 1, ended
            assert "heads: " in ended.err, ended.err
            assert "cannot be written: the disk is full" in ended.err, ended.err
            assert "Traceback" not in ended.err
            assert "ignored" not in ended.err
            left = {path for path in tree(out) if not path.endswith(".lock")}
            assert left in (before, set(whole))
            assert server.run(HEADS, arguments).code == 0
            assert set(tree(out)) == set(whole)
        except BaseException as error:
            error.add_note(f"call {at} of {len(done.calls)} failed: {call}")
            raise
    if name == "train":
        assert load_run(out / "constant").config.head == "constant"


@pytest.mark.parametrize(
    ("calls", "number", "said"),
    [
        (("flock",), errno.ENOSYS, LOST_LOCKS),
        (("fsync",), errno.EINVAL, "offers no way to force files and folders to the disk (Invalid"),
    ],
)
def test_what_a_file_system_does_not_offer_is_gone_without_and_said_once(
    server: failing.Server,
    planted: Path,
    tmp_path: Path,
    calls: tuple[str, ...],
    number: int,
    said: str,
) -> None:
    out = tmp_path / "less"
    words = ["compare", "--heads", "constant", "--features", planted, "--out", out]
    ended = server.run(HEADS, words, Disk("/less", number, calls))
    assert ended.code == 0, ended.err
    assert ended.err.count("this file system offers no") == 1
    assert said in ended.err
    names = {"constant", "leaderboard.csv", "report.html"}
    assert {path.name for path in out.iterdir()} == names
