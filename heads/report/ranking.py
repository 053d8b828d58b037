"""The report's ranking: each head's SRCC beside the floor, and the table of every metric."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from heads.metrics.catalogue import METRICS
from heads.report.data import RANKED_BY, ReportData, RunData
from heads.report.run import DEFAULTS, DIRECT, settings_words
from heads.web.charts import Interval, interval_axis, interval_bar
from heads.web.svg import Span

SRCC_ENDS = (-0.1, 1.0)
SRCC_TICKS = (0.0, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Row:
    """A head in the ranking: its settings where they are not the defaults, and its interval."""

    run: RunData
    settings: str
    bar: Markup


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows below their axis; the metrics that any head has, and the best value of each."""

    axis: Markup
    rows: list[Row]
    best: dict[str, float | None]


def ranking(data: ReportData) -> Ranking:
    """Return the heads in order with what is drawn beside them."""
    ends = [end for run in data.runs for end in run.interval(RANKED_BY) if end is not None]
    span = Span(min([SRCC_ENDS[0], *ends]), SRCC_ENDS[1])
    ceiling = None if data.ceiling is None else data.ceiling.srcc_ceiling
    rows = []
    for run in data.runs:
        interval = Interval(run.value(RANKED_BY) or 0.0, *run.interval(RANKED_BY))
        words = settings_words(run)
        settings = "" if words.startswith((DEFAULTS, DIRECT)) else words
        rows.append(Row(run, settings, interval_bar(interval, span, 0.0, ceiling)))
    return Ranking(interval_axis(span, SRCC_TICKS), rows, _best_values(data))


def _best_values(data: ReportData) -> dict[str, float | None]:
    """Return the best value of each metric that any head has; None where neither end is good."""
    best = {}
    for name, metric in METRICS.items():
        values = [value for run in data.runs if (value := run.value(name)) is not None]
        if name != "confusion" and values:
            better = metric.higher_is_better
            best[name] = None if better is None else (max if better else min)(values)
    return best
