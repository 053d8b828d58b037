"""A comparison as it shows itself in a notebook: the report's tables, without its scripts."""

from __future__ import annotations

from heads.experiments.compare import Comparison
from heads.metrics.catalogue import ranked_by
from heads.metrics.comparison import StoredMetrics, measures_to_dict
from heads.metrics.reliability import ceiling
from heads.models.registry import FLOOR
from heads.report.leaderboard import best_first, failure, title_lines
from heads.report.ranking import ranked
from heads.report.words import template


def board_html(comparison: Comparison) -> str:
    """Return a fragment of HTML: every head beside the floor, best first, with intervals."""
    entries = best_first(comparison.entries)
    stored = {e.head: StoredMetrics(measures_to_dict(e.sample, e.measures)) for e in entries}
    labels = entries[0].sample.labels
    known = ceiling(labels, seed=0)
    return template("board.html").render(
        about=title_lines(comparison.title)[:-1],
        failed={name: failure(error) for name, error in comparison.failed.items()},
        ranking=ranked(stored, [FLOOR], known, ranked_by(labels)),
        ceiling=known,
        n=len(labels),
    )
