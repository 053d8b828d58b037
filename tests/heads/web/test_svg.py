"""Axes with round numbers, and marks that cannot be broken out of."""

from __future__ import annotations

import numpy as np
import pytest

from heads.web.svg import Frame, Span, element, number, tick_text


@pytest.mark.parametrize(("lo", "hi"), [(0, 1), (-3.2, 17), (0.081, 0.0934), (0, 25_000)])
def test_ticks_are_round_inside_and_neither_few_nor_many(lo: float, hi: float) -> None:
    ticks = Span(lo, hi).ticks(5)
    assert 3 <= len(ticks) <= 8
    assert all(lo <= tick <= hi for tick in ticks)
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)


def test_the_range_of_nothing_and_of_one_value_can_still_be_drawn() -> None:
    assert Span.of(np.array([np.nan])) == Span(0, 1)
    assert Span.of(np.array([3.0])).lo < 3 < Span.of(np.array([3.0])).hi


def test_larger_values_stand_higher_and_further_right() -> None:
    frame = Frame(Span(0, 1), Span(0, 1))
    assert frame.x(1.0) - frame.x(0.0) == frame.width - frame.left - frame.right
    assert frame.y(1.0) < frame.y(0.0)


@pytest.mark.parametrize("top", [1, 0.0006, 40_000])
def test_the_ticks_have_room_beside_the_name_of_their_axis(top: float) -> None:
    frame = Frame(Span(0, 1), Span(0.99 * top, top))
    longest = max(len(tick_text(tick)) for tick in frame.y_span.ticks(5))
    assert frame.left >= 24 + 7 * longest


def test_numbers_are_short() -> None:
    assert (number(3.0), number(3.14159), tick_text(-0.5)) == ("3", "3.1", "−0.5")
    assert (tick_text(0.1 + 0.2 - 0.3), tick_text(25000)) == ("0", "25,000")


def test_whatever_is_not_markup_is_escaped_in_text_and_attributes() -> None:
    inner = element("b", "<&")
    drawn = element("text", inner, '"', css="tick", aria_label="\"'<", x=1.26)
    assert drawn == (
        '<text class="tick" aria-label="&#34;&#39;&lt;" x="1.3"><b>&lt;&amp;</b>&#34;</text>'
    )
    assert element("path", d="M0 0") == '<path d="M0 0"/>'
