"""What heads get wrong: labels, photographs and whole distributions."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from cache.types import FloatArray, IntArray
from heads.data.distributions import distribution_mean, distribution_std
from heads.metrics.catalogue import confusion_matrix
from heads.report.data import ReportData, RunData
from heads.report.photos import choose, examples, rated
from heads.report.plots import scores
from heads.web import charts
from heads.web.html import Figure, decimal, percent


@dataclass(frozen=True)
class Card:
    """A photograph with what a head predicts (a score, or how probably beautiful) and the truth."""

    image_id: str
    predicted: str
    true: str


@dataclass(frozen=True, eq=False)
class Faults:
    """What one head gets wrong.

    `confusion` holds for each true label (count, share of the row) of each predicted one;
    `photographs` are in lists by their heading, none of a head that collapsed.
    """

    run: RunData
    confusion: dict[str, list[tuple[int, float]]]
    photographs: dict[str, list[Card]]


@dataclass(frozen=True)
class Example:
    """A photograph's distribution: how well it is predicted, bars, and the table's rows by name."""

    name: str
    image_id: str
    n_votes: int
    bars: Markup
    rows: dict[str, list[str]]


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The best head's faults and plots, what people like, and examples by a head (None: nobody)."""

    best: Faults
    scores: list[Figure]
    highest: list[Card]
    lowest: list[Card]
    by: RunData | None
    examples: list[Example]


def mistakes(data: ReportData) -> Mistakes:
    """Return what the best head gets wrong, and three distributions by the best that has any."""
    by, (highest, lowest) = distribution_run(data), rated(data.labels)
    return Mistakes(
        best=faults(data.best),
        scores=scores(data.best),
        highest=_cards(data.best, highest),
        lowest=_cards(data.best, lowest),
        by=by,
        examples=_examples(by),
    )


def faults(run: RunData) -> Faults:
    """Return what one head gets wrong."""
    return Faults(run, _confusion(run), {} if run.collapsed else _photographs(run))


def _confusion(run: RunData) -> dict[str, list[tuple[int, float]]]:
    matrix = confusion_matrix(run.prediction, run.labels)
    rows = zip(("not beautiful", "beautiful"), matrix, strict=True)
    return {name: [(n, n / max(sum(counts), 1)) for n in counts] for name, counts in rows}


def _photographs(run: RunData) -> dict[str, list[Card]]:
    """Return the ten best, the ten worst and the most mistaken photographs of a head."""
    by = "place among all" if run.prediction.ranking_only else "score"
    headings = (
        "Ten best: highest predicted",
        "Ten worst: lowest predicted",
        f"Most mistaken: {by} far above people's",
        f"Most mistaken: {by} far below people's",
    )
    chosen = zip(headings, choose(run.prediction, run.labels), strict=True)
    return {heading: _cards(run, rows) for heading, rows in chosen}


def _cards(run: RunData, rows: IntArray) -> list[Card]:
    says, labels = run.prediction, run.labels
    return [
        Card(
            image_id=str(labels.image_id[row]),
            predicted=percent(says.p_beautiful[row])
            if says.ranking_only
            else decimal(says.score[row], 2),
            true=decimal(labels.mean[row], 2),
        )
        for row in rows
    ]


# --- distributions --------------------------------------------------------------------------------


def distribution_run(data: ReportData) -> RunData | None:
    """Return the best run that predicts distributions, if there is one."""
    votes = data.labels.votes is not None
    found = [r for r in data.runs if votes and r.prediction.distribution is not None]
    return found[0] if found else None


def _examples(run: RunData | None) -> list[Example]:
    if run is None or run.prediction.distribution is None:
        return []
    rows = examples(run.prediction, run.labels).tolist()
    names = ("Predicted best", "The middle one", "Predicted worst")
    return [
        _example(run, row, name, run.prediction.distribution[row])
        for row, name in zip(rows, names, strict=False)
    ]


def _example(run: RunData, row: int, name: str, predicted: FloatArray) -> Example:
    image_id, true = str(run.labels.image_id[row]), run.labels.distribution[row]
    return Example(
        name=name,
        image_id=image_id,
        n_votes=int(run.labels.n_votes[row]),
        bars=charts.distribution_bars(true, predicted, image_id),
        rows={"true": _shares(true), "predicted": _shares(predicted)},
    )


def _shares(shares: FloatArray) -> list[str]:
    """Return the shares in per cent, mean and standard deviation."""
    ends = (float(f(shares[None])[0]) for f in (distribution_mean, distribution_std))
    return [*(decimal(100 * share, 0) for share in shares), *(decimal(end, 2) for end in ends)]
