"""What became of a split: photographs counted, where the time went, and the line that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.rejects import rejects_path
from cache.store import partial_path
from cache.types import Status
from extract.run.settings import REASONS_SHOWN


@dataclass
class Summary:
    """What became of one split: counts of photographs, and where the time went, in seconds.

    `decode` and `inference` are processor seconds over all cores; `engine_busy`, while the engine
    had a batch, `write` and `wall` are by the clock, without opening the engine. `extracted` counts
    what this run computed. `device` is cpu or gpu. `away` says what was away, and `refused` counts
    by reason what the system did not give; a split that is not `finished` has an unfinished file
    alone, or an older one.
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
    finished: bool = True
    away: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def count(self, counts: Mapping[Status, int]) -> Summary:
        """Note what the rows became, and return itself."""
        self.ok, self.missing = counts[Status.OK], counts[Status.MISSING]
        self.unreadable = counts[Status.UNREADABLE]
        return self

    @property
    def problems(self) -> list[str]:
        """What the command says at its end, to end with exit code 1."""
        if not self.refused:
            return self.away
        n, common = self.refused.total(), self.refused.most_common(REASONS_SHOWN)
        shown = "; ".join(f"{n:,} x {text}" for text, n in common)
        return [
            *self.away,
            f"{self.path}: the system did not give {n:,} photograph{'s' * (n > 1)} ({shown}), "
            "which may be sound. Solve this; the same command then tries them again.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**self.__dict__, "path": str(self.path)}


def describe(summary: Summary, cores: int) -> str:
    """Return the closing line of a split: what there is, how fast, and what the time went into."""
    noun = "photograph" if summary.ok == 1 else "photographs"
    path = summary.path if summary.finished else partial_path(summary.path)
    parts = [f"{path}: {summary.ok:,} {noun}"]
    if summary.missing:
        parts.append(f"{summary.missing:,} missing")
    if summary.unreadable:
        parts.append(f"{summary.unreadable:,} unreadable")
    if summary.finished and (summary.missing or summary.unreadable):
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
