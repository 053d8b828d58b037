"""How a command ends: its exit code, and one line that says how to go on."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from tqdm import tqdm

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


# --- what people see ------------------------------------------------------------------------------


def test_remarks_and_problems_show_no_terminal_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run("heads", lambda: ending(LabelError("a\x1b[2J \udcff" + "x" * 10**6))) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(r"heads: a\x1b[2J \xff")
    assert len(shown) < 500


def test_a_remark_may_be_made_once_in_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("one", "other", "one"):
        console.note_once(text)
    assert capsys.readouterr().err == "one\nother\n"


def test_a_result_keeps_its_lines_and_loses_its_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("a\x1b\nb")
    assert capsys.readouterr().out == "a\\x1b\nb\n"


def test_a_file_that_the_system_refuses_is_a_line_and_a_bug_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = PermissionError(13, "Permission denied", "a/b.h5")
    assert console.run("cache", lambda: ending(error)) == 1
    assert capsys.readouterr().err == (
        "cache: a/b.h5: Permission denied. See whether it is there, and whether you may use it and "
        "the folders above it.\n"
    )
    with pytest.raises(OSError, match="of no file"):
        console.run("cache", lambda: ending(OSError(5, "of no file")))


def test_wrong_usage_shows_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        console.Parser("cache").parse_args(["\x1b[31m"])
        return 0

    with pytest.raises(SystemExit) as stop:
        console.run("cache", command)
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("unrecognized arguments: \\x1b[31m\n")


# --- the process ----------------------------------------------------------------------------------


def test_a_command_runs_outside_of_the_main_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(console.run("heads", lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]


def ran(arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m ARGUMENTS` in a shell."""
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} -m {arguments}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | settings,
    )


NOT_ALL = "heads: not all results could be written to standard output: {}. Files that were made"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("heads list >/dev/full", 1, NOT_ALL.format("No space left on device")),
        ("heads --help >/dev/full", 1, NOT_ALL.format("No space left on device")),
        ("heads list >&-", 1, NOT_ALL.format("Bad file descriptor")),
        ("heads list <&- >&- 2>&-", 1, ""),
        ("heads list >/dev/null 2>&-", 0, ""),
        ("cache info gone.h5 2>/dev/full", 1, ""),
    ],
)
def test_streams_that_are_closed_or_full_end_in_words(command: str, code: int, said: str) -> None:
    done = ran(command)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from cache import console\n"
        "def command():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        return 0 if file.fileno() > 2 else 5\n"
        "os._exit(console.run('heads', command))\n"
    )
    shell = f"{sys.executable} {program} {tmp_path / 'a'} <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", shell], check=False).returncode == 0


def test_a_terminal_without_our_signs_gets_those_of_the_keyboard(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom cache import console\n"
        "sys.exit(console.run('heads', lambda: console.show('0.64 ± 0.13 – é') or 0))\n"
    )
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == b"0.64 +- 0.13 - \\xe9\n"


def test_a_deleted_folder_is_named(tmp_path: Path) -> None:
    program = "import os\nfrom cache import console\n" + (
        "raise SystemExit(console.run('heads', lambda: len(os.path.abspath('a'))))"
    )
    gone = tmp_path / "gone"
    shell = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -c "$0"'
    done = subprocess.run(
        ["bash", "-c", shell, program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "heads: the folder that this command runs in has been deleted. Go to another one with cd."
    )


def test_warnings_as_errors_are_not_for_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error"])

    def command() -> int:
        with pytest.warns(DeprecationWarning, match="numpy's"):
            warnings.warn_explicit("numpy's", DeprecationWarning, "a.py", 1, module="keras.src")
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn_explicit("ours", UserWarning, "a.py", 1, module="extract.api")
        return 0

    assert console.run("heads", command) == 0


def test_a_terminal_that_closes_ends_a_command_in_words_and_nohup_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 0

    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert console.run("cache", command) == 143
        assert "cache: terminated." in capsys.readouterr().err
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert console.run("cache", command) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_bar_is_off_but_on_a_terminal_or_as_a_notebooks_widget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(console.bar(range(3), "three")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("tqdm.auto.tqdm", type("Widget", (tqdm,), {"__module__": "tqdm.notebook"}))
    assert list(console.bar(range(3), "three")) == [0, 1, 2]
    assert "three:" in capsys.readouterr().err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_work_without_a_bar_shows_on_a_terminal_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "TICK", 0.01)
    with monkeypatch.context() as running:
        running.setattr(console, "_running", ["heads"])
        with console.working("off a terminal"):
            time.sleep(0.1)
    assert capsys.readouterr() == ("", "")
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with console.working("in another program"):
        time.sleep(0.1)
    assert not terminal.getvalue()
    monkeypatch.setattr(console, "_running", ["heads"])
    with console.working("ridge"):
        time.sleep(0.2)
    assert terminal.getvalue().count("ridge ... 00:00") >= 2
    assert terminal.getvalue().endswith("\r")
    shown = terminal.getvalue()
    time.sleep(0.1)
    assert terminal.getvalue() == shown, "it goes on when the work has ended"
    with console.working("quick"):
        pass
    assert "quick" not in terminal.getvalue()


def test_it_shows_so_while_stderr_is_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "TICK", 0.01)
    monkeypatch.setattr(console, "_running", ["heads"])
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal, Path(os.devnull).open("w") as nothing:
        monkeypatch.setattr("sys.stderr", terminal)
        with console.working("opening"):
            os.dup2(nothing.fileno(), theirs)
            time.sleep(0.2)
    assert os.read(ours, 10_000).count(b"opening ... 00:00") >= 2
    os.close(ours)


def test_a_terminal_that_goes_away_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "TICK", 0.01)
    monkeypatch.setattr(console, "_running", ["heads"])
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs, "w")
    monkeypatch.setattr("sys.stderr", terminal)
    with console.working("opening"):
        time.sleep(0.1)
        os.close(ours)
        time.sleep(0.1)
    with contextlib.suppress(OSError):
        terminal.close()
