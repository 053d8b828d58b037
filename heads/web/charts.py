"""The pages' plots: from arrays to inline SVG, each with a text that says what it shows.

Owns what is drawn and how; reads no file. Hand-made rather than drawn by a library: a plot takes
some kilobytes and a millisecond, is crisp at every size, follows light and dark, and needs no
second copy. The CSS classes `truth`, `predicted` and `floor` carry the colours, and marks differ in
shape or dash as well, so that nobody has to know them by their colours alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from cache.types import FloatArray
from heads.web.svg import Frame, Span, boxes, dots, element, line, path, text, tick_text

BINS = 30
SCATTER_POINTS = 1500
DENSITY_CELLS, DENSITY_SHADES = 44, 6
ROC_POINTS = 200
SQUARE = 268.0
POWERS = 5  # of ten on one axis; of more of them every other one

BoolArray = npt.NDArray[np.bool_]
# Of an interval; None where there is none.
Ends = tuple[float | None, float | None]


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity over the epochs: on train and val, (epochs,) each, and the floor on val."""

    name: str
    epochs: FloatArray
    train: FloatArray
    val: FloatArray
    floor: float | None


def curves_span(curves: Sequence[Curve]) -> Span:
    """Return one range for the curves of several heads, so that they can be compared.

    It ends at three times the floor: a bad start would press all else flat.
    """
    floors = [curve.floor for curve in curves if curve.floor is not None]
    span = Span.of(*(c.train for c in curves), *(c.val for c in curves), *floors)
    if floors and max(floors) > 0:
        return Span(span.lo, min(span.hi, 3 * max(floors)))
    return span


def training_curve(curve: Curve, span: Span, head: str) -> Markup:
    """Draw train (dashed) and val (solid) over the epochs, with the floor's line."""
    frame = Frame(_epoch_span(curve.epochs), span)
    marks = []
    if curve.floor is not None:
        y = frame.y(curve.floor)
        marks.append(line(frame.left, y, frame.width - frame.right, y, "floor"))
        below = y + 13 if y < frame.top + 14 else y - 5
        marks.append(text(frame.width - frame.right - 4, below, "floor", "floor-name end"))
    for values, css in ((curve.train, "line train"), (curve.val, "line predicted")):
        marks.append(_curve(frame, curve.epochs, values, css))
    best = int(np.argmin(curve.val))
    at = frame.x(curve.epochs[best : best + 1]), frame.y(curve.val[best : best + 1])
    marks.append(dots(*at, "dot predicted large"))
    alt = (
        f"{curve.name} of {head} over {len(curve.epochs)} epochs: val from {curve.val[0]:.4g} to "
        f"its best, {curve.val[best]:.4g}, in epoch {curve.epochs[best]:.0f}; train ends at "
        f"{curve.train[-1]:.4g}"
    )
    alt += "." if curve.floor is None else f"; the floor is {curve.floor:.4g}."
    return frame.svg(alt, frame.axes("epoch", curve.name), frame.window(*marks))


@dataclass(frozen=True, eq=False)
class Growth:
    """A metric over the number of training photographs, (sizes,) each, and the floor.

    `lo` and `hi` are the ends of its intervals, NaN where there is none.
    """

    name: str
    n_train: FloatArray
    value: FloatArray
    lo: FloatArray
    hi: FloatArray
    floor: float | None


def growth_curve(growth: Growth, head: str) -> Markup:
    """Draw a metric with its intervals over the logarithm of the number of photographs."""
    places = np.log10(growth.n_train)
    known = [] if growth.floor is None else [growth.floor]
    y_span = Span.of(growth.value, growth.lo, growth.hi, *known)
    frame = Frame(Span.of(places), y_span)
    marks = []
    if growth.floor is not None:
        y = frame.y(growth.floor)
        marks.append(line(frame.left, y, frame.width - frame.right, y, "floor"))
    marks.append(path(zip(frame.x(places), frame.y(growth.value), strict=True), "line predicted"))
    for x, lo, hi in zip(frame.x(places), frame.y(growth.lo), frame.y(growth.hi), strict=True):
        if np.isfinite(lo) and np.isfinite(hi):
            marks.append(line(x, lo, x, hi, "line predicted"))
    marks.append(dots(frame.x(places), frame.y(growth.value), "dot predicted large"))
    alt = (
        f"{growth.name} of {head} from {growth.value[0]:.4g} with {growth.n_train[0]:,.0f} "
        f"training photographs to {growth.value[-1]:.4g} with {growth.n_train[-1]:,.0f}"
    )
    alt += "." if growth.floor is None else f"; the floor is {growth.floor:.4g}."
    names = [(float(place), f"{n:,.0f}") for place, n in zip(places, growth.n_train, strict=True)]
    return frame.svg(
        alt, frame.axes("training photographs", growth.name, names), frame.window(*marks)
    )


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """A loss on photographs left out over the penalties that were tried, (tried,) each."""

    name: str
    penalties: FloatArray
    losses: FloatArray


def penalty_path(path_: PenaltyPath, head: str) -> Markup:
    """Draw the losses over the logarithm of the penalty, with a dot at the lowest."""
    places, best = np.log10(path_.penalties), int(np.argmin(path_.losses))
    frame = Frame(Span.of(places), Span.of(path_.losses))
    xs, ys = frame.x(places), frame.y(path_.losses)
    order = np.argsort(places)
    powers = np.arange(np.ceil(places.min()), np.floor(places.max()) + 1)
    powers = powers[:: 1 if len(powers) <= POWERS else 2]
    alt = (
        f"{path_.name} of {head} on photographs held out, for {len(places)} penalties: lowest, "
        f"{path_.losses[best]:.4g}, at the penalty {tick_text(path_.penalties[best])}."
    )
    ticks = [(float(power), f"{10.0**power:g}") for power in powers]
    return frame.svg(
        alt,
        frame.axes("penalty", path_.name, ticks),
        path(zip(xs[order], ys[order], strict=True), "line predicted"),
        dots(xs[best : best + 1], ys[best : best + 1], "dot predicted large"),
    )


def _epoch_span(epochs: FloatArray) -> Span:
    room = max(0.03 * float(epochs[-1] - epochs[0]), 0.25)
    return Span(float(epochs[0]) - room, float(epochs[-1]) + room)


def _curve(frame: Frame, epochs: FloatArray, values: FloatArray, css: str) -> Markup:
    if len(epochs) == 1:
        return dots(frame.x(epochs), frame.y(values), css.replace("line", "dot"))
    return path(zip(frame.x(epochs), frame.y(values), strict=True), css)


# --- what is predicted ----------------------------------------------------------------------------


def score_histogram(true: FloatArray, predicted: FloatArray, span: Span, head: str) -> Markup:
    """Draw how many photographs got which score: predictions filled, true means as an outline.

    A collapsed head is one tall bar. Values beyond `span` count in its end bins.
    """
    edges = np.linspace(span.lo, span.hi, BINS + 1)
    counts = [np.histogram(np.clip(v, span.lo, span.hi), edges)[0] for v in (true, predicted)]
    frame = _counting(span, max(int(c.max()) for c in counts))
    alt = (
        f"Histogram of {len(true):,} scores of {head}: predictions lie between "
        f"{predicted.min():.2f} and {predicted.max():.2f} with the median "
        f"{np.median(predicted):.2f}, true means between {true.min():.2f} and {true.max():.2f} "
        f"with the median {np.median(true):.2f}."
    )
    bars = _bars(frame, edges, counts[1], "fill predicted")
    outline = _outline(frame, edges, counts[0], "line truth")
    return frame.svg(alt, frame.axes("score", "photographs"), bars, outline)


def means_histogram(true: FloatArray, beautiful: BoolArray, span: Span, threshold: float) -> Markup:
    """Draw how many photographs have which true mean, with the threshold of beautiful."""
    edges = np.linspace(span.lo, span.hi, BINS + 1)
    counts = np.histogram(true, edges)[0]
    frame = _counting(span, int(counts.max()))
    x, share = float(frame.x(threshold)), float(np.mean(beautiful))
    alt = (
        f"Histogram of {len(true):,} mean ratings between {true.min():.2f} and {true.max():.2f}, "
        f"median {np.median(true):.2f}; {share:.0%} lie above the threshold {threshold:g}."
    )
    return frame.svg(
        alt,
        frame.axes("mean rating", "photographs"),
        _bars(frame, edges, counts, "fill truth"),
        line(x, frame.top, x, frame.height - frame.bottom, "floor"),
    )


def label_histogram(
    p_beautiful: FloatArray, beautiful: BoolArray, called: BoolArray, head: str
) -> Markup:
    """Draw the predicted probabilities apart for the two true labels.

    The line stands between those that the head has `called` beautiful and the others.
    """
    edges = np.linspace(0, 1, 21)
    yes, no = (np.histogram(p_beautiful[mask], edges)[0] for mask in (beautiful, ~beautiful))
    frame = _counting(Span(0, 1), max(int(yes.max()), int(no.max()), 1))
    decision = frame.x(boundary(p_beautiful, called))
    right = int(np.count_nonzero(called == beautiful))
    alt = (
        f"Predicted probability of being beautiful against the true label, {head}: "
        f"{right:,} of {len(beautiful):,} photographs lie on the right side of the line."
    )
    return frame.svg(
        alt,
        frame.axes("predicted probability of beautiful", "photographs"),
        _bars(frame, edges, yes, "fill predicted"),
        _outline(frame, edges, no, "line truth"),
        line(decision, frame.top, decision, frame.height - frame.bottom, "floor"),
    )


def boundary(p_beautiful: FloatArray, called: BoolArray) -> float:
    """Return the probability nearest to 1/2 that parts the photographs `called` beautiful.

    A head with scores on the scale calls by these, not by the probability, which rises with them:
    calibrated on other photographs, it may put its threshold elsewhere than at 1/2.
    """
    below = float(p_beautiful[~called].max(initial=0.0))
    above = float(p_beautiful[called].min(initial=1.0))
    return min(max(0.5, below), above)


def _counting(span: Span, most: int) -> Frame:
    """Return a frame for counts up to `most`."""
    return Frame(span, Span(0, 1.05 * most))


def _bars(frame: Frame, edges: FloatArray, counts: npt.NDArray[np.int64], css: str) -> Markup:
    base, xs, ys = float(frame.y(0)), frame.x(edges), frame.y(counts)
    filled = np.flatnonzero(counts)
    gap = 0.6
    return boxes(
        ((xs[i] + gap / 2, ys[i], xs[i + 1] - xs[i] - gap, base - ys[i]) for i in filled), css
    )


def _outline(frame: Frame, edges: FloatArray, counts: npt.NDArray[np.int64], css: str) -> Markup:
    xs, ys = frame.x(np.repeat(edges, 2)), frame.y(np.concatenate([[0], np.repeat(counts, 2), [0]]))
    return path(zip(xs, ys, strict=True), css)


def scatter(true: FloatArray, predicted: FloatArray, spans: tuple[Span, Span], head: str) -> Markup:
    """Draw predictions over true means; where both have one range, with the line of agreement.

    Above 1,500 photographs the drawing shows how many lie in each cell instead of each one.
    """
    frame = Frame(*spans, height=SQUARE)
    ends, agreement = np.array([spans[0].lo, spans[0].hi]), Markup("")
    if spans[0] == spans[1]:
        agreement = path(zip(frame.x(ends), frame.y(ends), strict=True), "floor")
    if len(true) <= SCATTER_POINTS:
        marks = dots(frame.x(true), frame.y(predicted), "dot predicted")
    else:
        marks = _density(frame, true, predicted)
    constant = np.ptp(predicted) == 0 or np.ptp(true) == 0
    correlation = 0.0 if constant else float(np.corrcoef(true, predicted)[0, 1])
    alt = (
        f"Predicted score over true mean of {len(true):,} photographs, {head}: they correlate by "
        f"{correlation:.3f}" + ("; the dotted line is agreement." if agreement else ".")
    )
    axes = frame.axes("true mean", "predicted score")
    return frame.svg(alt, axes, frame.window(marks, agreement))


def _density(frame: Frame, x: FloatArray, y: FloatArray) -> Markup:
    spans = frame.x_span, frame.y_span
    edges = [np.linspace(s.lo, s.hi, DENSITY_CELLS + 1) for s in spans]
    counts, _, _ = np.histogram2d(x, y, edges)
    shade = np.ceil(DENSITY_SHADES * np.log1p(counts) / np.log1p(counts.max())).astype(int)
    xs, ys = frame.x(edges[0]), frame.y(edges[1])
    width, height = xs[1] - xs[0], ys[0] - ys[1]
    parts = []
    for level in range(1, DENSITY_SHADES + 1):
        cells = zip(*np.nonzero(shade == level), strict=True)
        marks = boxes(((xs[i], ys[j + 1], width, height) for i, j in cells), "fill predicted")
        parts.append(element("g", marks, opacity=level / DENSITY_SHADES))
    return Markup("").join(parts)


def roc(
    p_beautiful: FloatArray, beautiful: BoolArray, called: BoolArray, auc: float, head: str
) -> Markup:
    """Draw the ROC curve with the point of the head's own labels and the floor's diagonal."""
    frame = Frame(Span(0, 1), Span(0, 1), height=SQUARE)
    fall, rise = roc_points(p_beautiful, beautiful)
    kept = np.unique(np.linspace(0, len(fall) - 1, ROC_POINTS).round().astype(int))
    at = np.array([np.mean(called[~beautiful])]), np.array([np.mean(called[beautiful])])
    alt = (
        f"ROC curve of {head}, area {auc:.3f}. With its own labels it finds {at[1][0]:.0%} of the "
        f"beautiful photographs and calls {at[0][0]:.0%} of the others beautiful."
    )
    return frame.svg(
        alt,
        frame.axes("false positive rate", "true positive rate"),
        path(zip(frame.x(np.array([0, 1])), frame.y(np.array([0, 1])), strict=True), "floor"),
        path(zip(frame.x(fall[kept]), frame.y(rise[kept]), strict=True), "line predicted"),
        dots(frame.x(at[0]), frame.y(at[1]), "dot predicted large"),
    )


def roc_points(p_beautiful: FloatArray, beautiful: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return (false, true) positive rates from (0, 0) to (1, 1), one point a distinct probability.

    Both classes must be there.
    """
    order = np.argsort(-p_beautiful, kind="stable")
    last = np.append(np.flatnonzero(np.diff(p_beautiful[order])), len(order) - 1)
    hits = np.cumsum(beautiful[order])[last]
    false = last + 1 - hits
    rates = [np.concatenate([[0.0], c / c[-1]]) for c in (false, hits)]
    return rates[0], rates[1]


def distribution_bars(true: FloatArray, predicted: FloatArray, name: str) -> Markup:
    """Draw one photograph's true and predicted shares of the ratings 1..K side by side."""
    levels = np.arange(1, len(true) + 1)
    top = 1.1 * 100 * max(float(true.max()), float(predicted.max()))
    frame = Frame(Span(0.5, len(true) + 0.5), Span(0, top), height=190)
    base, width = float(frame.y(0)), float(frame.x(0.38) - frame.x(0))
    parts = []
    for shares, offset, css in ((true, -0.4, "fill truth"), (predicted, 0.02, "fill predicted")):
        xs, ys = frame.x(levels + offset), frame.y(100 * shares)
        corners = zip(xs, ys, strict=True)
        parts.append(boxes(((x, y, width, base - y) for x, y in corners), css))
    shown = [" ".join(f"{100 * share:.0f}" for share in shares) for shares in (true, predicted)]
    alt = (
        f"Shares of the ratings 1 to {len(true)} of {name} in per cent: true {shown[0]}; "
        f"predicted {shown[1]}."
    )
    names = [(float(level), str(level)) for level in levels.tolist()]
    return frame.svg(alt, frame.axes("rating", "% of votes", names), *parts)


# --- one line of a table --------------------------------------------------------------------------


def interval_axis(span: Span, ticks: Sequence[float]) -> Markup:
    """Draw the tick labels above a column of interval bars."""
    marks = (
        element("text", tick_text(tick), x=_at(tick, span), y=12, text_anchor="middle")
        for tick in ticks
    )
    return element("svg", *marks, css="interval-axis", aria_hidden="true")


def _at(value: float, span: Span) -> str:
    share = (value - span.lo) / (span.hi - span.lo)
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def interval_bar(
    value: float, ends: Ends, span: Span, floor: float, ceiling: float | None
) -> Markup:
    """Draw an interval in a table's cell, as wide as the cell, with the floor and the ceiling."""

    def upright(value: float, css: str) -> Markup:
        x = _at(value, span)
        return element("line", css=css, x1=x, x2=x, y1=0, y2="100%")

    marks = [upright(floor, "floor")]
    if ceiling is not None:
        marks.append(upright(ceiling, "ceiling"))
    lo, hi = ends
    if lo is not None and hi is not None:
        x1, x2 = _at(lo, span), _at(hi, span)
        marks.append(element("line", css="whisker", x1=x1, x2=x2, y1="50%", y2="50%"))
    at = _at(value, span)
    marks.append(element("circle", css="dot predicted", cx=at, cy="50%", r=5))
    return element("svg", *marks, css="interval", aria_hidden="true")
