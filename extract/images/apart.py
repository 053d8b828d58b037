"""Photographs that may take long, read in a process of their own: a thread cannot be ended.

Each thread that needs one has its own reader, a small Python with Pillow and no framework, started
as any other program is, since a fork is unsafe where TensorFlow is loaded. The kernel ends a reader
that takes more processor time than it may, refuses it memory beyond its limit, and ends it with the
thread that it works for, however that one ends. Owns the process and its limits; knows no image.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from cache.console import LOGGER, note_once
from extract.images.reasons import Refused, Unreadable

# Of the processor, not by the clock, so that a busy machine refuses no photograph. The slowest one
# within all other limits takes half of it.
SECONDS = 30
# What a reader takes beside the photograph.
OWN_BYTES = 512 << 20
START_SECONDS = 60
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
READY = b"ready\n"
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import extract.images.decode; "
    "from extract.images.apart import serve; serve(int(sys.argv[2]))"
)
Made = TypeVar("Made")


class NoReader(Exception):
    """No process can be started here; the text says why."""


_own = threading.local()
_lock = threading.Lock()
_spent = 0.0


def spent() -> float:
    """Return the processor seconds that all readers of this process have reported."""
    return _spent


def apart(n_bytes: int, function: Callable[..., Made], *arguments: Any) -> Made:
    """Call a function of a module in this thread's reader, where it may take `n_bytes` of memory.

    Raises:
        NoReader: there is none, and none can be started.
        Unreadable: it took more time than it may, or its process crashed.
        Refused: its process was killed by somebody.
        Exception: what the function raises.
    """
    reader: _Reader | None = getattr(_own, "reader", None)
    if reader is None or not reader.is_alive():
        reader = _own.reader = _Reader()
    return reader.call(n_bytes, function, arguments)  # type: ignore[no-any-return]


class _Reader:
    """A reader as the thread sees it that started it."""

    def __init__(self) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise NoReader("the path of Python is unknown")
        flags = ("-I",) if sys.flags.isolated else ()
        command = [sys.executable, *flags, "-B", "-W", "ignore", "-c", PROGRAM]
        try:
            self._process = subprocess.Popen(  # its own session: Ctrl-C is the parent's affair
                [*command, json.dumps(sys.path), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            raise NoReader(str(error)) from None
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, self._process, self._owner)
        answers = self._process.stdout
        answered = answers and select.select([answers], [], [], START_SECONDS)[0]
        if answers and answered and answers.readline() == READY:
            return
        self._end()
        raise NoReader(f"{sys.executable} started none")

    def is_alive(self) -> bool:
        """Whether it waits for work of this process, which a fork of its owner is not."""
        return self._owner == os.getpid() and self._process.poll() is None

    def call(self, n_bytes: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Have a function called, and return its result or raise its error."""
        global _spent
        try:
            pickle.dump((SECONDS, n_bytes, function, arguments), self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
            seconds, made, error, remarks = pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise self._why() from None
        except BaseException:  # such as Ctrl-C: the next answer would be this one's
            self._end()
            raise
        with _lock:
            _spent += seconds
        for remark in remarks:
            note_once(remark)
        if error is not None:
            raise error
        return made

    def _why(self) -> Unreadable:
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return Unreadable(f"takes more than {SECONDS} seconds of processor time to read")
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return Refused("not to be read for now: the process that read it was killed")
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Unreadable(f"the process that read it crashed ({name})")


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a reader, unless this is a fork of its owner."""
    if os.getpid() != owner:
        process.returncode = 0  # somebody else's child
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # half a request that nobody reads
            pipe.close()  # type: ignore[union-attr]


# --- in the reader -------------------------------------------------------------------------------


def serve(owner: int) -> None:
    """Do what is asked on stdin, and answer on stdout, until the owner ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write(READY)
    answers.flush()
    remarks: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        remarks.append(record.getMessage())
        return False

    logger = logging.getLogger(LOGGER)  # no command runs here: that is where `note` goes
    logger.setLevel(logging.INFO)
    logger.addFilter(hear)
    while True:
        try:
            seconds, n_bytes, function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        begun = time.process_time()
        _limit(resource.RLIMIT_CPU, int(begun) + 1 + seconds)
        _limit(resource.RLIMIT_DATA, OWN_BYTES + n_bytes)
        answers.write(_answer(begun, function, arguments, remarks))
        answers.flush()
        remarks.clear()
        del function, arguments


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard < 0 else min(value, hard), hard))


def _answer(
    begun: float, function: Callable[..., Any], arguments: tuple[Any, ...], remarks: list[str]
) -> bytes:
    """Return (processor seconds, result, error, remarks) of a call, pickled."""
    try:
        made, error = function(*arguments), None
        return pickle.dumps((time.process_time() - begun, made, error, remarks))
    except Exception as raised:
        if not isinstance(raised, Unreadable):
            raised.add_note(f"In the process that read the photograph:\n{traceback.format_exc()}")
        return pickle.dumps((time.process_time() - begun, None, raised, remarks))
