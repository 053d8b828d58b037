"""The report's sections on what heads get wrong: labels, photographs, whole distributions."""

from __future__ import annotations

from html import escape

import numpy as np

from cache.types import FloatArray, IntArray
from heads.data.distributions import distribution_mean, distribution_std
from heads.report.data import ReportData, RunData, title
from heads.report.photos import Album, choose, examples, rated
from heads.report.plots import KEY_SCORES, plots_of
from heads.web import charts as plots
from heads.web.html import Cell, Table, decimal, percent, scroll, shown


def mistakes_section(data: ReportData, album: Album) -> str:
    """Return what the best head gets wrong: labels, spread, photographs, distributions."""
    best = data.best
    return (
        f"<section id=mistakes><h2>What does {escape(best.name)} get wrong?</h2>\n"
        f"<p class=muted>{escape(title(data))}.</p>\n"
        f"{_labels_words(best)}{scroll('Confusion matrix', confusion(best))}{_spread_words(best)}"
        f"{plots_of(best)}{chosen_photographs(best, album)}"
        f"{_rated_photographs(data, album)}{_examples(data, album)}</section>"
    )


def _labels_words(run: RunData) -> str:
    (tn, fp), (fn, tp) = run.metrics["confusion"]
    n = tn + fp + fn + tp
    return (
        f"<h3>Beautiful or not</h3><p>{tn + tp:,} of {n:,} photographs get the right label "
        f"({percent((tn + tp) / n, 1)}); the majority's label alone is right for "
        f"{percent(run.metrics['floor']['acc'], 1)} of them. {fp:,} are called beautiful that "
        f"people do not find so, {fn:,} the other way round.</p>"
    )


def confusion(run: RunData) -> str:
    """Return the confusion matrix, each cell shaded by its share of the true label."""
    rows = []
    for name, counts in zip(("not beautiful", "beautiful"), run.metrics["confusion"], strict=True):
        total = max(sum(counts), 1)
        cells = "".join(
            f'<td style="--share:{0.55 * count / total:.2f}">{count:,}'
            f"<small>{percent(count / total)} of the row</small></td>"
            for count in counts
        )
        rows.append(f"<tr><th scope=row>people: {name}</th>{cells}</tr>")
    return (
        f"<table class=confusion><caption>Confusion matrix of {escape(run.name)}, photographs"
        "</caption><thead><tr><td></td><th scope=col>head: not beautiful</th>"
        f"<th scope=col>head: beautiful</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _spread_words(run: RunData) -> str:
    spread = run.value("spread")
    if spread is None or run.prediction.ranking_only:
        return ""
    said = f"Its scores spread {percent(spread)} as widely as people's means. "
    if spread < 0.1:
        said += "That is a collapsed head: nearly the same answer for every photograph."
    elif spread < 0.9:
        said += (
            "They keep nearer to the middle: the best photographs are scored too low and the worst "
            "too high, as any careful guess does."
        )
    elif spread > 1.1:
        said += "They go further out than people do."
    return f"<p>{said}</p>"


# --- photographs ----------------------------------------------------------------------------------


def chosen_photographs(run: RunData, album: Album) -> str:
    """Return the ten best, the ten worst and the most mistaken photographs of a head."""
    if run.collapsed:
        return "<p>It gives every photograph the same score, so none is its best or worst.</p>"
    choice = choose(run.prediction, run.labels)
    by = "place among all" if run.prediction.ranking_only else "score"
    parts = (
        ("Ten best: highest predicted", choice.best),
        ("Ten worst: lowest predicted", choice.worst),
        (f"Most mistaken: {by} far above people's", choice.overrated),
        (f"Most mistaken: {by} far below people's", choice.underrated),
    )
    return "".join(f"<h4>{name}</h4>{_photographs(run, rows, album)}" for name, rows in parts)


def _photographs(run: RunData, rows: IntArray, album: Album) -> str:
    cards = (
        album.card(str(run.labels.image_id[row]), (_says(run, row), _people_say(run, row)))
        for row in rows
    )
    return f"<div class=photos>{''.join(cards)}</div>"


def _says(run: RunData, row: int) -> str:
    if run.prediction.ranking_only:
        return f"predicted <b>{percent(run.prediction.p_beautiful[row])}</b> beautiful"
    return f"predicted <b>{run.prediction.score[row]:.2f}</b>"


def _people_say(run: RunData, row: int) -> str:
    return f"true <b>{run.labels.mean[row]:.2f}</b>"


def _rated_photographs(data: ReportData, album: Album) -> str:
    highest, lowest = rated(data.labels)
    return (
        f"<h3>What people like</h3><h4>Rated highest by people</h4>"
        f"{_photographs(data.best, highest, album)}"
        f"<h4>Rated lowest by people</h4>{_photographs(data.best, lowest, album)}"
    )


def distribution_run(data: ReportData) -> RunData | None:
    """Return the best run that predicts distributions, if there is one."""
    votes = data.labels.votes is not None
    found = [r for r in data.runs if votes and r.prediction.distribution is not None]
    return found[0] if found else None


def _examples(data: ReportData, album: Album) -> str:
    run = distribution_run(data)
    if run is None:
        return (
            "<h3>Distributions</h3><p>None of these heads predicts a distribution of ratings.</p>"
        )
    rows = examples(run.prediction, run.labels)
    names = ("Predicted best", "The middle one", "Predicted worst")
    parts = (_example(run, int(row), name, album) for row, name in zip(rows, names, strict=False))
    return (
        f"<h3>Whole distributions, predicted by {escape(run.name)}</h3>"
        "<p>Three photographs: those whose distribution is predicted best, middling and worst.</p>"
        f"{KEY_SCORES.replace('<i></i>', '<i class=fill></i>')}{''.join(parts)}"
    )


def _example(run: RunData, row: int, name: str, album: Album) -> str:
    image_id, labels = str(run.labels.image_id[row]), run.labels
    predicted, true = _distributions(run, row)
    picture = album.card(image_id, (escape(f"{name}: {image_id}"),))
    bars = plots.distribution_bars(true, predicted, image_id)
    table = _distribution_table(true, predicted, int(labels.n_votes[row]), image_id)
    return f"<div class=example>{picture}<div>{bars}</div>{scroll(image_id, table)}</div>"


def _distributions(run: RunData, row: int) -> tuple[FloatArray, FloatArray]:
    predicted = run.prediction.distribution
    if predicted is None:
        return np.zeros(0), np.zeros(0)
    return predicted[row], run.labels.distribution[row]


def _distribution_table(true: FloatArray, predicted: FloatArray, n_votes: int, name: str) -> str:
    def row(label: str, shares: FloatArray) -> list[Cell]:
        mean, std = (float(f(shares[None])[0]) for f in (distribution_mean, distribution_std))
        cells = [Cell(decimal(100 * share, 0)) for share in shares]
        return [Cell(label), *cells, Cell(decimal(mean, 2)), Cell(decimal(std, 2))]

    levels = [str(k) for k in range(1, len(true) + 1)]
    return Table(
        caption=f"{escape(name)}, {n_votes:,} ratings: % of votes, mean and standard deviation",
        headings=("", *levels, "mean", "dev."),
        rows=(row("true", true), row("predicted", predicted)),
        css="distribution",
    ).html()


def others_section(data: ReportData, album: Album) -> str:
    """Return confusion matrix and photographs of all heads but the best, folded."""
    parts = []
    for run in data.runs[1:]:
        about = f"{escape(run.name)} <span>SRCC {shown('srcc', run.value('srcc'))}</span>"
        parts.append(
            f"<details><summary>{about}</summary>{scroll('Confusion matrix', confusion(run))}"
            f"{chosen_photographs(run, album)}</details>"
        )
    body = "".join(parts) or "<p>There is no other head.</p>"
    return f"<section id=others><h2>Where do the other heads go wrong?</h2>{body}</section>"


def shown_photographs(data: ReportData) -> list[str]:
    """Return the ids of all photographs that the page shows."""
    rows = [np.concatenate(rated(data.labels))]
    rows += [choose(run.prediction, run.labels).rows() for run in data.runs if not run.collapsed]
    run = distribution_run(data)
    if run is not None:
        rows.append(examples(run.prediction, run.labels))
    return [str(name) for name in data.labels.image_id[np.unique(np.concatenate(rows))]]
