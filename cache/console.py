"""How every command runs and ends: its process's settings, one line for a problem, exit codes.

What a command settles for its whole process is settled here and nowhere else: a library leaves all
that to the program that runs it. Whatever a command shows people goes through `show` and `note`.
Standard library only, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import codecs
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from typing import Any, NoReturn, TextIO

from cache.errors import AestheticError
from cache.text import LONGEST_LINE, shown, shown_lines

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # of TensorFlow; 3 leaves fatal errors only
# Wrong usage is argparse's affair: 2.
EXIT_OK, EXIT_PROBLEM, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143
# How a closed stream is opened: reading from it ends at once, stdout refuses what is written.
STREAMS = {"stdin": os.O_RDONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}
# An error handler of codecs, and the signs that our tables have beyond ASCII.
PLAIN = "aesthetic-plain"
PLAIN_SIGNS = {"±": "+-", "–": "-", "−": "-", "\u202f": " ", "…": "..."}

TICK = 1.0  # seconds between two signs of life of work that shows no bar

# Gets the remarks where no command of ours runs.
LOGGER = "aesthetic_heads"

NOT_OURS = r"(?!(cache|extract|heads)(\.|$))"

# The lines of `working`, which a remark must not be written into.
_lines: list[Any] = []

# The commands that are running in this process, none while another program uses the packages.
_running: list[str] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised in the main thread so that files are closed as for Ctrl-C."""


def is_running() -> bool:
    """Whether a command of ours runs in this process, which is then its own."""
    return bool(_running)


def show(text: str) -> None:
    """Print a result for people to stdout, its lines as `cache.text.shown`."""
    _clear()
    print(shown_lines(text))


def note(text: str) -> None:
    """Print a remark to stderr, as `cache.text.shown`; results alone go to stdout.

    Where another program uses the packages, nothing is printed unasked: the remark goes to the
    logger `aesthetic_heads` at the level INFO. No work ends because nobody can hear a remark: the
    disk behind stderr may be full.
    """
    if not _running:
        logging.getLogger(LOGGER).info(shown(text, LONGEST_LINE))
        return
    _clear()
    try:
        print(shown(text, LONGEST_LINE), file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


@cache
def note_once(text: str) -> None:
    """Print a remark as `note` does, the first time only in a process."""
    note(text)


def exact_names() -> None:
    """Let stdout take UTF-8 and the bytes of names as they are, whatever the locale.

    For the formats that programs read; the command's end undoes it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


class Parser(argparse.ArgumentParser):
    """Shows what it refuses as `cache.text.shown`."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with 2."""
        super().error(shown(message, LONGEST_LINE))


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def bar(things: Iterable[Any] | None, words: str, total: int | None = None, **style: Any) -> Any:
    """Return tqdm's bar over things, which is off but on a terminal or as a notebook's widget."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets has no bars, and no matter
        from tqdm.auto import tqdm
    widget = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    off = False if widget else None
    return tqdm(things, words, total, disable=off, leave=False, **style)


@contextmanager
def working(words: str) -> Iterator[None]:
    """Show on a terminal what goes on, and each second for how long, until it ends.

    For work of seconds that cannot say how much of it is done, so that nothing seems to hang. Where
    another program uses the packages, nothing is shown unasked.
    """
    if not _running:
        yield
        return
    ended, form = threading.Event(), "{desc} ... {elapsed}"
    with (
        _second_stderr() as stream,
        bar(None, words, bar_format=form, delay=TICK, file=stream) as shown,
    ):

        def tick() -> None:
            while not ended.wait(TICK):
                shown.delay = (
                    0  # else tqdm takes its line for one that was not shown, and leaves it
                )
                shown.refresh()

        ticking = threading.Thread(target=tick, daemon=True)
        _lines.append(shown)
        if not shown.disable:
            ticking.start()
        try:
            yield
        finally:
            _lines.remove(shown)
            ended.set()
            if not shown.disable:
                ticking.join()


@contextmanager
def _second_stderr() -> Iterator[TextIO]:
    """Another way to where stderr leads, open while `quiet_stderr` swallows what comes there."""
    try:
        number = os.dup(sys.stderr.fileno())
    except OSError:  # of a test, without a descriptor
        yield sys.stderr
        return
    stream = os.fdopen(number, "w", encoding=sys.stderr.encoding, errors="replace")
    try:
        yield stream
    finally:
        with suppress(OSError):  # of a terminal that is gone
            stream.close()


def _clear() -> None:
    for line in _lines:
        line.clear()


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
    # In memory: there may be no folder for temporary files.
    with os.fdopen(os.memfd_create("swallowed"), "w+b") as swallowed:
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
    """Run a command and return its exit code: 0, 1 (a problem), 130 (Ctrl-C), 143 (terminated).

    Args:
        name: the command's name, shown before an error.
        command: does the work and returns an exit code.
        when_stopped: what is left after Ctrl-C or a signal, and how to go on.
    """
    with _own_process(name):
        try:
            code = _code(name, command, when_stopped)
        except SystemExit:  # of argparse, which has printed help or what is wrong
            if _stdout_took_all(name):
                raise
            return EXIT_PROBLEM
        return code if _stdout_took_all(name) else max(code, EXIT_PROBLEM)


def _code(name: str, command: Callable[[], int], when_stopped: str) -> int:
    """Run a command; say in a line what ended it, and return its exit code."""
    try:
        return command()
    except Terminated:
        note(f"{name}: terminated. {when_stopped}")
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        note(f"{name}: interrupted. {when_stopped}")
        return EXIT_INTERRUPTED
    except (AestheticError, OSError) as error:
        if error is not getattr(sys.stdout, "refused", None):
            note(f"{name}: {words(error)}")
    return EXIT_PROBLEM


def words(error: AestheticError | OSError) -> str:
    """Say in a line what is wrong: of the system's refusals, which file it refused and why.

    Raises:
        OSError: the error itself, where no file is to blame: that is a bug.
    """
    if isinstance(error, AestheticError):
        return error.one_line()
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "the folder that this command runs in has been deleted. Go to another one with cd."
    if error.filename is None or error.strerror is None:
        raise error
    return (
        f"{error.filename}: {error.strerror}. See whether it is there, and whether you may use it "
        "and the folders above it."
    )


def _stdout_took_all(name: str) -> bool:
    """Write out what is printed so far; where stdout refuses, say so and let it take nothing more.

    A reader that went away, such as `head`, has seen enough: nothing is said.
    """
    with suppress(OSError):
        sys.stdout.flush()
    refused = getattr(sys.stdout, "refused", None)
    if refused is None:
        return True
    if not isinstance(refused, BrokenPipeError):
        note(
            f"{name}: not all results could be written to standard output: {refused.strerror}. "
            "Files that were made are kept."
        )
    _silence(sys.stdout)
    return False


def _silence(stream: TextIO) -> None:
    """Let a stream that refuses take everything: Python writes out what is left when it ends."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())


# --- the process ----------------------------------------------------------------------------------


@contextmanager
def _own_process(name: str) -> Iterator[None]:
    """Settle what a command may settle for its process, and undo it: SIGTERM ends it as Ctrl-C
    does, TensorFlow keeps its remarks to itself, and so does Pillow on odd metadata of photographs
    that are read all the same."""
    level_before = os.environ.get(LOG_LEVEL)
    _running.append(name)
    try:
        with warnings.catch_warnings(), _streams(), _terminable():
            if any(option.startswith("error") for option in sys.warnoptions):
                # PYTHONWARNINGS=error is about the user's own programs; here it would end work for
                # what one library tells another.
                warnings.filterwarnings("default", module=NOT_OURS)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            os.environ.setdefault(LOG_LEVEL, "3")
            yield
    finally:
        _running.pop()
        if level_before is None:
            os.environ.pop(LOG_LEVEL, None)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP (the terminal is closed) end the command as Ctrl-C does.

    Python allows that in the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if number == signal.SIGTERM or handler != signal.SIG_IGN:  # as nohup ignores it
            signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Results(io.TextIOWrapper):
    """Standard output, which remembers what it was refused with: such an error names no file."""

    refused: OSError | None = None

    def write(self, text: str) -> int:
        with self._remembered():
            return super().write(text)

    def flush(self) -> None:
        with self._remembered():
            super().flush()

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.refused = error
            raise


@contextmanager
def _streams() -> Iterator[None]:
    """Open streams that are closed, and let stdout take every character in some way.

    Else the first file that is opened would get a closed stream's number, and what a library prints
    would go into it. A closed stdout refuses what is written, as a full disk does.
    """
    for number, (name, flags) in enumerate(STREAMS.items()):
        _open_closed(number, name, flags)
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper):
        yield
        return
    stdout.flush()
    sys.stdout = results = _Results(
        stdout.buffer, stdout.encoding, PLAIN, line_buffering=stdout.line_buffering
    )
    try:
        yield
    finally:
        sys.stdout = stdout
        with suppress(OSError):
            results.detach()


def _open_closed(number: int, name: str, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Put signs of the keyboard for characters that an encoding lacks, or their numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    signs = (PLAIN_SIGNS.get(sign) or ascii(sign)[1:-1] for sign in lacking)
    return "".join(signs), error.end


codecs.register_error(PLAIN, _plain)
