"""A head's metrics with intervals, beside those of the floor, and what the difference tells.

Numpy and scipy only; the metrics are in `heads.metrics.catalogue`, their intervals in
`heads.metrics.bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.types import FloatArray
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.metrics.bootstrap import Bootstrap, Difference, Verdict, bootstrap, verdict
from heads.metrics.catalogue import METRICS, Value, evaluate, for_json, for_table, srcc_within

BOOTSTRAP_SEED = 0
# Of these, one at least differs where predictions are not those that were measured.
TELLING, ROUNDING = ("srcc", "mae", "acc"), 1e-6


@dataclass(frozen=True)
class Measured:
    """One metric of a head: its value and 95 % interval, the floor's value, and their difference.

    `difference` is head minus floor with its paired interval; `verdict` says what it tells. None
    where the metric does not apply; NaN where it is not defined; no verdict where there is no
    difference or neither end is good.
    """

    value: Value
    lo: float | None
    hi: float | None
    floor: Value
    difference: Difference | None
    verdict: Verdict | None


Measures = dict[str, Measured]


@dataclass(frozen=True, eq=False)
class Sample:
    """A head's predictions measured on one split; keep it to compare heads in pairs.

    `others` are further predictions of the same photographs, by other seeds or ways of folding:
    `bootstrap` then holds means over all of them.
    """

    prediction: Prediction
    labels: Labels
    bootstrap: Bootstrap
    others: tuple[Prediction, ...] = ()

    @classmethod
    def of(cls, prediction: Prediction, labels: Labels, drawn: Container[str] = METRICS) -> Sample:
        """Measure predictions of n photographs; 20,000 of them take a second or two.

        Only the metrics in `drawn` have intervals and can be compared.
        """
        boots = bootstrap(prediction, labels, seed=BOOTSTRAP_SEED, drawn=drawn)
        return cls(prediction, labels, boots)

    @property
    def within(self) -> float | None:
        """The mean SRCC within challenges; None where none are known."""
        values = [srcc_within(p, self.labels) for p in (self.prediction, *self.others)]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None


def mean_sample(samples: Sequence[Sample]) -> Sample:
    """Return the mean of a head's samples of the same photographs: of values and of draws.

    Every sample was drawn with the same seed, so that the mean of draws is a draw of the mean.
    """
    first = samples[0]
    if len(samples) == 1:
        return first
    boots = [sample.bootstrap for sample in samples]
    values = {name: _mean_value([b.values[name] for b in boots]) for name in first.bootstrap.values}
    drawn = {name: _mean_drawn([b.drawn[name] for b in boots]) for name in first.bootstrap.drawn}
    others = tuple(sample.prediction for sample in samples[1:])
    return Sample(first.prediction, first.labels, Bootstrap(values, drawn), others)


def _mean_value(values: Sequence[Value]) -> Value:
    if values[0] is None:
        return None
    if isinstance(values[0], list):
        # The rows of a confusion matrix sum to the same photographs in each of them.
        counts = np.array(values)
        first, whole = counts[:, :, 0].mean(axis=0).round().astype(int), counts[0].sum(axis=1)
        rows: list[list[int]] = np.stack([first, whole - first], axis=1).tolist()
        return rows
    return float(np.mean(np.array(values, np.float64)))


def _mean_drawn(columns: Sequence[FloatArray | None]) -> FloatArray | None:
    drawn = [column for column in columns if column is not None]
    return np.mean(drawn, axis=0) if len(drawn) == len(columns) else None


def deviations(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the standard deviation of each metric over several samples; empty for one.

    Undefined values and metrics that do not apply are left out. It divides by their number less 1.
    """
    if len(samples) < 2:
        return {}
    columns = {name: [s.bootstrap.values[name] for s in samples] for name in METRICS}
    return {
        name: float(np.std(np.array(column, np.float64), ddof=1))
        for name, column in columns.items()
        if all(isinstance(value, float) and math.isfinite(value) for value in column)
    }


def measure(sample: Sample, floor: Sample) -> Measures:
    """Return every metric of a head beside the floor's, in the order of `METRICS`.

    Both samples are of the same photographs.
    """
    spans = sample.bootstrap.intervals()
    gaps = sample.bootstrap.minus(floor.bootstrap)
    measures = {}
    for name in METRICS:
        lo, hi = spans[name] or (None, None)
        gap = gaps[name]
        measures[name] = Measured(
            value=sample.bootstrap.values[name],
            lo=lo,
            hi=hi,
            floor=floor.bootstrap.values[name],
            difference=gap,
            verdict=_verdict(name, gap),
        )
    return measures


def _verdict(name: str, gap: Difference | None) -> Verdict | None:
    """Return the verdict, or None where there is no difference or no good side."""
    if gap is None or METRICS[name].higher_is_better is None:
        return None
    return verdict(name, gap[1], gap[2])


def measures_to_dict(sample: Sample, measures: Measures) -> dict[str, Any]:
    """Return JSON-ready values: every metric by its name, then what surrounds it.

    `intervals` are [lo, hi], `floor` the constant head's values, `difference` [head minus floor,
    lo, hi], `verdict` what that tells (a `Verdict`); null for what does not apply or is not
    defined. `StoredMetrics` reads them.
    """
    within = sample.within
    items = measures.items()
    return {
        "n": len(sample.labels),
        **for_json({name: m.value for name, m in items}),
        "srcc_within_challenges": None if within is None else _finite(within),
        "intervals": {name: _pair(m.lo, m.hi) for name, m in items},
        "floor": for_json({name: m.floor for name, m in items}),
        "difference": {
            name: m.difference and [_finite(part) for part in m.difference] for name, m in items
        },
        "verdict": {name: m.verdict for name, m in items},
    }


def values_to_dict(prediction: Prediction, labels: Labels) -> dict[str, Any]:
    """Return JSON-ready values of every metric, without intervals."""
    return {"n": len(labels), **for_json(evaluate(prediction, labels))}


@dataclass(frozen=True)
class StoredMetrics:
    """What `measures_to_dict` gave, read from the metrics.json of a run of any version.

    A run lacks the metrics that came later; they are not `in` it, and all that is asked of them is
    None. Metrics that this program does not know are never asked for.
    """

    values: Mapping[str, Any]

    def __contains__(self, metric: str) -> bool:
        """Whether the run was measured by this metric, which may still not apply to its head."""
        return metric in self.values

    def value(self, metric: str) -> Any:
        """Return the value; None where it does not apply or is not defined."""
        return self.values.get(metric)

    def contradicted_by(self, prediction: Prediction, labels: Labels) -> str:
        """Return a metric that predictions do not have as it is stored; '' where all agree."""
        now = evaluate(prediction, labels)
        for name in TELLING:
            stored, value = self.value(name), now[name]
            both = isinstance(stored, float) and isinstance(value, float)
            if both and abs(stored - value) > ROUNDING:
                return name
        return ""

    def shown(self, metric: str) -> float | None:
        """Return the value as a table shows it; None for a dash."""
        value: float | None = self.value(metric)
        if value is None and metric in self and self.has_interval(metric):
            return for_table(metric, float("nan"))
        return value

    def interval(self, metric: str) -> tuple[float | None, float | None]:
        """Return the 95 % interval; None for a bound that is not defined."""
        lo, hi = self._about("intervals", metric) or (None, None)
        return lo, hi

    def has_interval(self, metric: str) -> bool:
        """Whether an interval was drawn, if perhaps not a defined one."""
        return self._about("intervals", metric) is not None

    def floor(self, metric: str) -> float | None:
        """Return the constant head's value as a table shows it: 0 for an undefined correlation."""
        if metric not in self.values.get("floor", {}):
            return None
        value: float | None = self._about("floor", metric)
        return METRICS[metric].undefined if value is None else value

    def verdict(self, metric: str) -> Verdict | None:
        """Return what the difference from the floor tells; None where there is none."""
        return Verdict.read(self._about("verdict", metric))

    def _about(self, kind: str, metric: str) -> Any:
        return self.values.get(kind, {}).get(metric)


def verdicts(measures: Mapping[str, Measured]) -> dict[Verdict, list[str]]:
    """Return the names of metrics by what their difference from the floor tells."""
    found: dict[Verdict, list[str]] = {}
    for name, measured in measures.items():
        if measured.verdict is not None:
            found.setdefault(measured.verdict, []).append(name)
    return found


@dataclass(frozen=True)
class Contest:
    """One metric of two heads on the same photographs: first minus second, and who is ahead.

    `winner` is the name of a head, None where one cannot tell.
    """

    metric: str
    difference: float
    lo: float
    hi: float
    winner: str | None


def contest(
    first: tuple[str, Sample], second: tuple[str, Sample], metrics: tuple[str, ...]
) -> list[Contest]:
    """Compare two named heads by paired differences; metrics that one of them lacks are left out.

    One of them wins where the 95 % interval excludes 0.
    """
    gaps = first[1].bootstrap.minus(second[1].bootstrap)
    results = []
    for metric in metrics:
        gap = gaps[metric]
        if gap is None or math.isnan(gap[1]):
            continue
        results.append(Contest(metric, *gap, winner=_winner(metric, gap, first[0], second[0])))
    return results


def _winner(metric: str, gap: Difference, first: str, second: str) -> str | None:
    if gap[1] <= 0 <= gap[2]:
        return None
    return first if (gap[0] > 0) == bool(METRICS[metric].higher_is_better) else second


def _pair(lo: float | None, hi: float | None) -> list[float | None] | None:
    return None if lo is None or hi is None else [_finite(lo), _finite(hi)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
