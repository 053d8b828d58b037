"""The small words of a report's page: numbers, cells, tables and figures as HTML text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from heads.metrics.bootstrap import COVERAGE, Verdict
from heads.metrics.catalogue import METRICS

DASH = "–"
# The classes of style are the verdicts' values.
MARKS = {Verdict.BEATS: "▲", Verdict.CANNOT_TELL: "●", Verdict.DOES_NOT: "▼"}
# "95 %" in one piece on a line.
COVERED = f"{100 * COVERAGE:.0f}\u202f%"
KEY_MARKS = (
    "<p class=key>"
    + "".join(
        f"<span><span class={kind}>{sign}</span> {kind.words}</span>"
        for kind, sign in MARKS.items()
    )
    + "</p>"
)


def page_file(name: str) -> str:
    """Return report.css or report.js, which lie in heads/report."""
    return (Path(__file__).parents[1] / "report" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Cell:
    """A table's cell: HTML inside, and the value that it sorts by ('' sorts last)."""

    inside: str
    value: float | str = ""
    css: str = ""

    def html(self, tag: str = "td") -> str:
        """Return the cell."""
        scope = " scope=row" if tag == "th" else ""
        css = f' class="{self.css}"' if self.css else ""
        value = escape(str(self.value))
        return f'<{tag}{scope}{css} data-value="{value}">{self.inside}</{tag}>'


@dataclass(frozen=True)
class Table:
    """A table with a caption, a heading for each column, and a heading for each row."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    css: str = "sortable"
    row_css: Sequence[str] = ()

    def html(self) -> str:
        """Return the table; each row's first cell is its heading."""
        head = "".join(
            f"<th scope=col{' class=left' if cell.css == 'left' else ''}>{heading}</th>"
            for heading, cell in zip(self.headings, self.rows[0], strict=True)
        )
        lines = []
        for k, (first, *others) in enumerate(self.rows):
            css = f' class="{self.row_css[k]}"' if self.row_css and self.row_css[k] else ""
            cells = first.html("th") + "".join(cell.html() for cell in others)
            lines.append(f"<tr{css}>{cells}</tr>")
        body = "\n".join(lines)
        return (
            f'<table class="{self.css}"><caption>{self.caption}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
        )


def facts_table(caption: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values; values are HTML."""
    rows = [(Cell(escape(name)), Cell(value)) for name, value in facts]
    lines = "\n".join(f"<tr>{a.html('th')}{b.html()}</tr>" for a, b in rows)
    return (
        f"<table class=facts-table><caption>{caption}</caption>\n<tbody>\n{lines}\n</tbody></table>"
    )


def scroll(label: str, table: str) -> str:
    """Let a wide table scroll by itself, with the keyboard too."""
    return f'<div class=scroll tabindex=0 role=region aria-label="{escape(label)}">{table}</div>'


def figure(caption: str, plot: str) -> str:
    """Return a plot below its caption."""
    return f"<figure><figcaption>{caption}</figcaption>{plot}</figure>"


def grid(figures: Iterable[str]) -> str:
    """Return figures side by side, as many as the screen is wide for."""
    return f"<div class=grid>{''.join(figures)}</div>"


def shown(metric: str, value: float | None) -> str:
    """Return a metric's value with its decimals, a dash where there is none."""
    return DASH if value is None else decimal(value, METRICS[metric].decimals)


def decimal(value: float, decimals: int, *, sign: bool = False) -> str:
    """Return a number with a real minus sign; never minus zero."""
    if not math.isfinite(value):
        return DASH
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """Return a share as '75 %', kept on one line."""
    return f"{100 * share:.{decimals}f}\u202f%"


def interval_text(metric: str, lo: float | None, hi: float | None) -> str:
    """Return 'lo to hi', or nothing where there is no interval."""
    if lo is None or hi is None:
        return ""
    return f"{shown(metric, lo)} to {shown(metric, hi)}"


def mark(verdict: Verdict | None) -> str:
    """Return the sign of a verdict, readable aloud; nothing where there is no verdict."""
    if verdict is None:
        return ""
    return f' <span class="{verdict}" role=img aria-label="{verdict.words}">{MARKS[verdict]}</span>'


def listed(names: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
