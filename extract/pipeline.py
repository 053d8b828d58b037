"""Decoding beside inference, in order, with a bounded number of photographs in flight.

Owns the threads and the account of where time went. Knows neither files' formats nor HDF5.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.types import IntArray, Status
from cache.writer import Block
from extract.engines import Engine, full_batch
from extract.images import MAX_PIXELS, Photograph, Unreadable, Vanished, read_photograph
from extract.preprocess import CROP, View

BLOCKS_AHEAD = 3


class Account:
    """Processor seconds spent decoding, added up over threads."""

    def __init__(self) -> None:
        self.decode_seconds = 0.0
        self._lock = threading.Lock()

    def add_decode(self, seconds: float) -> None:
        """Add a thread's seconds."""
        with self._lock:
            self.decode_seconds += seconds


@dataclass(frozen=True)
class Source:
    """Where the photographs of row numbers lie and how they are cut."""

    root: Path
    paths: npt.NDArray[np.str_]
    views: tuple[View, ...]
    max_pixels: int = MAX_PIXELS


def block_rows(n_views: int, batch_size: int) -> int:
    """Return how many photographs go into one block: some whole batches, and one write each."""
    return max(8, 4 * batch_size // n_views)


def extract_blocks(
    source: Source, rows: IntArray, engine: Engine, decode_threads: int, account: Account
) -> Iterator[Block]:
    """Yield blocks of results in the order of `rows`, at most `BLOCKS_AHEAD` computed ahead.

    A photograph that cannot be read becomes a row of status UNREADABLE with its reason, or
    MISSING when its file has gone since the run began.
    """
    size = block_rows(len(source.views), engine.batch_size)
    ahead: deque[_Pending] = deque()
    with (
        ThreadPoolExecutor(decode_threads, "decode") as decoders,
        ThreadPoolExecutor(engine.parallel, "infer") as runners,
    ):
        try:
            for start in range(0, len(rows), size):
                ahead.append(_start(source, rows[start : start + size], decoders, account))
                if len(ahead) >= 2:  # the newest is being decoded, the one before it computed
                    ahead[-2].infer(engine, runners)
                if len(ahead) >= BLOCKS_AHEAD:
                    yield ahead.popleft().result()
            if ahead:
                ahead[-1].infer(engine, runners)
            while ahead:
                yield ahead.popleft().result()
        finally:
            decoders.shutdown(wait=False, cancel_futures=True)
            runners.shutdown(wait=False, cancel_futures=True)


Decoded = Photograph | Unreadable


@dataclass
class _Pending:
    """A block on its way: its photographs being decoded, then its batches being computed."""

    rows: IntArray
    n_views: int
    decoding: Sequence[Future[Decoded]]
    outcomes: list[Decoded] = field(default_factory=list)
    batches: list[Future[npt.NDArray[np.float32]]] = field(default_factory=list)

    def infer(self, engine: Engine, runners: ThreadPoolExecutor) -> None:
        """Wait for the decoded photographs and hand them to the engine."""
        self.outcomes = [future.result() for future in self.decoding]
        self.decoding = ()
        good = [p.pixels_u8 for p in self.outcomes if isinstance(p, Photograph)]
        pixels = np.concatenate(good) if good else np.empty((0, *CROP, 3), np.uint8)
        self.batches = [
            runners.submit(full_batch, engine, pixels[start : start + engine.batch_size])
            for start in range(0, len(pixels), engine.batch_size)
        ]

    def result(self) -> Block:
        """Wait for the features and put everything in rows."""
        parts = [future.result() for future in self.batches]
        computed = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
        features = np.zeros((len(self.rows), self.n_views, computed.shape[1]), np.float32)
        ok = np.array([isinstance(p, Photograph) for p in self.outcomes])
        features[ok] = computed.reshape(-1, self.n_views, computed.shape[1])
        return Block(
            rows=self.rows,
            features=features,
            status=np.array([_status(p) for p in self.outcomes], np.uint8),
            size=np.array(
                [p.size if isinstance(p, Photograph) else (0, 0) for p in self.outcomes], np.int32
            ),
            reasons={
                int(row): str(p)
                for row, p in zip(self.rows, self.outcomes, strict=True)
                if isinstance(p, Unreadable)
            },
        )


def _status(outcome: Decoded) -> Status:
    if isinstance(outcome, Photograph):
        return Status.OK
    return Status.MISSING if isinstance(outcome, Vanished) else Status.UNREADABLE


def _start(
    source: Source, rows: IntArray, decoders: ThreadPoolExecutor, account: Account
) -> _Pending:
    futures = [
        decoders.submit(_timed_decode, source, str(source.paths[row]), account)
        for row in rows.tolist()
    ]
    return _Pending(rows, len(source.views), futures)


def _timed_decode(source: Source, path: str, account: Account) -> Decoded:
    start = time.thread_time()
    try:
        return read_photograph(source.root / path, source.views, source.max_pixels)
    except Unreadable as reason:
        return reason
    finally:
        account.add_decode(time.thread_time() - start)
