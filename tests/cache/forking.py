"""Tasks that are done in forked processes, which kill themselves or are killed: both ends.

`python -m MODULE`, which calls `serve`, reads one task a line from stdin, so that the libraries are
loaded once; `server` starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

# A killed process's writes reach other processes alike on a disk and in memory; this is faster.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Server:
    """Does tasks, frozen dataclasses, and gives what ended each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, task: Any) -> dict[str, Any]:
        """Do a task; return what ended it."""
        self._process.stdin.write(json.dumps(asdict(task)) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def server(module: str) -> Iterator[Server]:
    """Start a module that serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Server(process)
    process.communicate(timeout=20)


def serve(kind: type, do: Callable[[Any], dict[str, Any]]) -> None:
    """Do the tasks of stdin until it ends, and answer."""
    for line in sys.stdin:
        print(json.dumps(do(kind(**json.loads(line)))), flush=True)


def forked(work: Callable[[], object]) -> int:
    """Do some work in a forked process, and return that process's number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child
