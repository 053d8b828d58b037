"""How every command ends: one line for a problem, exit codes, signals.

Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cache.errors import AestheticError

# Wrong usage is argparse's affair: 2.
EXIT_OK, EXIT_PROBLEM, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143


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

    TensorFlow greets on the descriptor itself before its own log level is read.
    """
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


def run(
    name: str,
    command: Callable[[], int],
    *,
    when_stopped: str = "Nothing half-made is left in place; the same command starts anew.",
) -> int:
    """Run a command and return its exit code: 0, 1 (a problem), 130 (Ctrl-C), 143 (SIGTERM).

    Args:
        name: the command's name, shown before an error.
        command: does the work and returns an exit code.
        when_stopped: what is left after Ctrl-C or SIGTERM, and how to go on.
    """
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return command()
    except AestheticError as error:
        note(f"{name}: {error.one_line()}")
        return EXIT_PROBLEM
    except Terminated:
        note(f"{name}: terminated. {when_stopped}")
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        note(f"{name}: interrupted. {when_stopped}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PROBLEM
    finally:
        signal.signal(signal.SIGTERM, previous)
