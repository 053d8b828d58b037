"""A process that fills a cache is killed at some hundred moments; nothing wrong is ever left."""

from __future__ import annotations

import json
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cache.rejects import rejects_path
from cache.schema import FileFacts
from cache.store import open_cache, partial_path
from cache.verify import verify
from tests.cache import forking
from tests.cache.forking import MEMORY, Server
from tests.cache.killed import MANIFEST, N, Task, facts_now, features_of, fill
from tests.helpers import assert_same_cache, take

SEED = 20
KILLS_A_PHASE, KILLS_BY_THE_CLOCK = 4, 8
PHASES = {
    "creation",
    "features",
    "status",
    "reading back",
    "completion",
    "rename",
    "opening and closing",
}


def nothing(folder: Path) -> None:
    """Start without any earlier file."""


def fewer(folder: Path) -> None:
    """Start with a finished cache of every other photograph, some in another version."""
    rows = list(range(0, N, 2))
    facts = FileFacts(facts_now().size_bytes[rows], facts_now().mtime_ns[rows])
    facts.mtime_ns[:4] += 1
    fill(folder / "train.h5", take(MANIFEST, rows), facts)


def changed(folder: Path) -> None:
    """Start with a half-filled cache of photographs that since came, went or changed."""
    facts = facts_now()
    facts.mtime_ns[:12] += 1
    for column in (facts.size_bytes, facts.mtime_ns):
        column[[3, 17]] = 7
        column[[8, 20]] = -1
    fill(folder / "train.h5", MANIFEST, facts, blocks=3)


BEGINNINGS = (nothing, fewer, changed)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests."""
    with forking.server("tests.cache.killed") as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory."""
    path = Path(tempfile.mkdtemp(dir=MEMORY))
    yield path
    shutil.rmtree(path)


class Trial:
    """One beginning, filled again and again with another end."""

    def __init__(self, folder: Path, begin: Callable[[Path], None]) -> None:
        self.folder = folder
        self.beginning = folder / "beginning"
        self.whole = folder / "whole" / "train.h5"
        self.path = folder / "trial" / "train.h5"
        self.beginning.mkdir()
        begin(self.beginning)
        self.whole.parent.mkdir()
        fill(self.whole, MANIFEST, facts_now())

    def reset(self) -> None:
        """Put the beginning back."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        shutil.copytree(self.beginning, self.path.parent)

    def check_what_is_left(self) -> None:
        """Check that each file opens and that every row that is flagged is right."""
        if self.path.exists():
            assert verify(self.path) == []
        for path in (self.path, partial_path(self.path)):
            if not path.exists():
                continue
            cache = open_cache(path, allow_partial=True)
            ok = cache.ok_rows
            assert not len(cache.wrong_rows(ok, cache.features[ok]))
            for row in ok.tolist():
                right = features_of(str(cache.labels.image_id[row]), int(cache.facts.mtime_ns[row]))
                assert np.array_equal(cache.features[row], right)

    def check_after_going_on(self) -> None:
        """Go on to the end; check that all is as if nothing had happened."""
        fill(self.path, MANIFEST, facts_now())
        assert_same_cache(self.path, self.whole)
        assert verify(self.path) == []
        assert rejects_path(self.path).read_text() == rejects_path(self.whole).read_text()
        assert {p.name for p in self.path.parent.iterdir()} == {"train.h5", "train.rejects.csv"}


def moments(phases: list[str], dice: random.Random) -> Iterator[tuple[int, str]]:
    """Draw random moments of each phase, and its first and last."""
    for phase in sorted(set(phases)):
        of_phase = [i for i, p in enumerate(phases) if p == phase]
        drawn = dice.sample(of_phase, min(KILLS_A_PHASE, len(of_phase)))
        yield from ((i, phase) for i in sorted({*drawn, of_phase[0], of_phase[-1]}))


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_kill_at_any_call_leaves_nothing_wrong(
    server: Server, folder: Path, begin: Callable[[Path], None]
) -> None:
    trial, record = Trial(folder, begin), folder / "phases.json"
    trial.reset()
    done = server.run(Task(str(trial.path.parent), record=str(record)))
    assert (done["signal"], done["exit"]) == (0, 0)
    trial.check_after_going_on()
    phases = json.loads(record.read_text())
    only = {"taking note of changes"} if begin is changed else {"creation"}
    assert set(phases) == (PHASES - {"creation"}) | only
    n_killed = 0
    for moment, phase in moments(phases, random.Random(SEED)):
        trial.reset()
        ended = server.run(Task(str(trial.path.parent), at_event=moment))
        assert ended["signal"] == signal.SIGKILL, f"not killed at {moment} in {phase}"
        n_killed += 1
        try:
            trial.check_what_is_left()
            trial.check_after_going_on()
        except BaseException as error:
            error.add_note(f"after a kill at call {moment} of {len(phases)}, in {phase}")
            raise
    assert n_killed >= 4 * len(set(phases))


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_kill_from_outside_at_any_time_leaves_nothing_wrong(
    server: Server, folder: Path, begin: Callable[[Path], None]
) -> None:
    trial, dice = Trial(folder, begin), random.Random(SEED)
    trial.reset()
    seconds = server.run(Task(str(trial.path.parent)))["seconds"]
    for _ in range(KILLS_BY_THE_CLOCK):
        trial.reset()
        server.run(Task(str(trial.path.parent), after_seconds=dice.uniform(0, seconds)))
        trial.check_what_is_left()
        trial.check_after_going_on()


def test_kill_after_kill_still_comes_to_the_end(server: Server, folder: Path) -> None:
    trial, record = Trial(folder, changed), folder / "phases.json"
    trial.reset()
    server.run(Task(str(trial.path.parent), record=str(record)))
    n_events = len(json.loads(record.read_text()))
    trial.reset()
    for part in range(1, 9):
        moment = n_events * part // 10
        server.run(Task(str(trial.path.parent), at_event=moment))
        trial.check_what_is_left()
    trial.check_after_going_on()
