"""How a command ends: its exit code, and one line that says how to go on."""

from __future__ import annotations

import signal

import pytest

from cache import console
from cache.errors import LabelError

ANEW = "Nothing half-made is left in place; the same command starts anew."


def ending(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(("given", "said"), [({}, ANEW), ({"when_stopped": "Go on."}, "Go on.")])
@pytest.mark.parametrize(
    ("error", "code", "word"),
    [(KeyboardInterrupt(), 130, "interrupted"), (console.Terminated(), 143, "terminated")],
)
def test_a_command_cut_short_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    said: str,
    error: BaseException,
    code: int,
    word: str,
) -> None:
    assert console.run("name", lambda: ending(error), **given) == code
    assert capsys.readouterr() == ("", f"name: {word}. {said}\n")


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
