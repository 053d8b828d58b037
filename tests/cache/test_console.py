"""How a command ends: its exit code, and one line that says how to go on."""

from __future__ import annotations

import os
import signal
import warnings

import pytest

from cache import console
from cache.errors import LabelError

KEPT = "What is written is kept; the same command goes on from there."
RUNS_KEPT = "Finished runs are kept; the same command goes on with the rest."
ANEW = "Nothing half-made is left in place; the same command starts anew."


def ending(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("name", "hint"),
    [("extract", KEPT), ("heads", RUNS_KEPT), ("cache", ANEW), ("extract.demo", ANEW)],
)
@pytest.mark.parametrize(
    ("error", "code", "word"),
    [(KeyboardInterrupt(), 130, "interrupted"), (console.Terminated(), 143, "terminated")],
)
def test_a_command_cut_short_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
    name: str,
    hint: str,
    error: BaseException,
    code: int,
    word: str,
) -> None:
    assert console.run(name, lambda: ending(error)) == code
    assert capsys.readouterr() == ("", f"{name}: {word}. {hint}\n")


def test_a_problem_is_one_line_with_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    error = LabelError("Two\nlines.")
    error.add_note("And a note.")
    assert console.run("heads", lambda: ending(error)) == 1
    assert capsys.readouterr().err == "heads: Two lines. And a note.\n"


def test_a_bug_keeps_its_traceback_and_the_signal_its_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        console.run("cache", lambda: ending(ZeroDivisionError("a bug")))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_command_settles_its_process_and_leaves_it_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(console.LOG_LEVEL, raising=False)
    before = list(warnings.filters)

    def command() -> int:
        assert os.environ[console.LOG_LEVEL] == "3"
        assert warnings.filters[0][0] == "ignore"
        warnings.warn_explicit("odd metadata", UserWarning, "a.py", 1, module="PIL.Image")
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn_explicit("ours", UserWarning, "a.py", 1, module="extract.api")
        return console.EXIT_OK

    assert console.run("extract", command) == 0
    assert console.LOG_LEVEL not in os.environ
    assert list(warnings.filters) == before


def test_a_log_level_that_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console.LOG_LEVEL, "0")
    assert console.run("extract", lambda: int(os.environ[console.LOG_LEVEL])) == 0
    assert os.environ[console.LOG_LEVEL] == "0"


def print_quietly(text: str) -> int:
    with console.quiet_stderr():
        os.write(2, text.encode())
    return console.EXIT_OK


def test_what_is_printed_on_import_is_swallowed_in_a_command_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert console.run("heads", lambda: print_quietly("a greeting\n")) == 0
    assert capfd.readouterr().err == ""
    print_quietly("another program's log\n")
    assert capfd.readouterr().err == "another program's log\n"


def test_what_was_swallowed_is_shown_where_the_import_fails(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def failing() -> int:
        with console.quiet_stderr():
            os.write(2, b"why\n")
            raise LabelError("It failed.")

    assert console.run("heads", failing) == 1
    assert capfd.readouterr().err == "why\nheads: It failed.\n"
