"""The report's plots side by side: every head's predictions, and how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cache.types import FloatArray
from heads.data.labels import BoolArray
from heads.data.predictions import predicted_label
from heads.models.linear import PenaltyChoice
from heads.models.registry import HEADS
from heads.report.data import ReportData, RunData
from heads.report.words import shown
from heads.web import charts
from heads.web.html import Figure
from heads.web.svg import Span, tick_text


def scores(run: RunData) -> list[Figure]:
    """Return the histogram, the scatter and the ROC curve of one head; nothing if it collapsed."""
    if run.collapsed:
        return []
    span = score_span([run])
    return [_histogram(run, span), _scatter(run, span), *_rocs([run])]


@dataclass(frozen=True)
class SideBySide:
    """Each kind of plot for every head; none of labels where all photographs have the same."""

    histograms: list[Figure]
    scatters: list[Figure]
    labels: list[Figure]
    rocs: list[Figure]


def side_by_side(data: ReportData) -> SideBySide:
    """Draw every head on the same axes, so that a collapsed one is seen at once."""
    span, labels = score_span(data.runs), data.labels
    ranking = [run for run in data.runs if not run.collapsed]
    both = bool(labels.beautiful.any() and not labels.beautiful.all())
    people = charts.means_histogram(labels.mean, labels.beautiful, span, float(labels.threshold))
    return SideBySide(
        histograms=[
            Figure("people", "mean ratings", people),
            *(_histogram(run, span) for run in data.runs),
        ],
        scatters=[_scatter(run, span) for run in ranking],
        labels=[_labels(run) for run in ranking if both],
        rocs=_rocs(ranking) if both else [],
    )


def _histogram(run: RunData, span: Span) -> Figure:
    """Return the predictions of a head over the true means."""
    only_ranks = run.prediction.ranking_only
    about = "these scores only rank" if only_ranks else f"spread {_shown(run, 'spread')}"
    own = _whole(run) if only_ranks else span
    plot = charts.score_histogram(run.labels.mean, run.prediction.score, own, run.name)
    return Figure(run.name, about, plot)


def _scatter(run: RunData, span: Span) -> Figure:
    spans = (span, _whole(run) if run.prediction.ranking_only else span)
    plot = charts.scatter(run.labels.mean, run.prediction.score, spans, run.name)
    return Figure(run.name, f"PLCC {_shown(run, 'plcc')}", plot)


def _labels(run: RunData) -> Figure:
    plot = charts.label_histogram(*_labelled(run), run.name)
    return Figure(run.name, f"accuracy {_shown(run, 'acc')}", plot)


def _rocs(runs: Sequence[RunData]) -> list[Figure]:
    """Return the ROC curve of each head that has one."""
    return [
        Figure(run.name, f"AUC {_shown(run, 'auc')}", charts.roc(*_labelled(run), auc, run.name))
        for run in runs
        if (auc := run.value("auc")) is not None
    ]


def _shown(run: RunData, metric: str) -> str:
    return shown(metric, run.value(metric))


def _labelled(run: RunData) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return probabilities, true labels and the head's own."""
    called = predicted_label(run.prediction, run.labels.threshold)
    return run.prediction.p_beautiful, run.labels.beautiful, called


def _whole(run: RunData) -> Span:
    return Span(run.labels.scale.lo, run.labels.scale.hi)


def score_span(runs: Sequence[RunData]) -> Span:
    """Return the range of true means and of all scores on the scale, within the scale."""
    scale = runs[0].labels.scale
    scores = [run.prediction.score for run in runs if not run.prediction.ranking_only]
    span = Span.of(runs[0].labels.mean, *scores)
    return Span(max(span.lo, scale.lo), min(span.hi, scale.hi))


# --- training -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantity:
    """A column of history.csv, the floor's metric, the axis' name with its unit, and a heading."""

    column: str
    floor: str
    axis: str
    heading: str


CURVES = (
    Quantity("mse", "mse", "MSE (points²)", "Mean squared error, in squared points of the scale"),
    Quantity("emd_r2", "emd_r2", "EMD, r = 2 (share)", "EMD, r = 2, as a share of the votes"),
    Quantity("loss", "cross_entropy", "cross-entropy (nats)", "Cross-entropy, in nats"),
)


@dataclass(frozen=True)
class TrainingPlots:
    """Curves by their heading, the names of heads that were solved without epochs.

    And the losses by which these chose their penalty.
    """

    curves: dict[str, list[Figure]]
    direct: list[str]
    penalties: list[Figure]


def training(data: ReportData) -> TrainingPlots:
    """Draw the curves of every head that was trained in epochs."""
    curves = {quantity.heading: _curves(data, quantity) for quantity in CURVES}
    return TrainingPlots(
        {heading: figures for heading, figures in curves.items() if figures},
        [run.name for run in data.runs if not run.history],
        [_penalties(run, run.choice) for run in data.runs if run.choice is not None],
    )


def _penalties(run: RunData, choice: PenaltyChoice) -> Figure:
    loss: str = HEADS[run.config.head].load().chosen_by
    tried = charts.PenaltyPath(loss, np.array(choice.penalties), np.array(choice.losses))
    about = f"{tick_text(choice.penalty)}, on {choice.on}"
    return Figure(run.name, about, charts.penalty_path(tried, run.name))


def _curves(data: ReportData, quantity: Quantity) -> list[Figure]:
    """Draw one quantity's curves of all heads that have it, on one scale."""
    curves = {
        run.name: _curve(run, data.floors[run.name], quantity)
        for run in data.runs
        if run.history
        and f"val_{quantity.column}" in run.history[0]
        and (quantity.column != "loss" or run.prediction.ranking_only)
    }
    if not curves:
        return []
    span = charts.curves_span(list(curves.values()))
    return [
        Figure(
            name,
            f"best on val {curve.val.min():.4g}",
            charts.training_curve(curve, span, name),
        )
        for name, curve in curves.items()
    ]


def _curve(run: RunData, floors: Mapping[str, float], quantity: Quantity) -> charts.Curve:
    epochs, train, val = (
        np.array([row[key] for row in run.history])
        for key in ("epoch", f"train_{quantity.column}", f"val_{quantity.column}")
    )
    return charts.Curve(quantity.axis, epochs, train, val, floors.get(quantity.floor))
