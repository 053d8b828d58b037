"""The shards of a split on an existing Dask cluster, then merged.

Dask schedules, and gives a shard to another worker when one dies; the shard's partial file then
goes on where it was. Every worker needs this package and the same folders.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import chain
from typing import Any

from joblib import Parallel, delayed, parallel_config

from cache.console import bar, note, working
from cache.errors import EngineError
from cache.merge import merge
from cache.rejects import rejects_path
from cache.resume import is_current
from cache.store import open_cache
from extract.run.extract import FAILURES_LOOKED_AT_AFTER, extract, provenance_of
from extract.run.plan import Plan, plan
from extract.run.settings import Settings, Shard
from extract.run.summary import Summary

# A shard has at least so many photographs that its failures say something of the whole.
SHARDS_A_WORKER, LEAST_PHOTOGRAPHS = 4, FAILURES_LOOKED_AT_AFTER


def extract_on_dask(settings: Settings, address: str, shards: int) -> list[Summary]:
    """Extract every split's shards on the cluster at `address` and merge them.

    Args:
        settings: with absolute folders or ones that the workers see under the same name.
        address: of the scheduler, such as tcp://host:8786.
        shards: how many parts; 0 for four a worker.

    Raises:
        EngineError: the package is missing, or no scheduler answers, or it has no workers.
        AestheticError: whatever a shard raises.
    """
    here = replace(
        settings, data=settings.data.resolve(), out=settings.out.resolve(), progress=False
    )
    started = time.perf_counter()
    with _client(address) as client:
        threads = client.nthreads()
        if not threads:
            raise EngineError(f"--dask {address}: the scheduler has no workers. Start some first.")
        count = shards or SHARDS_A_WORKER * len(threads)
        planned = plan(here)
        note(f"Dask: {len(threads)} workers, {count} shards a split.")
        with parallel_config(backend="dask"), working("the cluster extracts"):
            least = 1 if shards else LEAST_PHOTOGRAPHS
            tasks = [delayed(extract)(task) for task in _tasks(here, planned, count, least)]
            finished = Parallel(batch_size=1, return_as="generator_unordered")(tasks)
            results = list(chain.from_iterable(bar(finished, "shards", len(tasks))))
    extracted = sum(result.extracted for result in results)
    rate = extracted / (time.perf_counter() - started)
    summaries = []
    for manifest, _ in planned.splits:
        split = manifest.split_rule.split
        name = f"{split}.shard-"
        parts = [result for result in results if result.path.name.startswith(name)]
        away = planned.away.of(manifest).problems(here.data, Shard().path(here.out, split))
        summaries.append(_merged(here, split, parts, rate, away))
    return summaries


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise EngineError(
            "--dask needs the package distributed: pip install 'aesthetic-heads[dask]'."
        ) from None
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise EngineError(f"--dask {address}: no scheduler answers there ({error}).") from None


def _tasks(settings: Settings, planned: Plan, count: int, least: int) -> list[Settings]:
    """One task a shard, of at least so many photographs, of every split that is not complete."""
    tasks, origin = [], provenance_of(settings, planned)
    for manifest, facts in planned.splits:
        path = Shard().path(settings.out, manifest.split_rule.split)
        if is_current(path, manifest, planned.spec, facts, settings.reuse, origin):
            continue
        parts = max(1, min(count, len(manifest) // least))
        tasks += [
            replace(settings, splits=(manifest.split_rule.split,), shard=Shard(number, parts))
            for number in range(1, parts + 1)
        ]
    return tasks


def _merged(
    settings: Settings, split: str, parts: list[Summary], rate: float, away: list[str]
) -> Summary:
    """Merge a split's shards, if there was work, and sum up; `rate` is the cluster's, by clock.

    Nothing is merged where one of them is not finished: all stay for the next run.
    """
    out = Shard().path(settings.out, split)
    whole = Summary(out, away=away, finished=all(part.finished for part in parts))
    if whole.finished:
        if parts:
            merge(out, [part.path for part in parts], overwrite=True)
        for part in parts:
            part.path.unlink()
            rejects_path(part.path).unlink(missing_ok=True)
        whole.count(open_cache(out).counts)
    for part in parts:
        if not whole.finished:
            whole.ok += part.ok
            whole.missing += part.missing
            whole.unreadable += part.unreadable
        whole.engine, whole.device = part.engine, part.device
        whole.extracted += part.extracted
        whole.decode += part.decode
        whole.inference += part.inference
        whole.write += part.write
        whole.engine_busy += part.engine_busy
        whole.refused += part.refused
    whole.wall = whole.extracted / rate if rate else 0.0
    return whole
