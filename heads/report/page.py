"""The report's page: its sections in order, and the two that say which head to use and whether to
trust that. The others are in ranking, mistakes, plots and run; every sentence is in templates/.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from heads.metrics.bootstrap import Verdict
from heads.report.data import ReportData
from heads.report.mistakes import Faults, Mistakes, faults, mistakes
from heads.report.photos import Album, Thumbnailer
from heads.report.plots import side_by_side, training
from heads.report.ranking import ranking
from heads.report.run import repetition
from heads.report.words import template, title

# An interval of the SRCC that is wider hides differences worth having.
WIDE = 0.1
FACTS = {
    "srcc": "Rank correlation, SRCC",
    "mse": "Squared error, MSE",
    "emd_r2": "Distributions, EMD",
    "acc": "Right labels",
    "auc": "Area under the ROC",
}


@dataclass(frozen=True)
class Answer:
    """Whether the best head is worth using, who is as good, and names of the metrics to show."""

    wins: bool
    peers: list[str]
    facts: dict[str, str]


def answer(data: ReportData) -> Answer:
    """Return which head to use."""
    best = data.best
    return Answer(
        wins=best.stored.verdict(data.ranked_by) is Verdict.BEATS,
        peers=[name for name, c in data.contests.items() if c.winner is None],
        facts={metric: name for metric, name in FACTS.items() if best.value(metric) is not None},
    )


@dataclass(frozen=True)
class Trust:
    """What the bootstrap draws and how far people agree.

    `groups` is how many are drawn whole, 0 where photographs are drawn; `width` that of the best
    head's interval, where it is wide; `reached` the best head's share of the noise ceiling.
    """

    groups: int
    width: float | None
    reached: float | None


def trust(data: ReportData) -> Trust:
    """Return how far the answer can be trusted."""
    group, (lo, hi) = data.labels.group, data.best.stored.interval(data.ranked_by)
    width = None if lo is None or hi is None or hi - lo <= WIDE else hi - lo
    srcc, reached = data.best.value(data.ranked_by), None
    if data.ceiling is not None and srcc is not None:
        reached = srcc / max(data.ceiling.srcc_ceiling, 1e-9)
    return Trust(len(np.unique(group)) if (group != "").any() else 0, width, reached)


def page(data: ReportData, make: Thumbnailer) -> str:
    """Return one HTML document that needs nothing else; `make` makes its thumbnails.

    Of comparisons alone there is no truth that a score could miss, so nothing of mistakes.
    """
    judged = not data.labels.pairs_alone
    found, others = mistakes(data) if judged else None, [faults(r) for r in data.runs[1:] if judged]
    return template("report.html").render(
        data=data,
        title=title(data),
        answer=answer(data),
        ranking=ranking(data),
        trust=trust(data),
        mistakes=found,
        side=side_by_side(data) if judged else None,
        training=training(data),
        others=others,
        repetition=repetition(data),
        album=Album.of(_photographs(found, others) if found else [], data.photographs, make),
    )


def _photographs(found: Mistakes, others: list[Faults]) -> list[str]:
    """Return the ids of the photographs that are shown, once each."""
    lists = [cards for head in (found.best, *others) for cards in head.photographs.values()]
    shown = [card.image_id for card in chain(*lists, found.highest, found.lowest)]
    return list(dict.fromkeys([*shown, *(example.image_id for example in found.examples)]))
