"""The report's own words: a metric's value, its interval, a verdict's sign, what a report is about.

Owns what templates may say of metrics; the templates themselves hold the sentences.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Template

from cache.types import Scale
from heads.metrics.bootstrap import COVERAGE, DRAWS, Verdict
from heads.metrics.catalogue import CHOOSING, METRICS
from heads.models.registry import FLOOR
from heads.report.data import ReportData
from heads.web.html import DASH, decimal, environment, percent

# The classes of style are the verdicts' values.
MARKS = {Verdict.BEATS: "▲", Verdict.CANNOT_TELL: "●", Verdict.DOES_NOT: "▼"}
COVERED = percent(COVERAGE)
# What heads are put in order by.
RANKED_BY = {
    "srcc": "Rank correlation with people's means",
    "auc": "Area under the ROC curve",
    "pair_acc": "Share of comparisons in people's order",
}
ABBREVIATED = {"srcc": "SRCC", "auc": "AUC", "pair_acc": "pair_acc"}


def template(name: str) -> Template:
    """Return one of the report's templates, with the words that it may use."""
    found = environment(Path(__file__).parent)
    found.globals |= {
        "CANNOT_TELL": Verdict.CANNOT_TELL,
        "CHOOSING": CHOOSING,
        "COVERAGE": COVERAGE,
        "COVERED": COVERED,
        "DRAWS": DRAWS,
        "FLOOR": FLOOR,
        "MARKS": MARKS,
        "METRICS": METRICS,
        "RANKED_BY": RANKED_BY,
        "ABBREVIATED": ABBREVIATED,
        "interval_text": interval_text,
        "scale_text": scale_text,
        "shown": shown,
    }
    return found.get_template(name)


def shown(metric: str, value: float | None) -> str:
    """Return a metric's value with its decimals, a dash where there is none."""
    return DASH if value is None else decimal(value, METRICS[metric].decimals)


def interval_text(metric: str, lo: float | None, hi: float | None) -> str:
    """Return 'lo to hi', or nothing where there is no interval."""
    return "" if lo is None or hi is None else f"{shown(metric, lo)} to {shown(metric, hi)}"


def scale_text(scale: Scale) -> str:
    """Return '1 to 10'."""
    return f"{scale.lo:g} to {scale.hi:g}"


def title(data: ReportData) -> str:
    """Return what the report is about: data, photographs, scale, threshold and label note."""
    labels, heads = data.labels, len(data.runs)
    split = data.best.metrics["split"]
    parts = [
        f"{data.name}: {heads} head{'s' * (heads != 1)} on {len(labels):,} {split} photographs",
        f"scale {scale_text(labels.scale)}",
        "comparisons alone" if labels.pairs_alone else f"beautiful above {labels.threshold}",
    ]
    return ", ".join(parts) + (f" ({data.note})" if data.note else "")
