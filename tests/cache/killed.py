"""A real process that fills a cache through the real writer, and kills itself or is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from zlib import crc32

import numpy as np

from cache.files import exclusive
from cache.labels import Manifest
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.types import Status
from cache.writer import Block, CacheWriter
from tests.cache.forking import forked, serve
from tests.helpers import make_features, make_manifest, make_spec

N, BLOCK = 40, 8
SPEC = make_spec(n_features=64, views=("center", "center flipped"))
MANIFEST = make_manifest(N)
MISSING, UNREADABLE = (3, 17, 39), (5, 16, 27)


@dataclass(frozen=True)
class Task:
    """Fill the cache in a folder; end at an event (the process kills itself) or after seconds."""

    folder: str
    at_event: int = -1
    after_seconds: float = -1.0
    record: str = ""


def facts_now() -> FileFacts:
    """Return the photographs as they are when the cache is filled."""
    facts = FileFacts(np.full(N, 100, np.int64), np.arange(N, dtype=np.int64) + 50)
    for column in (facts.size_bytes, facts.mtime_ns):
        column[list(MISSING)] = -1
    return facts


def features_of(image_id: str, mtime_ns: int) -> np.ndarray:
    """Return the features (V, D) of one version of a photograph: a cheap stand-in for a network."""
    return make_features(1, SPEC, crc32(f"{image_id} {mtime_ns}".encode()))[0]


def make_block(manifest: Manifest, facts: FileFacts, rows: np.ndarray) -> Block:
    """Return what extraction gives for these rows."""
    ids = manifest.labels.image_id[rows].tolist()
    bad = np.isin(manifest.labels.image_id[rows], MANIFEST.labels.image_id[list(UNREADABLE)])
    times = facts.mtime_ns[rows].tolist()
    return Block(
        rows=rows,
        features=np.stack([features_of(i, t) for i, t in zip(ids, times, strict=True)]),
        status=np.where(bad, Status.UNREADABLE, Status.OK).astype(np.uint8),
        size=np.array(
            [
                [0, 0] if broken else [1 + crc32(image_id.encode()) % 999, 480]
                for image_id, broken in zip(ids, bad, strict=True)
            ]
        ),
        reasons={int(row): f"{ids[i]} is broken" for i, row in enumerate(rows) if bad[i]},
    )


def fill(path: Path, manifest: Manifest, facts: FileFacts, blocks: int = N) -> None:
    """Fill a cache as `extract` does, at most so many blocks of it."""
    with exclusive(path):
        writer = open_writer(path, manifest, SPEC, facts, Provenance(engine="cheap"), Reuse())
        if writer is None:
            return
        with writer:
            fill_blocks(writer, facts, blocks)
            if not len(writer.pending):
                writer.finish()


def fill_blocks(writer: CacheWriter, facts: FileFacts, blocks: int) -> None:
    """Write the next blocks."""
    pending = writer.pending
    for start in range(0, len(pending), BLOCK)[:blocks]:
        writer.write(make_block(writer.manifest, facts, pending[start : start + BLOCK]))


class Clock:
    """Counts calls and returns of Python and C functions in the writer, and what each is part of.

    A profile function sees the moments before and after each write, fsync and rename.
    """

    def __init__(self, at_event: int) -> None:
        self.at_event = at_event
        self.phases: list[str] = []
        self._stack: list[str] = []
        self._counts: dict[CodeType, bool] = {}
        self._column = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code not in self._counts:  # asked at every call of Python
            parts = ("/cache/", "/h5py/", "pathlib")
            self._counts[code] = any(part in code.co_filename for part in parts)
        if not self._counts[code]:
            return
        name = code.co_name
        if event == "call":
            self._stack.append(name)
            if name == "write" and "inplace" in code.co_filename:
                self._column = frame.f_locals["name"]
        elif event == "return":
            self._stack.pop()
        if len(self.phases) == self.at_event:
            os.kill(os.getpid(), signal.SIGKILL)
        self.phases.append(self._phase())

    def _phase(self) -> str:
        for function, phase in (
            ("_make", "creation"),
            ("adopt", "taking note of changes"),
            ("_check_rows", "reading back"),
            ("_check_rest", "reading back"),
            ("finish", "rename" if "publish" in self._stack else "completion"),
            ("write", "status" if self._column == "status" else "features"),
        ):
            if function in self._stack:
                return phase
        return "opening and closing"


def run_task(task: Task) -> None:
    """Do a task in this process; it may not come back."""
    clock = Clock(task.at_event)
    if task.at_event >= 0 or task.record:
        sys.setprofile(clock)
    fill(Path(task.folder) / "train.h5", MANIFEST, facts_now())
    sys.setprofile(None)
    if task.record:
        Path(task.record).write_text(json.dumps(clock.phases))


def fork_task(task: Task) -> dict[str, Any]:
    """Do a task in a forked process; return the signal that ended it (0 for none) and seconds."""
    begun = time.perf_counter()
    child = forked(lambda: run_task(task))
    if task.after_seconds >= 0:
        time.sleep(task.after_seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        "seconds": time.perf_counter() - begun,
    }


if __name__ == "__main__":
    serve(Task, fork_task)
