"""The shards of a split on an existing Dask cluster, then merged.

Dask schedules, and gives a shard to another worker when one dies; the shard's partial file then
goes on where it was. Every worker needs this package and the same folders.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from cache.console import note
from cache.errors import EngineError
from cache.merge import merge
from cache.rejects import rejects_path
from cache.resume import is_current
from cache.store import open_cache
from cache.types import Manifest, Status
from extract.run.extract import extract
from extract.run.plan import Plan, plan
from extract.run.settings import Settings, Shard, whole_name
from extract.run.summary import Summary

SHARDS_A_WORKER = 4


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
        results = _run_shards(_tasks(here, planned, count))
    extracted = sum(result.extracted for result in results)
    rate = extracted / (time.perf_counter() - started)
    return [
        _merged(here, manifest, [r for r in results if _is_part(r, manifest)], rate)
        for manifest, _ in planned.splits
    ]


def _is_part(result: Summary, manifest: Manifest) -> bool:
    return result.path.name.startswith(f"{manifest.split_rule.split}.shard-")


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


def _tasks(settings: Settings, planned: Plan, count: int) -> list[Settings]:
    """One task a shard of every split that is not complete already."""
    tasks = []
    for manifest, facts in planned.splits:
        path = settings.out / whole_name(manifest)
        if is_current(path, manifest, planned.spec, facts, settings.reuse):
            continue
        parts = min(count, len(manifest))
        tasks += [
            replace(settings, splits=(manifest.split_rule.split,), shard=Shard(number, parts))
            for number in range(1, parts + 1)
        ]
    return tasks


def _run_shards(tasks: list[Settings]) -> list[Summary]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="dask"):
        batches = Parallel(batch_size=1)(delayed(extract)(task) for task in tasks)
    return [summary for batch in batches for summary in batch]


def _merged(settings: Settings, manifest: Manifest, parts: list[Summary], rate: float) -> Summary:
    """Merge a split's shards, if there was work, and sum up; `rate` is the cluster's, by clock."""
    out = settings.out / whole_name(manifest)
    if parts:
        merge(out, [part.path for part in parts], overwrite=True)
    for part in parts:
        part.path.unlink()
        rejects_path(part.path).unlink(missing_ok=True)
    cache = open_cache(out)
    extracted = sum(part.extracted for part in parts)
    return Summary(
        path=out,
        ok=cache.counts[Status.OK],
        missing=cache.counts[Status.MISSING],
        unreadable=cache.counts[Status.UNREADABLE],
        extracted=extracted,
        decode=sum(part.decode for part in parts),
        inference=sum(part.inference for part in parts),
        write=sum(part.write for part in parts),
        wall=extracted / rate if rate else 0.0,
        engine=parts[0].engine if parts else "none needed",
        engine_busy=sum(part.engine_busy for part in parts),
        device=parts[0].device if parts else "cpu",
    )
