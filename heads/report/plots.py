"""The report's plots side by side: every head's predictions, and how training went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from cache.types import FloatArray
from heads.data.labels import BoolArray
from heads.data.predictions import predicted_label
from heads.report.data import ReportData, RunData, title
from heads.web import charts as plots
from heads.web.html import figure, grid, shown
from heads.web.svg import Span


@dataclass(frozen=True)
class _Quantity:
    """A column of history.csv, the floor's metric, the axis' name with its unit, and a heading."""

    column: str
    floor: str
    axis: str
    heading: str


CURVES = (
    _Quantity("mse", "mse", "MSE (points²)", "Mean squared error, in squared points of the scale"),
    _Quantity("emd_r2", "emd_r2", "EMD, r = 2 (share)", "EMD, r = 2, as a share of the votes"),
    _Quantity("loss", "cross_entropy", "cross-entropy (nats)", "Cross-entropy, in nats"),
)
KEY_SCORES = (
    "<p class=key><span class=c-predicted><i class=fill></i>predicted</span>"
    "<span class=c-truth><i></i>true</span></p>"
)
KEY_HISTOGRAMS = KEY_SCORES.replace(
    "</p>", "<span class=c-floor><i class=dots></i>threshold of beautiful</span></p>"
)
KEY_CURVES = (
    "<p class=key><span class=c-truth><i class=dash></i>train</span>"
    "<span class=c-predicted><i></i>val, and its best epoch</span>"
    "<span class=c-floor><i class=dots></i>floor: the constant head on val</span></p>"
)
KEY_SCATTER = "<p class=key><span class=c-floor><i class=dots></i>agreement</span></p>"
KEY_ROC = (
    "<p class=key><span class=c-predicted><i class=dot></i>the head's own labels</span>"
    "<span class=c-floor><i class=dots></i>floor: no order</span></p>"
)
KEY_LABELS = (
    "<p class=key><span class=c-predicted><i class=fill></i>people: beautiful</span>"
    "<span class=c-truth><i></i>people: not beautiful</span>"
    "<span class=c-floor><i class=dots></i>called beautiful from here on</span></p>"
)


def plots_of(run: RunData) -> str:
    """Return the histogram, the scatter and the ROC curve of one head; nothing if it collapsed."""
    if run.collapsed:
        return ""
    span = score_span([run])
    figures = histogram_figure(run, span), scatter_figure(run, span), roc_figure(run)
    return f"<h3>Scores</h3>{KEY_SCORES}{grid(figures)}"


def side_by_side(data: ReportData) -> str:
    """Return each kind of plot for every head, so that a collapsed one is seen at once."""
    span = score_span(data.runs)
    ranking = [run for run in data.runs if not run.collapsed]
    both = bool(data.labels.beautiful.any() and not data.labels.beautiful.all())
    parts = [
        "<section id=side><h2>How do the heads differ?</h2>",
        f"<p class=muted>{escape(title(data))}.</p>",
        f"<h3>What people said and what the heads predict</h3>{KEY_HISTOGRAMS}",
        grid([_means_figure(data, span), *(histogram_figure(run, span) for run in data.runs)]),
        f"<h3>Predicted against true scores</h3>{KEY_SCATTER}",
        grid(scatter_figure(run, span) for run in ranking),
    ]
    if both:
        parts += [
            f"<h3>Predicted against true labels</h3>{KEY_LABELS}",
            grid(_label_figures(ranking)),
        ]
        parts += [f"<h3>ROC curves</h3>{KEY_ROC}", grid(roc_figure(run) for run in ranking)]
    return "".join(parts) + "</section>"


def _means_figure(data: ReportData, span: Span) -> str:
    plot = plots.means_histogram(data.labels.mean, span, float(data.labels.threshold))
    return figure("people <span>mean ratings</span>", plot)


def _label_figures(runs: list[RunData]) -> Iterator[str]:
    for run in runs:
        plot = plots.label_histogram(*_labelled(run), run.name)
        words = f"{escape(run.name)} <span>accuracy {shown('acc', run.value('acc'))}</span>"
        yield figure(words, plot)


def histogram_figure(run: RunData, span: Span) -> str:
    """Return the histogram of a head's predictions over that of the true means."""
    about = f"spread {shown('spread', run.value('spread'))}"
    if run.prediction.ranking_only:
        about = "these scores only rank"
    words = f"{escape(run.name)} <span>{about}</span>"
    true, predicted = run.labels.mean, run.prediction.score
    own = _whole(run) if run.prediction.ranking_only else span
    return figure(words, plots.score_histogram(true, predicted, own, run.name))


def scatter_figure(run: RunData, span: Span) -> str:
    """Return a head's predictions over the true means."""
    words = f"{escape(run.name)} <span>PLCC {shown('plcc', run.value('plcc'))}</span>"
    spans = (span, _whole(run) if run.prediction.ranking_only else span)
    return figure(words, plots.scatter(run.labels.mean, run.prediction.score, spans, run.name))


def roc_figure(run: RunData) -> str:
    """Return a head's ROC curve."""
    auc = run.value("auc")
    if auc is None:
        return ""
    words = f"{escape(run.name)} <span>AUC {shown('auc', auc)}</span>"
    return figure(words, plots.roc(*_labelled(run), auc, run.name))


def _labelled(run: RunData) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return probabilities, true labels and the head's own."""
    called = predicted_label(run.prediction, run.labels)
    return run.prediction.p_beautiful, run.labels.beautiful, called


def _whole(run: RunData) -> Span:
    return Span(run.labels.scale.lo, run.labels.scale.hi)


def score_span(runs: list[RunData] | tuple[RunData, ...]) -> Span:
    """Return the range of true means and of all scores on the scale, within the scale."""
    scale = runs[0].labels.scale
    scores = [run.prediction.score for run in runs if not run.prediction.ranking_only]
    span = Span.of(runs[0].labels.mean, *scores)
    return Span(max(span.lo, scale.lo), min(span.hi, scale.hi))


# --- training -------------------------------------------------------------------------------------


def training_section(data: ReportData) -> str:
    """Return the curves of every head that was trained in epochs."""
    trained = [run for run in data.runs if run.history]
    parts = ["<section id=training><h2>How did training go?</h2>"]
    if not trained:
        return parts[0] + "<p>No head here is trained in epochs.</p></section>"
    parts.append(
        "<p>Measured on train and val after each epoch. The last epoch is kept; with --patience, "
        "the one with the lowest loss on val. Of a head that averages several networks this is "
        "the mean of their curves, and the average itself, which the tables measure, lies lower."
        f"</p>{KEY_CURVES}"
    )
    for quantity in CURVES:
        parts.append(_curves(data, quantity))
    direct = [run.name for run in data.runs if not run.history]
    if direct:
        names = escape(", ".join(direct))
        parts.append(f"<p class=muted>Solved directly, without epochs: {names}.</p>")
    return "".join(parts) + "</section>"


def _curves(data: ReportData, quantity: _Quantity) -> str:
    """Return one quantity's curves of all heads that have it, on one scale."""
    curves = {
        run.name: _curve(run, data.floors[run.name], quantity)
        for run in data.runs
        if run.history
        and f"val_{quantity.column}" in run.history[0]
        and (quantity.column != "loss" or run.prediction.ranking_only)
    }
    if not curves:
        return ""
    span = plots.curves_span(list(curves.values()))
    figures = (
        figure(
            f"{escape(name)} <span>best on val {curve.val.min():.4g}</span>",
            plots.training_curve(curve, span, name),
        )
        for name, curve in curves.items()
    )
    return f"<h3>{quantity.heading}</h3>{grid(figures)}"


def _curve(run: RunData, floors: dict[str, float], quantity: _Quantity) -> plots.Curve:
    epochs, train, val = (
        np.array([row[key] for row in run.history])
        for key in ("epoch", f"train_{quantity.column}", f"val_{quantity.column}")
    )
    return plots.Curve(quantity.axis, epochs, train, val, floors.get(quantity.floor))
