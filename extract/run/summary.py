"""What became of a split: photographs counted, where the time went, and the line that says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.rejects import rejects_path
from cache.types import Status


@dataclass
class Clock:
    """Seconds of one split's extraction; `fill` by the clock, without opening the engine."""

    decode: float = 0.0
    inference: float = 0.0
    engine: float = 0.0
    write: float = 0.0
    fill: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class Summary:
    """What became of one split: counts of photographs, and where the time went, in seconds.

    `decode` and `inference` are processor seconds over all cores; `engine_busy`, while the engine
    had a batch, `write` and `wall` are by the clock, without opening the engine. `extracted` counts
    what this run computed. `device` is cpu or gpu.
    """

    path: Path
    ok: int
    missing: int
    unreadable: int
    extracted: int
    decode: float
    inference: float
    write: float
    wall: float
    engine: str
    engine_busy: float = 0.0
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**self.__dict__, "path": str(self.path)}


def summarise(
    path: Path, status: npt.NDArray[np.uint8], extracted: int, clock: Clock, engine: str
) -> Summary:
    """Count what a split's rows became, (N,), and put the times beside it."""
    return Summary(
        path=path,
        ok=int((status == Status.OK).sum()),
        missing=int((status == Status.MISSING).sum()),
        unreadable=int((status == Status.UNREADABLE).sum()),
        extracted=extracted,
        decode=clock.decode,
        inference=clock.inference,
        write=clock.write,
        wall=clock.fill,
        engine=engine,
        engine_busy=clock.engine,
        device=clock.device,
    )


def describe(summary: Summary, cores: int) -> str:
    """Return the closing line of a split: what there is, how fast, and what the time went into."""
    noun = "photograph" if summary.ok == 1 else "photographs"
    parts = [f"{summary.path}: {summary.ok:,} {noun}"]
    if summary.missing:
        parts.append(f"{summary.missing:,} missing")
    if summary.unreadable:
        parts.append(f"{summary.unreadable:,} unreadable")
    if summary.missing or summary.unreadable:
        parts.append(f"listed in {rejects_path(summary.path).name}")
    line = ", ".join(parts)
    if not summary.extracted:
        return f"{line}; nothing to do, no photograph was decoded."
    rate = summary.extracted / max(summary.wall, 1e-9)
    on_gpu = summary.device == "gpu"
    shares = {
        "decode": summary.decode / cores,
        "inference": summary.engine_busy if on_gpu else summary.inference / cores,
        "write": summary.write,
    }
    computed = (
        f"decode {summary.decode:.1f} core-seconds on {cores} cores, inference "
        f"{summary.engine_busy:.1f} s on the GPU"
        if on_gpu
        else f"decode {summary.decode:.1f} and inference {summary.inference:.1f} core-seconds on "
        f"{cores} cores"
    )
    return (
        f"{line}; {summary.extracted:,} extracted in {summary.wall:.1f} s ({rate:.0f} img/s): "
        f"{computed}, write {summary.write:.1f} s; bound by "
        f"{max(shares, key=shares.__getitem__)}."
    )
