"""A disk that fails: a small library, loaded before all others, that spoils calls on some files.

The library is `failing.c`. `python -m tests.failing` reads one task a line from stdin and does each
in a forked process, so that packages are imported once; `Server` starts it and talks to it.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

WRITING = ("write", "pwrite", "fsync", "ftruncate", "posix_fallocate", "close", "rename")


CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Disk:
    """Which calls on files whose path holds a text fail, and with what error number.

    `at` is the one of them that fails, from 0, or -1 for all. The number 0 is a disk that says yes
    and does nothing.
    """

    path: str
    number: int
    calls: tuple[str, ...] = WRITING
    at: int = -1

    def environment(self, log: Path) -> dict[str, str]:
        """Return it as the library reads it."""
        return {
            "FAIL_CALLS": f",{','.join(self.calls)},",
            "FAIL_PATH": self.path,
            "FAIL_AT": str(self.at),
            "FAIL_ERRNO": str(self.number),
            "FAIL_LOG": str(log),
        }


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, below 0 for a signal, what it said, and its calls."""

    code: int
    out: str
    err: str
    calls: tuple[str, ...]


class Server:
    """Runs commands in forked processes, each with a disk of its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def run(self, main: str, arguments: Sequence[object], disk: Disk | None = None) -> Ended:
        """Run `module:function` with arguments; it returns an exit code."""
        texts = {name: self._folder / name for name in ("out", "err", "calls")}
        for path in texts.values():
            path.write_text("")
        task = {
            "main": main,
            "arguments": [str(each) for each in arguments],
            "environment": disk.environment(texts["calls"]) if disk else {},
            "out": str(texts["out"]),
            "err": str(texts["err"]),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err, calls = (path.read_text(errors="replace") for path in texts.values())
        return Ended(code, out, err, tuple(calls.splitlines()))


@contextmanager
def server(folder: Path, *modules: str) -> Iterator[Server]:
    """Start a server that has imported these modules; skip without a C compiler."""
    environment = os.environ | {"LD_PRELOAD": _library(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.failing", *modules],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Server(process, Path(tempfile.mkdtemp(dir=folder)))
        process.communicate(timeout=20)


def _library(folder: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("making calls fail needs a C compiler, cc, and Linux")
    source, made = Path(__file__).with_name("failing.c"), folder / "failing.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return str(made)


def _child(task: dict[str, object]) -> int:
    """Do a task in this process, and let it end as any other does."""
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(str(task[name]), os.O_WRONLY | os.O_APPEND), descriptor)
    os.environ.update(task["environment"])  # type: ignore[arg-type]
    module, function = str(task["main"]).split(":")
    return int(getattr(importlib.import_module(module), function)(task["arguments"]))


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.exit(_child(json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1:])
