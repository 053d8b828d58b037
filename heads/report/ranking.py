"""The report's ranking: each head's SRCC beside the floor, and the table of every metric."""

from __future__ import annotations

from html import escape

from heads.metrics.bootstrap import Verdict
from heads.metrics.catalogue import METRICS
from heads.models.registry import FLOOR
from heads.report.data import RANKED_BY, ReportData, RunData
from heads.report.run import is_usual, settings_words
from heads.web.charts import Interval, interval_axis, interval_bar
from heads.web.html import (
    COVERED,
    DASH,
    KEY_MARKS,
    MARKS,
    Cell,
    Table,
    interval_text,
    mark,
    scroll,
    shown,
)
from heads.web.svg import Span

SRCC_ENDS = (-0.1, 1.0)
SRCC_TICKS = (0.0, 0.5, 1.0)


def ranking_section(data: ReportData) -> str:
    """Return the ranking with intervals, and the table of every metric."""
    key = (
        "<p class=key><span class=c-predicted><i class=dot></i>"
        f"SRCC with its {COVERED} interval</span>"
        "<span class=c-floor><i class=dots></i>floor</span>"
    )
    if data.ceiling is not None:
        key += "<span class=c-truth><i></i>ceiling: as far as people agree</span>"
    metrics = _metrics_table(data)
    meanings = "".join(
        f"<tr><th scope=row><code>{name}</code></th>"
        f"<td>{escape(m.meaning)}</td><td>{escape(m.floor)}</td></tr>"
        for name, m in METRICS.items()
    )
    return (
        "<section id=ranking><h2>By how much does it beat the floor?</h2>\n"
        "<p>The floor is the constant head: one answer for every photograph, learned without "
        "looking at any. A head that does not beat it has learned nothing of use.</p>\n"
        f"{key}</p>{_ranking_table(data)}\n"
        f"<h3>Every metric</h3>{KEY_MARKS}{scroll('Every metric of every head', metrics)}\n"
        "<details><summary>What the metrics mean</summary><div class=scroll>"
        "<table class=facts-table><caption>The metrics by name</caption>"
        "<thead><tr><th scope=col>metric</th><th scope=col class=left>meaning</th>"
        "<th scope=col class=left>what the floor gets</th></tr></thead>"
        f"<tbody>{meanings}</tbody></table></div></details></section>"
    )


def _ranking_table(data: ReportData) -> str:
    ends = [e for run in data.runs for e in run.stored.interval(RANKED_BY) if e is not None]
    span = Span(min([SRCC_ENDS[0], *ends]), SRCC_ENDS[1])
    ceiling = None if data.ceiling is None else data.ceiling.srcc_ceiling
    rows = [
        (_name_cell(run), *_value_cells(run, span, ceiling), _verdict_cell(run))
        for run in data.runs
    ]
    table = Table(
        caption=f"Rank correlation with people's means, {len(data.labels):,} photographs",
        headings=(
            "head",
            interval_axis(span, SRCC_TICKS),
            "SRCC",
            "against the floor",
        ),
        rows=rows,
        css="sortable ranking",
    )
    return table.html()


def _value_cells(run: RunData, span: Span, ceiling: float | None) -> tuple[Cell, Cell]:
    """Return the interval as a bar and in numbers; dashes where the run was not so measured."""
    value, (lo, hi) = run.value(RANKED_BY), run.stored.interval(RANKED_BY)
    if value is None:
        return Cell(DASH, "", "bar"), Cell(DASH)
    bar = interval_bar(Interval(value, lo, hi), span, 0.0, ceiling)
    small = f"<small>{interval_text(RANKED_BY, lo, hi)}</small>"
    return Cell(bar, value, "bar"), Cell(shown(RANKED_BY, value) + small, value)


def _verdict_cell(run: RunData) -> Cell:
    if run.config.head == FLOOR:
        return Cell("– <span>is the floor</span>", "", "verdict cannot-tell")
    kind = run.stored.verdict(RANKED_BY) or Verdict.CANNOT_TELL
    return Cell(f"{MARKS[kind]} <span>{kind.words}</span>", kind.words, f"verdict {kind}")


def _name_cell(run: RunData) -> Cell:
    """Return the run's name; below it its settings, where they are not the head's defaults."""
    small = "" if is_usual(run) else f"<small>{settings_words(run)}</small>"
    return Cell(escape(run.name) + small, run.name)


def _metrics_table(data: ReportData) -> str:
    names = [
        m
        for m in METRICS
        if m != "confusion" and any(run.value(m) is not None for run in data.runs)
    ]
    best = {name: _best_value(data, name) for name in names}
    rows = [
        [Cell(escape(run.name), run.name), *(_metric_cell(run, m, best[m]) for m in names)]
        for run in data.runs
    ]
    arrows = {True: " ↑", False: " ↓", None: ""}
    headings = ["head", *(f"{m}{arrows[METRICS[m].higher_is_better]}" for m in names)]
    caption = (
        f"Every metric with its {COVERED} interval; ↑ higher is better, ↓ lower is better, "
        "bold is the best, – does not apply or was not measured"
    )
    return Table(caption, headings, rows, css="sortable metrics").html()


def _best_value(data: ReportData, metric: str) -> float | None:
    better = METRICS[metric].higher_is_better
    values = [value for run in data.runs if (value := run.value(metric)) is not None]
    return None if better is None else (max if better else min)(values)


def _metric_cell(run: RunData, metric: str, best: float | None) -> Cell:
    value = run.value(metric)
    if value is None:
        return Cell(DASH)
    sign = "" if run.config.head == FLOOR else mark(run.stored.verdict(metric))
    small = interval_text(metric, *run.stored.interval(metric))
    inside = f"{shown(metric, value)}{sign}<small>{small}</small>"
    return Cell(inside, value, "best" if value == best else "")
