"""What became of a split: photographs counted, where the time went, and the line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.rejects import rejects_path
from cache.types import Status


@dataclass
class Summary:
    """What became of one split: counts of photographs, and where the time went, in seconds.

    `decode` and `inference` are processor seconds over all cores; `engine_busy`, while the engine
    had a batch, `write` and `wall` are by the clock, without opening the engine. `extracted` counts
    what this run computed. `device` is cpu or gpu.
    """

    path: Path
    ok: int = 0
    missing: int = 0
    unreadable: int = 0
    extracted: int = 0
    decode: float = 0.0
    inference: float = 0.0
    write: float = 0.0
    wall: float = 0.0
    engine: str = "none needed"
    engine_busy: float = 0.0
    device: str = "cpu"

    def count(self, counts: Mapping[Status, int]) -> Summary:
        """Note what the rows became, and return itself."""
        self.ok, self.missing = counts[Status.OK], counts[Status.MISSING]
        self.unreadable = counts[Status.UNREADABLE]
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**self.__dict__, "path": str(self.path)}


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
