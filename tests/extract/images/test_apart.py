"""Readers answer as the function would here, and end by their limits or with whoever owns them."""

from __future__ import annotations

import gc
import math
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cache.console import note
from extract.images import apart as module
from extract.images.apart import NoReader, apart, spent
from extract.images.reasons import Refused, Unreadable

ROOM = 1 << 28


def test_a_function_is_called_in_another_process_again_and_again() -> None:
    pids = {apart(ROOM, os.getpid) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    before = spent()
    assert apart(ROOM, sum, range(10**6)) == 499_999_500_000
    assert spent() > before


def test_what_a_function_raises_is_raised_here_and_says_where_it_was() -> None:
    with pytest.raises(ValueError, match="math domain error") as caught:
        apart(ROOM, math.sqrt, -1)
    assert "In the process that read the photograph:\nTraceback" in caught.value.__notes__[0]
    with pytest.raises(MemoryError):
        apart(ROOM, bytearray, ROOM + module.OWN_BYTES)
    assert apart(ROOM, eval, f"len(bytearray({ROOM}))") == ROOM


def test_what_is_remarked_there_is_heard_here_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        apart(ROOM, note, "It rains.")
    assert capsys.readouterr().err == "It rains.\n"


def test_what_takes_longer_than_it_may_is_ended_and_the_next_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0)
    with pytest.raises(Unreadable, match=r"^takes more than 0 seconds of processor time to read$"):
        apart(ROOM, sum, range(10**12))
    assert apart(ROOM, abs, -1) == 1


def test_a_crash_is_a_reason_and_a_kill_from_outside_one_that_passes() -> None:
    with pytest.raises(Unreadable, match=r"^the process that read it crashed \(SIGABRT\)$"):
        apart(ROOM, os.abort)
    with pytest.raises(Unreadable, match=r"^the process that read it crashed \(exit code 3\)$"):
        apart(ROOM, os._exit, 3)
    with pytest.raises(Refused, match=r"^not to be read for now: the process .* was killed$"):
        apart(ROOM, signal.raise_signal, signal.SIGKILL)
    os.kill(apart(ROOM, os.getpid), signal.SIGKILL)  # while it waits
    time.sleep(0.1)
    assert apart(ROOM, abs, -1) == 1


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_thread_has_its_own_reader_which_ends_with_it() -> None:
    pids = [apart(ROOM, os.getpid)]
    thread = threading.Thread(target=lambda: pids.append(apart(ROOM, os.getpid)))
    thread.start()
    thread.join()
    gc.collect()
    assert pids[0] != pids[1]
    assert gone(pids[1])
    assert apart(ROOM, os.getpid) == pids[0]


BUSY = """
import os, sys, time
from extract.images.apart import apart
print(apart(1 << 28, os.getpid), flush=True)
apart(1 << 28, sum, range(10**12))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_reader_outlives_its_process(number: signal.Signals) -> None:
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=-1, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        reader = int(process.stdout.readline())
        assert is_running(reader)
        process.send_signal(number)
        assert process.wait(10) == -number
    assert gone(reader)


FORKING = """
import os, sys
from extract.images.apart import apart
mine = apart(1 << 28, os.getpid)
child = os.fork()
if child == 0:
    sys.exit(apart(1 << 28, os.getpid) == mine)
ended = os.waitpid(child, 0)[1]
sys.exit(ended or apart(1 << 28, os.getpid) != mine)
"""


def test_a_fork_has_a_reader_of_its_own_and_leaves_its_parents() -> None:
    assert subprocess.run([sys.executable, "-c", FORKING], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("/nothing/python", "No such file or directory: '/nothing/python'"),
        ("/bin/true", "/bin/true started none"),
        ("", "the path of Python is unknown"),
    ],
)
def test_where_no_process_can_be_started_that_is_said(
    monkeypatch: pytest.MonkeyPatch, python: str, reason: str
) -> None:
    monkeypatch.setattr(module, "_own", threading.local())
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(NoReader, match=f"{reason}$"):
        apart(ROOM, operator.neg, 1)
