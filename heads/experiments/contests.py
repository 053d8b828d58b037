"""Linear models against networks: who is set against whom, by how much they differ, what they cost.

Which heads are a pair is said by the network's own class (`About.linear_rival`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from heads.data.labels import Labels
from heads.metrics.catalogue import ranked_by
from heads.metrics.comparison import Contest, Sample, contest
from heads.models.own.settings import OwnSettings
from heads.models.registry import HEADS, Settings, about_head

NOT_MEASURED = "not measured"


def compared(labels: Labels) -> tuple[str, str]:
    """Return what heads are made to be good at; the second of heads with distributions."""
    return ranked_by(labels), "emd_r2"


@dataclass(frozen=True)
class Cost:
    """What a head took: mean seconds of a fit, bytes of its model file; None: not measured."""

    seconds: float | None = None
    model_bytes: int | None = None

    @property
    def time(self) -> str:
        """The seconds in words."""
        return NOT_MEASURED if self.seconds is None else f"{self.seconds:.1f} s"

    @property
    def size(self) -> str:
        """The file in kilobytes, in words."""
        return NOT_MEASURED if self.model_bytes is None else f"{self.model_bytes / 1000:,.0f} kB"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values of what was measured."""
        values = {"fit_seconds": self.seconds, "model_bytes": self.model_bytes}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cost:
        """Read it from a metrics.json."""
        return cls(values.get("fit_seconds"), values.get("model_bytes"))

    @classmethod
    def mean(cls, costs: Sequence[Cost]) -> Cost:
        """Return the mean of several fits; the file is that of the first."""
        seconds = [cost.seconds for cost in costs if cost.seconds is not None]
        known = len(seconds) == len(costs) > 0
        return cls(fmean(seconds) if known else None, costs[0].model_bytes if costs else None)


@dataclass(frozen=True, eq=False)
class Contestant:
    """A head that was measured: `name` is that of tables and pages.

    Those whose `learned_from` is equal learned from the same features and labels.
    """

    name: str
    head: str
    learned_from: object
    sample: Sample
    cost: Cost


def lesson(head: str, settings: Settings) -> tuple[str | None, bool]:
    """Return which labels a head learns, where it has the choice, and whether it takes roots."""
    if isinstance(settings, OwnSettings):
        return None, False
    return settings.labels if HEADS[head].about.ranking_only else None, settings.rooted


@dataclass(frozen=True, eq=False)
class Pair:
    """A network and its linear rival: `contests` are network minus linear model."""

    network: Contestant
    linear: Contestant
    contests: tuple[Contest, ...]

    @property
    def by_metric(self) -> dict[str, Contest]:
        """The contests by their metric."""
        return {found.metric: found for found in self.contests}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        costs = self.network.cost, self.linear.cost
        return {
            "network": self.network.name,
            "linear": self.linear.name,
            **contests_to_dict(self.contests),
            "seconds": [cost.seconds for cost in costs],
            "model_bytes": [cost.model_bytes for cost in costs],
        }


def pairs(there: Sequence[Contestant]) -> list[Pair]:
    """Return each network beside the linear head that learned the same from the same.

    Intervals are of paired draws. There is no pair without both heads.
    """
    return [
        Pair(network, linear, against((network.name, network.sample), (linear.name, linear.sample)))
        for network in there
        for linear in there
        if linear.head == about_head(network.head).linear_rival
        and linear.learned_from == network.learned_from
    ]


def against(first: tuple[str, Sample], second: tuple[str, Sample]) -> tuple[Contest, ...]:
    """Return first minus second in what both are made for."""
    return tuple(contest(first, second, compared(first[1].labels)))


def contests_to_dict(contests: Sequence[Contest]) -> dict[str, Any]:
    """Return [difference, lo, hi] and the better one, or null, of each metric."""
    return {
        "difference": {c.metric: [c.difference, c.lo, c.hi] for c in contests},
        "better": {c.metric: c.winner for c in contests},
    }
