"""The report's ranking: each head's SRCC beside the floor, and the table of every metric."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from heads.metrics.catalogue import METRICS
from heads.metrics.reliability import Reliability
from heads.models.registry import HEADS
from heads.report.data import RANKED_BY, ReportData, RunData
from heads.report.run import differences, is_usual, settings_words
from heads.web.charts import interval_axis, interval_bar
from heads.web.html import DASH
from heads.web.svg import Span

SRCC_ENDS = (-0.1, 1.0)
SRCC_TICKS = (0.0, 0.5, 1.0)
ARROWS = {True: " ↑", False: " ↓", None: ""}


@dataclass(frozen=True, eq=False)
class Row:
    """A head in the ranking: its settings where they are not the defaults, and its interval.

    `differs` names what it was made of that the best one was not.
    """

    run: RunData
    settings: str
    differs: list[str]
    bar: Markup


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows below their axis; the metrics that any head has, and the best value of each."""

    axis: Markup
    rows: list[Row]
    best: dict[str, float | None]

    @property
    def of_metadata(self) -> list[RunData]:
        """The runs that know of photographs only what lists of them say."""
        runs = [row.run for row in self.rows]
        return [run for run in runs if HEADS[run.config.head].about.looks_at_metadata]

    @property
    def mixed(self) -> bool:
        """Whether the heads were not all made of the same."""
        return any(row.differs for row in self.rows)

    @property
    def headings(self) -> list[str]:
        """The columns of the table of every metric, each with its good side."""
        return ["head", *(name + ARROWS[METRICS[name].higher_is_better] for name in self.best)]


def ranking(data: ReportData) -> Ranking:
    """Return the heads in order with what is drawn beside them."""
    ends = [e for run in data.runs for e in run.stored.interval(RANKED_BY) if e is not None]
    span = Span(min([SRCC_ENDS[0], *ends]), SRCC_ENDS[1])
    rows = [
        Row(
            run=run,
            settings="" if is_usual(run) else settings_words(run),
            differs=differences(run, data.best),
            bar=_bar(run, span, data.ceiling),
        )
        for run in data.runs
    ]
    return Ranking(interval_axis(span, SRCC_TICKS), rows, _best_values(data))


def _bar(run: RunData, span: Span, ceiling: Reliability | None) -> Markup:
    """Draw the interval; a dash where the run was not so measured."""
    value = run.value(RANKED_BY)
    if value is None:
        return Markup(DASH)
    most = None if ceiling is None else ceiling.srcc_ceiling
    return interval_bar(value, run.stored.interval(RANKED_BY), span, 0.0, most)


def _best_values(data: ReportData) -> dict[str, float | None]:
    """Return the best value of each metric that any head has; None where neither end is good."""
    best = {}
    for name, metric in METRICS.items():
        values = [value for run in data.runs if (value := run.value(name)) is not None]
        if name != "confusion" and values:
            better = metric.higher_is_better
            best[name] = None if better is None else (max if better else min)(values)
    return best
