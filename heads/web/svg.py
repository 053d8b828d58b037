"""Hand-made SVG: a plot's frame, its axes and its marks, as markup for a page's own style sheet.

Numpy and markupsafe only. Colours come from CSS classes, so that a plot follows a page from light
to dark; equal data give equal markup. `element` is the one place where anything is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from cache.types import FloatArray

Number = npt.NDArray[np.number[Any]] | float

# A place on an axis, in the data's unit, and what stands there.
Tick = tuple[float, str]

TICKS_X, TICKS_Y = 5, 5
DIGIT = 7.0  # width of a digit at the plots' font size


@dataclass(frozen=True)
class Span:
    """The range lo < hi of an axis, in the data's unit."""

    lo: float
    hi: float

    @classmethod
    def of(cls, *values: Number) -> Span:
        """Return the range of all finite values, widened a little so that marks stay inside."""
        flat = np.concatenate([np.ravel(np.asarray(v, np.float64)) for v in values])
        flat = flat[np.isfinite(flat)]
        if not len(flat):
            return cls(0.0, 1.0)
        lo, hi = float(flat.min()), float(flat.max())
        room = 0.05 * (hi - lo) or max(abs(hi), 1.0) * 0.05
        return cls(lo - room, hi + room)

    def ticks(self, about: int) -> list[float]:
        """Return round numbers inside, `about` of them: steps of 1, 2 or 5 times a power of 10.

        The step is the first that gives at most `about` / 0.7 of them.
        """
        rough = (self.hi - self.lo) / about
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(float(power * m) for m in (1, 2, 5, 10) if power * m >= 0.7 * rough)
        first, last = np.ceil(self.lo / step - 1e-9), np.floor(self.hi / step + 1e-9)
        return [float(k * step) for k in np.arange(first, last + 1)]


@dataclass(frozen=True)
class Frame:
    """A drawing of 320 units' width and the mapping from data to it."""

    x_span: Span
    y_span: Span
    width: float = 320
    height: float = 210
    right: float = 12
    top: float = 12
    bottom: float = 40

    @cached_property
    def left(self) -> float:
        """The room for the vertical axis' name and the longest of its ticks."""
        digits = (len(tick_text(value)) for value in self.y_span.ticks(TICKS_Y))
        return max(44, 24 + DIGIT * max(digits, default=0))

    def x(self, values: Number) -> FloatArray:
        """Map data to the drawing, horizontally."""
        share = (np.asarray(values) - self.x_span.lo) / (self.x_span.hi - self.x_span.lo)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, values: Number) -> FloatArray:
        """Map data to the drawing, vertically; larger values stand higher."""
        share = (np.asarray(values) - self.y_span.lo) / (self.y_span.hi - self.y_span.lo)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def axes(self, x_label: str, y_label: str, x_ticks: Sequence[Tick] | None = None) -> Markup:
        """Draw grid lines, tick labels (round numbers, or `x_ticks`) and the axes' names."""
        right, base = self.width - self.right, self.height - self.bottom
        parts = []
        for value in self.y_span.ticks(TICKS_Y):
            y = self.y(value)
            parts.append(line(self.left, y, right, y, "grid"))
            parts.append(text(self.left - 6, y + 4, tick_text(value), "tick end"))
        parts.append(line(self.left, base, right, base, "axis"))
        if x_ticks is None:
            x_ticks = [(value, tick_text(value)) for value in self.x_span.ticks(TICKS_X)]
        for value, words in x_ticks:
            x = self.x(value)
            parts.append(line(x, base, x, base + 4, "axis"))
            parts.append(text(x, base + 16, words, "tick middle"))
        middle, up = (self.left + right) / 2, (self.top + base) / 2
        parts.append(text(middle, self.height - 6, x_label, "label middle"))
        turn = f"rotate(-90 11 {number(up)})"
        parts.append(element("text", y_label, css="label middle", x=11, y=up, transform=turn))
        return Markup("").join(parts)

    def window(self, *marks: Markup) -> Markup:
        """Cut marks off where they leave the frame."""
        w, h = self.width - self.left - self.right, self.height - self.top - self.bottom
        box = " ".join(map(number, (self.left, self.top, w, h)))
        return element("svg", *marks, x=self.left, y=self.top, width=w, height=h, viewBox=box)

    def svg(self, alt: str, *parts: Markup) -> Markup:
        """Return the finished drawing; `alt` says in words what it shows."""
        size = f"0 0 {number(self.width)} {number(self.height)}"
        return element("svg", *parts, css="plot", viewBox=size, role="img", aria_label=alt)


def element(name: str, *inside: str, css: str = "", **attributes: str | Number) -> Markup:
    """Return an SVG element with a class; whatever is not markup yet is escaped.

    Numbers among the attributes are coordinates; an underscore in a name stands for a hyphen.
    """
    given = ({"class": css} if css else {}) | attributes
    opening = name + "".join(
        f' {key.replace("_", "-")}="{escape(value if isinstance(value, str) else number(value))}"'
        for key, value in given.items()
    )
    if not inside:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{Markup('').join(inside)}</{name}>")


def number(value: Number) -> str:
    """Return a coordinate with one decimal at most: a tenth of a unit is less than a pixel."""
    return f"{float(value):.1f}".removesuffix(".0")


def tick_text(value: float) -> str:
    """Return a tick's label: no needless zeros, a real minus sign, thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def line(x1: Number, y1: Number, x2: Number, y2: Number, css: str) -> Markup:
    """Draw a straight line."""
    return element("line", css=css, x1=x1, y1=y1, x2=x2, y2=y2)


def text(x: Number, y: Number, words: str, css: str) -> Markup:
    """Write words at a place."""
    return element("text", words, css=css, x=x, y=y)


def path(points: Iterable[tuple[float, float]], css: str) -> Markup:
    """Draw a line through points of the drawing."""
    return element("path", css=css, d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points))


def dots(xs: FloatArray, ys: FloatArray, css: str) -> Markup:
    """Draw points as strokes of no length with round ends: one path for all of them."""
    marks = (f"M{number(x)} {number(y)}h0" for x, y in zip(xs, ys, strict=True))
    return element("path", css=css, d="".join(marks))


def boxes(corners: Iterable[tuple[float, float, float, float]], css: str) -> Markup:
    """Draw rectangles (x, y, width, height) as one path."""
    marks = (
        f"M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z" for x, y, w, h in corners
    )
    return element("path", css=css, d="".join(marks))
