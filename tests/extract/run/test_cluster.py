"""Extraction on a real Dask scheduler, with workers that are processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from cache.errors import EngineError
from cache.store import open_cache, partial_path
from cache.types import Status
from extract.run import cluster as on_dask
from extract.run.cluster import _merged, extract_on_dask
from extract.run.extract import extract
from extract.run.settings import Shard
from tests.cheap import Opener, make_folder, settings_for
from tests.helpers import assert_same_cache

pytest.importorskip("distributed", reason="the extra `dask` is not installed")

N = 320
WEIGHTS = "wheel"
SECONDS = 120


@dataclass
class Cluster:
    """A scheduler's address and its workers' processes."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each, which nobody restarts."""
    file = tmp_path / "scheduler.json"
    common = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [f"{Path(sys.executable).parent}/dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", str(file)],
        **common,
    )  # fmt: skip
    workers = [
        subprocess.Popen(
            [f"{Path(sys.executable).parent}/dask", "worker", "--scheduler-file", str(file),
             "--no-nanny", "--nthreads", "1", "--no-dashboard"],
            **common,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        yield Cluster(_address(file, 2), workers)
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def _address(file: Path, n_workers: int) -> str:
    """Wait for the scheduler and all workers; return the address."""
    from distributed import Client

    deadline = time.monotonic() + SECONDS
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with Client(scheduler_file=str(file), timeout="60s") as client:
        if n_workers:
            client.wait_for_workers(n_workers, timeout=SECONDS)
        return str(client.scheduler.address)


def _command(tmp_path: Path, out: str, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "extract", "--split", "train", "--data", str(tmp_path / "data"),
        "--out", str(tmp_path / out), "--weights", WEIGHTS, "--jobs", "1", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(cluster: Cluster, tmp_path: Path) -> None:
    make_folder(tmp_path / "data", N)
    one = tmp_path / "one"
    subprocess.run(_command(tmp_path, "one"), check=True, capture_output=True, timeout=SECONDS)
    running = subprocess.Popen(
        _command(tmp_path, "many", "--dask", cluster.address, "--shards", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _wait_for_half_a_shard(tmp_path / "many")
    cluster.workers[0].send_signal(signal.SIGKILL)
    out, errors = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, errors.decode()
    assert f"{N} photographs".encode() in out
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert_same_cache(one / "train.h5", tmp_path / "many" / "train.h5")
    assert not list((tmp_path / "many").glob("*shard*"))
    again = subprocess.run(
        _command(tmp_path, "many", "--dask", cluster.address),
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    assert b"no photograph was decoded" in again.stdout


def _wait_for_half_a_shard(folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for number in (1, 2):
            path = folder / f"train.shard-{number}-of-2.h5"
            if partial_path(path).exists():
                counts = open_cache(partial_path(path), allow_partial=True).counts
                if counts[Status.OK] and counts[Status.PENDING]:
                    return
        time.sleep(0.01)
    pytest.fail("no shard was ever half done")


def test_shards_of_which_one_is_not_finished_stay_as_they_are(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", 8)
    with (data / "labels.csv").open("a") as file:
        file.write("away/9.jpg,train,1,2,3,4,5\n")
    settings = settings_for(tmp_path)
    shards = [replace(settings, shard=Shard(number, 3)) for number in (1, 2, 3)]
    parts = [extract(shard, Opener())[0] for shard in shards]
    whole = _merged(settings, "train", parts, 1.0, ["something is away"])
    assert (whole.finished, whole.ok, whole.problems) == (False, 8, ["something is away"])
    assert not whole.path.exists()
    assert [part.path.exists() for part in parts] == [part.finished for part in parts]
    (data / "away").mkdir()
    (data / "images" / "7.jpg").rename(data / "away" / "9.jpg")
    parts = [extract(shard, Opener())[0] for shard in shards]
    whole = _merged(settings, "train", parts, 1.0, [])
    assert (whole.finished, whole.ok, whole.missing) == (True, 8, 1)


def test_a_bar_counts_the_shards_that_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    counted = []

    def bar(things: Iterator[object], words: str, total: int) -> Iterator[object]:
        for number, thing in enumerate(things, 1):
            counted.append(f"{words} {number}/{total}")
            yield thing

    monkeypatch.setattr(on_dask, "bar", bar)
    monkeypatch.setattr(on_dask, "extract", partial(extract, open_engine_=Opener()))
    make_folder(tmp_path / "data", 8)
    with LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as here:
        (whole,) = extract_on_dask(settings_for(tmp_path), here.scheduler_address, 2)
        (again,) = extract_on_dask(settings_for(tmp_path), here.scheduler_address, 2)
        # Unless it is said how many, none is so small that one damaged file is too many.
        extract_on_dask(
            replace(settings_for(tmp_path), out=tmp_path / "few"), here.scheduler_address, 0
        )
    assert (whole.finished, whole.ok, again.ok, again.extracted) == (True, 8, 8, 0)
    assert counted == ["shards 1/2", "shards 2/2", "shards 1/1"]


def test_a_scheduler_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    def impatient(address: str, timeout: str, client: type = distributed.Client) -> object:
        return client(address, timeout="1s")

    monkeypatch.setattr(distributed, "Client", impatient)
    make_folder(tmp_path / "data", 8)
    with pytest.raises(EngineError, match=r"--dask tcp://127\.0\.0\.1:9: no scheduler answers"):
        extract_on_dask(settings_for(tmp_path), "tcp://127.0.0.1:9", 2)


def test_a_scheduler_without_workers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    make_folder(tmp_path / "data", 8)
    scheduler = subprocess.Popen(
        [f"{Path(sys.executable).parent}/dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", str(file)],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with pytest.raises(EngineError, match="has no workers"):
            extract_on_dask(settings_for(tmp_path), _address(file, 0), 2)
    finally:
        scheduler.kill()
        scheduler.wait()
