"""Decoding beside inference, in order, with a bounded number of photographs in flight.

Owns the threads and the account of decoding. Knows no format of images, and writes no cache: what
it yields are blocks for `cache.writer`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cache.console import note
from cache.text import path_named
from cache.types import IntArray, Status
from cache.writer import Block
from extract.backbones.engines import Engine, FeatureBatch, Pixels, full_batch
from extract.images.decode import (
    MAX_PIXELS,
    Photograph,
    Refused,
    Unreadable,
    Vanished,
    read_photograph,
)
from extract.images.pool import Pool
from extract.images.views import PILLOW, View

BLOCKS_AHEAD = 3
# In a block, so that its write costs little beside it.
LEAST_VIEWS = 64
# After so long a photograph that is waited for is named.
REMARK_SECONDS = 30.0

PhotographSource = Path | Image.Image
Outcome = Photograph | Unreadable


class Account:
    """Processor seconds of decoding, and seconds by the clock while the engine had a batch."""

    def __init__(self) -> None:
        self.decode_seconds = 0.0
        self.engine_seconds = 0.0
        self._lock = threading.Lock()
        self._running, self._since = 0, 0.0

    def add_decode(self, seconds: float) -> None:
        """Add a thread's seconds."""
        with self._lock:
            self.decode_seconds += seconds

    @contextmanager
    def engine_at_work(self) -> Iterator[None]:
        """Count the time within; batches that are computed at once count once."""
        with self._lock:
            if not self._running:
                self._since = time.perf_counter()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self.engine_seconds += time.perf_counter() - self._since


@dataclass(frozen=True)
class Cutting:
    """How photographs are read: which views, how many threads, how large, resized by whom."""

    views: tuple[View, ...]
    threads: int
    max_pixels: int = MAX_PIXELS
    interpolation: str = PILLOW


@dataclass(frozen=True, eq=False)
class Computed:
    """Some photographs in order: what each became, and the features (n_ok, V, D) of the good."""

    outcomes: list[Outcome]
    features: npt.NDArray[np.float32]


def block_size(views: tuple[View, ...], batch_size: int) -> int:
    """Return how many photographs go through together: some whole batches, one write of all.

    Some for each two shapes, since each fills batches of its own.
    """
    shapes = max(1, len(views[0].shapes) // 2)
    return max(8, shapes * max(LEAST_VIEWS, 4 * batch_size) // len(views))


def stream(
    sources: Iterable[PhotographSource], cutting: Cutting, engine: Engine, account: Account
) -> Iterator[Computed]:
    """Yield blocks of results in the order of `sources`, at most `BLOCKS_AHEAD` blocks ahead.

    Sources are asked for as they are needed, so that there may be any number of them. Who stops
    before the end, as Ctrl-C does, waits for no photograph that is being decoded.
    """
    size = block_size(cutting.views, engine.batch_size)
    remaining = iter(sources)
    ahead: deque[_Pending] = deque()
    decoders = Pool(cutting.threads, "decode")
    with ThreadPoolExecutor(engine.parallel, "infer") as runners:
        try:
            while block := list(islice(remaining, size)):
                decoding = [decoders.submit(_decode, s, cutting, account) for s in block]
                ahead.append(_Pending(block, decoding, account))
                if len(ahead) >= 2:  # the newest is being decoded, the one before it computed
                    ahead[-2].infer(engine, runners)
                if len(ahead) >= BLOCKS_AHEAD:
                    yield ahead.popleft().result(len(cutting.views))
            if ahead:
                ahead[-1].infer(engine, runners)
            while ahead:
                yield ahead.popleft().result(len(cutting.views))
        finally:
            decoders.close()
            runners.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Pending:
    """A block on its way: its photographs being decoded, then its batches being computed."""

    sources: Sequence[PhotographSource]
    decoding: Sequence[Future[Outcome]]
    account: Account
    outcomes: list[Outcome] = field(default_factory=list)
    batches: list[Future[npt.NDArray[np.float32]]] = field(default_factory=list)
    # Of each batch, which of all views of the good photographs are in it.
    places: list[list[int]] = field(default_factory=list)

    def infer(self, engine: Engine, runners: ThreadPoolExecutor) -> None:
        """Hand the photographs to the engine, batch by batch as they are decoded.

        Those of one shape wait for each other; the last batch of a shape need not be full.
        """
        waiting: defaultdict[tuple[int, ...], list[tuple[int, Pixels]]] = defaultdict(list)
        n_seen = 0
        for source, future in zip(self.sources, self.decoding, strict=True):
            outcome = _waited_for(future, source)
            self.outcomes.append(outcome)
            for pixels_u8 in outcome.pixels_u8 if isinstance(outcome, Photograph) else ():
                alike = waiting[pixels_u8.shape]
                alike.append((n_seen, pixels_u8))
                n_seen += 1
                if len(alike) == engine.batch_size:
                    self._submit(engine, runners, alike)
                    alike.clear()
        for alike in filter(None, waiting.values()):
            self._submit(engine, runners, alike)
        self.sources = self.decoding = ()

    def _submit(
        self, engine: Engine, runners: ThreadPoolExecutor, batch: list[tuple[int, Pixels]]
    ) -> None:
        places, pixels_u8 = zip(*batch, strict=True)
        self.places.append(list(places))
        self.batches.append(runners.submit(_infer, engine, np.stack(pixels_u8), self.account))

    def result(self, n_views: int) -> Computed:
        """Wait for the features."""
        parts = [future.result() for future in self.batches]
        features = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
        features = features[np.argsort(np.concatenate([[], *self.places]))]
        return Computed(self.outcomes, features.reshape(-1, n_views, features.shape[1]))


def _waited_for(future: Future[Outcome], source: PhotographSource) -> Outcome:
    """Return what a photograph became; name it once if that takes long."""
    try:
        return future.result(REMARK_SECONDS)
    except TimeoutError:
        name = source if isinstance(source, Path) else "an image in memory"
        note(f"{name}: still being read after {REMARK_SECONDS:.0f} s ...")
    return future.result()


def _infer(engine: Engine, pixels_u8: Pixels, account: Account) -> FeatureBatch:
    with account.engine_at_work():
        return full_batch(engine, pixels_u8)


def _decode(source: PhotographSource, cutting: Cutting, account: Account) -> Outcome:
    start = time.thread_time()
    try:
        return read_photograph(source, cutting.views, cutting.max_pixels, cutting.interpolation)
    except Unreadable as reason:
        return reason
    finally:
        account.add_decode(time.thread_time() - start)


def extract_blocks(
    root: Path,
    paths: npt.NDArray[np.str_],
    rows: IntArray,
    cutting: Cutting,
    engine: Engine,
    account: Account,
) -> Iterator[Block]:
    """Yield the blocks to be written for these row numbers, in their order.

    A photograph that cannot be read becomes a row of status UNREADABLE with its reason, or
    MISSING when its file has gone since the run began. Where the system refused it, the row is
    among the block's `again`.
    """
    done = 0
    sources = (root / path_named(str(paths[row])) for row in rows)
    for computed in stream(sources, cutting, engine, account):
        n = len(computed.outcomes)
        yield _block(rows[done : done + n], computed)
        done += n


def _block(rows: IntArray, computed: Computed) -> Block:
    outcomes = computed.outcomes
    ok = np.array([isinstance(outcome, Photograph) for outcome in outcomes])
    features = np.zeros((len(rows), *computed.features.shape[1:]), np.float32)
    features[ok] = computed.features
    return Block(
        rows=rows,
        features=features,
        status=np.array([_status(outcome) for outcome in outcomes], np.uint8),
        size=np.array(
            [o.size if isinstance(o, Photograph) else (0, 0) for o in outcomes], np.int32
        ),
        reasons={
            int(row): str(outcome)
            for row, outcome in zip(rows, outcomes, strict=True)
            if isinstance(outcome, Unreadable)
        },
        again=[
            int(row)
            for row, outcome in zip(rows, outcomes, strict=True)
            if isinstance(outcome, Refused)
        ],
    )


def _status(outcome: Outcome) -> Status:
    if isinstance(outcome, Photograph):
        return Status.OK
    return Status.MISSING if isinstance(outcome, Vanished) else Status.UNREADABLE
