"""A real process that replaces a folder through `cache.files`, and kills itself at some moment."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cache import files
from tests.cache.forking import forked, serve

PARTS = ("a.txt", "inside/b.txt")


@dataclass(frozen=True)
class Task:
    """Replace a folder; end at an event, or never if it is -1; without an exchange if so said."""

    folder: str
    text: str
    at_event: int = -1
    exchange: bool = True


def replace_folder(folder: Path, text: str) -> None:
    """Replace a folder by one whose files all hold one text."""
    with files.replacing_folder(folder) as new:
        for part in PARTS:
            (new / part).parent.mkdir(exist_ok=True)
            (new / part).write_text(text)


def text_of(folder: Path) -> str | None:
    """Return the text of a folder that is whole; None where there is no folder."""
    if not folder.exists():
        return None
    (text,) = {(folder / part).read_text() for part in PARTS}
    return text


class Clock:
    """Counts calls of the operating system and their returns, and those of `cache.files`."""

    def __init__(self, at_event: int) -> None:
        self.at_event, self.n = at_event, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        system = event.startswith("c_") and argument.__module__ in ("posix", "io", "_io")
        if not system and not frame.f_code.co_filename.endswith("/cache/files.py"):
            return
        if self.n == self.at_event:
            os.kill(os.getpid(), signal.SIGKILL)
        self.n += 1


def run_task(task: Task) -> int:
    """Do a task in this process; it may not come back."""
    if not task.exchange:
        files._exchange = lambda one, other: False
    clock = Clock(task.at_event)
    sys.setprofile(clock)
    replace_folder(Path(task.folder), task.text)
    sys.setprofile(None)
    return clock.n


def fork_task(task: Task) -> dict[str, int]:
    """Do a task in a forked process; return the signal that ended it (0 for none) and events."""
    reading, writing = os.pipe()
    child = forked(lambda: os.write(writing, str(run_task(task)).encode()))
    os.close(writing)
    with os.fdopen(reading) as told:
        events = int(told.read() or 0)
    status = os.waitpid(child, 0)[1]
    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, "events": events}


if __name__ == "__main__":
    serve(Task, fork_task)
