"""Threads that nobody waits for when the process ends.

Pillow cannot be stopped in the middle of a photograph. The threads of `concurrent.futures` are
joined at the end of the process, so that Ctrl-C would take as long as the photograph does; these
end with the process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")
# What is nearly done may be finished when a pool is closed.
PATIENCE_SECONDS = 0.5
Job = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class Pool:
    """At most `threads` threads, started as they are needed; `close` lets them end."""

    def __init__(self, threads: int, name: str) -> None:
        self._n_threads, self._name = threads, name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    def submit(self, function: Callable[..., Made], *arguments: Any) -> Future[Made]:
        """Have a function called by one of the threads."""
        future: Future[Made] = Future()
        self._jobs.put((future, function, arguments))
        with self._starting:
            if len(self._threads) < self._n_threads:
                name = f"{self._name}_{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def close(self) -> None:
        """Forget the jobs that wait, and wait half a second at most for those that run."""
        while not self._jobs.empty():
            job = self._jobs.get()
            if job:
                job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while job := self._jobs.get():
            future, function, arguments = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
            del job, future, function, arguments  # lets go of the result while it waits


def in_order(
    function: Callable[[Item], Made], items: Iterable[Item], threads: int
) -> Iterator[Made]:
    """Yield function(item) of all items in their order, worked out a little ahead by threads."""
    pool, remaining = Pool(threads, "ahead"), iter(items)
    waiting: deque[Future[Made]] = deque()
    try:
        while True:
            some = islice(remaining, 2 * threads - len(waiting))
            waiting.extend(pool.submit(function, item) for item in some)
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.close()
