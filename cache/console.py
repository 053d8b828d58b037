"""How every command runs and ends: its process's settings, one line for a problem, exit codes.

What a command settles for its whole process is settled here and nowhere else: a library leaves all
that to the program that runs it. Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cache.errors import AestheticError

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # of TensorFlow; 3 leaves fatal errors only
# Wrong usage is argparse's affair: 2.
EXIT_OK, EXIT_PROBLEM, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143


# The commands that are running in this process, none while another program uses the packages.
_running: list[str] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread so that files are closed as for Ctrl-C."""


def note(text: str) -> None:
    """Print a remark to stderr; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Swallow what a library's C code prints while it is imported; show it all if that fails.

    TensorFlow greets on the descriptor itself before its own log level is read. Does nothing
    unless a command of ours runs: in another program's process other threads print there too.
    """
    if not _running:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as swallowed:
        os.dup2(swallowed.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            swallowed.seek(0)
            os.write(2, swallowed.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def run(name: str, command: Callable[[], int]) -> int:
    """Run a command and return its exit code: 0, 1 (a problem), 130 (Ctrl-C), 143 (SIGTERM).

    Args:
        name: the command's name, shown before an error.
        command: does the work and returns an exit code.
    """
    try:
        with _own_process(name):
            return command()
    except AestheticError as error:
        note(f"{name}: {error.one_line()}")
        return EXIT_PROBLEM
    except Terminated:
        note(f"{name}: terminated. {_resume_hint(name)}")
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        note(f"{name}: interrupted. {_resume_hint(name)}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PROBLEM


@contextmanager
def _own_process(name: str) -> Iterator[None]:
    """Settle what a command may settle for its process, and undo it: SIGTERM ends it as Ctrl-C
    does, TensorFlow keeps its remarks to itself, and so does Pillow on odd metadata of photographs
    that are read all the same."""
    signal_before = signal.signal(signal.SIGTERM, _terminate)
    level_before = os.environ.get(LOG_LEVEL)
    _running.append(name)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            os.environ.setdefault(LOG_LEVEL, "3")
            yield
    finally:
        _running.pop()
        if level_before is None:
            os.environ.pop(LOG_LEVEL, None)
        signal.signal(signal.SIGTERM, signal_before)


def _resume_hint(name: str) -> str:
    if name == "extract":
        return "What is written is kept; the same command goes on from there."
    if name == "heads":
        return "Finished runs are kept; the same command goes on with the rest."
    return "Nothing half-made is left in place; the same command starts anew."
