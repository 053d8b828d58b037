"""The report's ranking: each head's SRCC beside the floor, and the table of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from heads.metrics.catalogue import METRICS
from heads.metrics.comparison import StoredMetrics
from heads.metrics.reliability import Reliability
from heads.models.registry import FLOOR, about_head
from heads.report.data import ReportData
from heads.report.run import differences, is_usual, settings_words
from heads.web.charts import interval_axis, interval_bar
from heads.web.html import DASH
from heads.web.svg import Span

# What a head gets that puts photographs in no order.
NO_ORDER = {"srcc": 0.0, "auc": 0.5, "pair_acc": 0.5}
SRCC_ENDS = (-0.1, 1.0)
SRCC_TICKS = (0.0, 0.5, 1.0)
ARROWS = {True: " ↑", False: " ↓", None: ""}


@dataclass(frozen=True, eq=False)
class Row:
    """A head in the ranking, by its run's name: its metrics, and its interval as it is drawn.

    `settings` are in words where they are not the defaults; `differs` names what it was made of
    that the best one was not.
    """

    name: str
    is_floor: bool
    stored: StoredMetrics
    bar: Markup
    settings: str = ""
    differs: Sequence[str] = ()
    looks_at_metadata: bool = False


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows below their axis; the metrics that any head has, and the best value of each.

    `by` names the metric that is drawn.
    """

    by: str
    axis: Markup
    rows: list[Row]
    best: dict[str, float | None]

    @property
    def of_metadata(self) -> list[Row]:
        """The heads that know of photographs only what lists of them say."""
        return [row for row in self.rows if row.looks_at_metadata]

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
    stored = {run.name: run.stored for run in data.runs}
    floors = [run.name for run in data.runs if run.config.head == FLOOR]
    found = ranked(stored, floors, data.ceiling, data.ranked_by)
    rows = [
        replace(
            row,
            settings="" if is_usual(run) else settings_words(run),
            differs=differences(run, data.best),
            looks_at_metadata=about_head(run.config.head).looks_at_metadata,
        )
        for row, run in zip(found.rows, data.runs, strict=True)
    ]
    return replace(found, rows=rows)


def ranked(
    stored: Mapping[str, StoredMetrics],
    floors: Sequence[str],
    ceiling: Reliability | None,
    by: str,
) -> Ranking:
    """Return heads as they stand below each other, by name; `floors` are the constant ones."""
    heads = stored.values()
    ends = [e for head in heads for e in head.interval(by) if e is not None]
    span = Span(min([SRCC_ENDS[0], *ends]), SRCC_ENDS[1])
    rows = [
        Row(name, name in floors, head, _bar(head, by, span, ceiling))
        for name, head in stored.items()
    ]
    return Ranking(by, interval_axis(span, SRCC_TICKS), rows, _best_values(list(heads)))


def _bar(head: StoredMetrics, by: str, span: Span, ceiling: Reliability | None) -> Markup:
    """Draw the interval; a dash where the head was not so measured."""
    value = head.shown(by)
    if value is None:
        return Markup(DASH)
    most = None if ceiling is None else ceiling.srcc_ceiling
    return interval_bar(value, head.interval(by), span, NO_ORDER[by], most)


def _best_values(heads: Sequence[StoredMetrics]) -> dict[str, float | None]:
    """Return the best value of each metric that any head has; None where neither end is good."""
    best = {}
    for name, metric in METRICS.items():
        values = [value for head in heads if (value := head.shown(name)) is not None]
        if name != "confusion" and values:
            better = metric.higher_is_better
            best[name] = None if better is None else (max if better else min)(values)
    return best
