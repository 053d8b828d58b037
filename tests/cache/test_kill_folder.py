"""A process that replaces a folder is killed at every moment; the old or the new one is found."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cache.files import replacing_folder, restore
from tests.cache import forking
from tests.cache.forking import MEMORY, Server
from tests.cache.killed_folder import Task, replace_folder, text_of


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests."""
    with forking.server("tests.cache.killed_folder") as server:
        yield server


@pytest.fixture
def run() -> Iterator[Path]:
    """The folder that is replaced, in a folder in memory."""
    path = Path(tempfile.mkdtemp(dir=MEMORY))
    yield path / "run"
    shutil.rmtree(path)


def reset(run: Path, before: str | None) -> None:
    """Start with a folder that holds a text, or with none."""
    for path in run.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if before is not None:
        replace_folder(run, before)


def fail_to_replace(run: Path) -> None:
    """Begin another replacement that ends in an error."""
    with suppress(KeyError), replacing_folder(run):
        raise KeyError


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_folder_whole(
    server: Server, run: Path, before: str | None, exchange: bool
) -> None:
    reset(run, before)
    done = server.run(Task(str(run), "new", exchange=exchange))
    assert done["signal"] == 0
    assert text_of(run) == "new"
    assert done["events"] > 50
    found = []
    for moment in range(done["events"]):
        reset(run, before)
        ended = server.run(Task(str(run), "new", moment, exchange))
        assert ended["signal"] == signal.SIGKILL
        found.append(text_of(run))
        # One half is put back by whoever asks, the other by whoever replaces it next.
        restore(run) if moment % 2 else fail_to_replace(run)
        assert text_of(run) in (before, "new"), f"after a kill at moment {moment}"
        replace_folder(run, "later")
        assert text_of(run) == "later"
        assert [path.name for path in run.parent.iterdir()] == ["run"]
    assert found[0] == before
    assert found[-1] == "new"
    # Without an exchange there is a gap between two renames; with it there is none.
    gap = [moment % 2 for moment, text in enumerate(found) if text is None]
    assert set(gap) == (set() if before and exchange else {0, 1})
