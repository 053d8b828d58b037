"""How far a metric may be trusted: bootstrap intervals, of a value and of a paired difference.

Numpy and scipy only. Photographs are drawn with replacement; where they belong to groups (a
photographer, a series), whole groups are drawn, since photographs of one group are not independent
(Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Intervals are
percentiles of the draws (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
13).
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from cache.types import FloatArray, IntArray
from heads.data.labels import Labels, clusters
from heads.data.predictions import Prediction
from heads.metrics.catalogue import CHOOSING, METRICS, Metric, Value, evaluate
from heads.metrics.choosing import Choices, Sums, agreement, rates
from heads.metrics.weighted import Draws, Terms

DRAWS = 1000
COVERAGE = 0.95
CHUNK_VALUES = 2**20
# A metric may be undefined in a few draws (one class only); with more, it has no interval.
MAX_UNDEFINED = 0.05


Interval = tuple[float, float]
Difference = tuple[float, float, float]


class Verdict(enum.StrEnum):
    """What the interval of a difference, head minus floor, tells; files hold these values."""

    BEATS = "beats"
    CANNOT_TELL = "cannot-tell"
    DOES_NOT = "does-not"

    @property
    def words(self) -> str:
        """The same for people."""
        return _WORDS[self]

    @classmethod
    def read(cls, text: str | None) -> Verdict | None:
        """Return the verdict of a file's text; earlier files hold the words; None if unknown."""
        return next((v for v in cls if text in (v.value, v.words)), None)


_WORDS = {
    Verdict.BEATS: "beats its floor",
    Verdict.CANNOT_TELL: "cannot tell",
    Verdict.DOES_NOT: "does not",
}


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A prediction's metrics on the sample itself and on each draw.

    `values` as `evaluate` gives them; `drawn` holds (draws,) float64 for each metric, or
    None for what does not apply and for what is too slow to draw. Two of them are paired if they
    come from the same labels, draws and seed.
    """

    values: dict[str, Value]
    drawn: dict[str, FloatArray | None]

    def intervals(self) -> dict[str, Interval | None]:
        """Return the 95 % interval (lo, hi) of each metric; None where nothing was drawn.

        The bounds are NaN where the metric is undefined, or where there are fewer than two
        photographs or groups to draw from.
        """
        return {name: None if d is None else _percentiles(d) for name, d in self.drawn.items()}

    def minus(self, other: Bootstrap) -> dict[str, Difference | None]:
        """Return (difference, lo, hi) of each metric, self minus other, draw by draw.

        An undefined correlation counts as 0, so that a head can be compared with a constant. None
        where the metric was not drawn for both.
        """
        return {name: self._difference(other, name) for name in METRICS}

    def _difference(self, other: Bootstrap, name: str) -> Difference | None:
        mine, theirs = self.drawn[name], other.drawn[name]
        if mine is None or theirs is None:
            return None
        gap = _defined(name, mine) - _defined(name, theirs)
        ends = np.array([self.values[name], other.values[name]], np.float64)
        value = -np.diff(_defined(name, ends))[0]
        return (float(value), *_percentiles(gap))


def bootstrap(
    prediction: Prediction,
    labels: Labels,
    draws: int = DRAWS,
    seed: int = 0,
    drawn: Container[str] = METRICS,
) -> Bootstrap:
    """Measure a prediction of n photographs on `draws` samples drawn with replacement.

    Only the metrics in `drawn` are measured on the draws.

    Raises:
        HeadError: there is no photograph.
    """
    values = evaluate(prediction, labels)
    cluster = clusters(labels.group)
    if cluster.max() == 0:
        nothing = {name: np.full(1, np.nan) for name in METRICS if isinstance(values[name], float)}
        return Bootstrap(values, {name: nothing.get(name) for name in METRICS})
    if labels.pairs_alone:
        agreed = [agreement(prediction.score, labels, c) for c in draw_counts(cluster, draws, seed)]
        return Bootstrap(values, dict.fromkeys(METRICS) | {"pair_acc": np.concatenate(agreed)})
    terms, parts = Terms(prediction, labels), []
    for counts in draw_counts(cluster, draws, seed):
        once = terms.draws(counts)
        parts.append(
            {
                name: _drawn(metric, once, prediction, labels) if name in drawn else None
                for name, metric in METRICS.items()
            }
        )
    found = {name: _joined([part[name] for part in parts]) for name in METRICS}
    if (choices := Choices.of(labels)) is not None:
        chosen = _chosen(choices.sums_of(prediction), draws, seed)
        found |= {name: column for name, column in chosen.items() if name in drawn}
    return Bootstrap(values, found)


def _chosen(sums: Sums, draws: int, seed: int) -> dict[str, FloatArray]:
    """Return the metrics of choosing on draws of whole groups, of those with a choice."""
    n_groups = len(sums[CHOOSING[0]][0])
    if n_groups < 2:
        return {name: np.full(1, np.nan) for name in sums}
    parts = [rates(sums, counts) for counts in draw_counts(np.arange(n_groups), draws, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in sums}


def _drawn(
    metric: Metric, draws: Draws, prediction: Prediction, labels: Labels
) -> FloatArray | None:
    """Return a metric of each draw: all at once by its weighted form, else one by one."""
    if metric.resampled_rows is not None and len(labels) > metric.resampled_rows:
        return None
    if metric.weighted is not None:
        return metric.weighted(draws)
    if metric.formula is None:
        return None
    every = np.arange(len(labels))
    rows = [np.repeat(every, column.astype(np.int64)) for column in draws.counts.T]
    values = [metric.formula(prediction.take(r), labels.take(r)) for r in rows]
    return None if None in values else np.array(values, np.float64)


def verdict(metric: str, lo: float, hi: float) -> Verdict:
    """Say what the interval of a difference, head minus floor, tells.

    It beats the floor if all of it lies on the good side of 0, and does not if all of it lies on
    the bad side or at 0 itself. NaN bounds tell nothing, nor does a metric that has no good side.
    """
    higher_is_better = METRICS[metric].higher_is_better
    if higher_is_better is None or np.isnan(lo) or np.isnan(hi):
        return Verdict.CANNOT_TELL
    worst, best = (lo, hi) if higher_is_better else (-hi, -lo)
    if worst > 0:
        return Verdict.BEATS
    return Verdict.DOES_NOT if best < 0 or worst == best == 0 else Verdict.CANNOT_TELL


def draw_counts(cluster: IntArray, draws: int, seed: int) -> Iterator[FloatArray]:
    """Yield (n, B) float64 blocks: how often each photograph stands in each of `draws` draws.

    Args:
        cluster: (n,) int64, 0..C-1: photographs of one cluster are drawn together.
    """
    rng = np.random.default_rng(seed)
    n_clusters = int(cluster.max()) + 1
    alone = n_clusters == len(cluster)
    width = max(1, CHUNK_VALUES // len(cluster))
    for start in range(0, draws, width):
        size = min(width, draws - start)
        drawn = [
            np.bincount(rng.integers(0, n_clusters, n_clusters), minlength=n_clusters)
            for _ in range(size)
        ]
        counts = np.array(drawn, np.float64).T
        yield np.ascontiguousarray(counts if alone else counts[cluster])


def _defined(name: str, values: FloatArray) -> FloatArray:
    shown = METRICS[name].undefined
    return values if shown is None else np.nan_to_num(values, nan=shown)


def _joined(parts: list[FloatArray | None]) -> FloatArray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _percentiles(drawn: FloatArray) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(drawn):
        return np.nan, np.nan
    lo, hi = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(lo), float(hi)
