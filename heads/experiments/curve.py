"""What more photographs bring: one head trained on more and more of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cache.console import note
from heads.data.splits import SplitData, with_limit
from heads.errors import HeadError
from heads.experiments.train import TrainedRun, run_config, train_run
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import Settings, find_head


def curve(
    head: str,
    data: Mapping[str, SplitData],
    sizes: Sequence[int | None],
    out: str | Path = "runs",
    *,
    settings: Settings | None = None,
    seed: int = 0,
    overwrite: bool = False,
    stopped: Callable[[list[TrainedRun]], None] | None = None,
) -> list[TrainedRun]:
    """Train a head on the first so many photographs of train, for each size; smallest first.

    Rows lie in hash order, so smaller sizes are part of larger ones. All sizes average as many
    networks as the largest does by default: more networks at small sizes alone would hide some of
    what more photographs bring. The other arguments and errors are those of `heads.train`.

    Args:
        sizes: numbers of photographs; None for all of train. Those above it are left out.
        stopped: is called with the sizes that are finished if an error ends the others, before
            that is raised.

    Raises:
        HeadError: no size is left.
    """
    available = len(data["train"])
    # The largest first: where there is no run of this head yet, OUT/HEAD is the best of them.
    wanted = sorted(_fitting(sizes, available), key=lambda size: size or available, reverse=True)
    settings = settings or find_head(head).default_settings
    if isinstance(settings, NetworkSettings):
        settings = replace(settings, ensemble=settings.networks(wanted[0] or available))
    runs: list[TrainedRun] = []
    try:
        for size in wanted:
            part = data if size is None else with_limit(data, size)
            config = run_config(head, settings, seed, part)
            done = train_run(head, config, part, Path(out), overwrite=overwrite, keep_others=True)
            runs.insert(0, done)
    except Exception:
        if runs and stopped is not None:
            stopped(runs)
        raise
    return runs


def _fitting(sizes: Sequence[int | None], available: int) -> list[int | None]:
    wanted = []
    for size in dict.fromkeys(sizes):
        if size is not None and size > available:
            note(f"Left out: {size:,} photographs; train has {available:,}.")
        else:
            wanted.append(size)
    if not wanted:
        raise HeadError(
            f"No size is left: train has {available:,} photographs. Add all to --sizes."
        )
    return wanted
