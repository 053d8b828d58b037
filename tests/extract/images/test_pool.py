"""Jobs are done in order and a little ahead; nobody waits for them at the end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from extract.images.pool import PATIENCE_SECONDS, Pool, in_order


def test_results_come_in_the_order_of_the_items_from_several_threads() -> None:
    names: set[str] = set()

    def slow(number: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep(0.01 * (number % 3))
        return number

    assert list(in_order(slow, range(30), 3)) == list(range(30))
    assert names == {"ahead_0", "ahead_1", "ahead_2"}
    assert list(in_order(slow, [], 3)) == []


def test_items_are_asked_for_a_little_ahead() -> None:
    asked = 0

    def endless() -> Iterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield asked

    results = in_order(abs, endless(), 2)
    for seen in range(1, 6):
        assert next(results) == seen
        assert asked <= seen + 4
    results.close()


def test_an_error_of_a_job_is_raised_where_its_result_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 // number, [1, 0], 2))


def test_a_closed_pool_forgets_what_waits_and_waits_shortly_for_what_runs() -> None:
    pool, go = Pool(1, "test"), threading.Event()
    running, waiting = pool.submit(go.wait), pool.submit(print)
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < PATIENCE_SECONDS + 1
    assert waiting.cancelled()
    assert not running.done()
    go.set()
    assert running.result(5)


def test_threads_of_a_closed_pool_end() -> None:
    before = threading.active_count()
    pool = Pool(3, "test")
    assert [pool.submit(abs, -n).result() for n in range(5)] == list(range(5))
    pool.close()
    assert threading.active_count() == before


def test_a_process_ends_while_a_job_still_runs() -> None:
    program = (
        "import time; from extract.images.pool import Pool;"
        "Pool(1, 'x').submit(time.sleep, 60); time.sleep(0.1)"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert done.returncode == 0
