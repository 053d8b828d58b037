"""Plots say what the data say, and say it small."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from heads.web import charts as plots
from heads.web.charts import Curve, Growth, PenaltyPath
from heads.web.svg import Span

RNG = np.random.default_rng(0)
TRUE = RNG.normal(5, 1, 300).clip(1, 10)
PREDICTED = (TRUE + RNG.normal(0, 0.5, 300)).clip(1, 10)
BEAUTIFUL = TRUE > 5
P = 1 / (1 + np.exp(5 - PREDICTED))
CALLED = PREDICTED > 6
SPAN = Span(1, 10)
EPOCHS = np.arange(1.0, 6.0)
CURVE = Curve("MSE", EPOCHS, 2 / EPOCHS, 1 / EPOCHS + 0.1 * EPOCHS, 0.8)
SIZES = np.array([100.0, 1000.0, 20000.0])
GROWTH = Growth("srcc", SIZES, SIZES / 3e4, SIZES / 4e4, np.full(3, np.nan), 0.0)
PENALTIES = np.logspace(3, -4, 22)
PENALTY = PenaltyPath("MSE", PENALTIES, 1 + np.log10(PENALTIES) ** 2)
SHARES = np.array([0.1, 0.2, 0.4, 0.3])

DRAWN: dict[str, Callable[[], str]] = {
    "curve": lambda: plots.training_curve(CURVE, plots.curves_span([CURVE]), "emd"),
    "growth": lambda: plots.growth_curve(GROWTH, "emd"),
    "penalty": lambda: plots.penalty_path(PENALTY, "ridge"),
    "scores": lambda: plots.score_histogram(TRUE, PREDICTED, SPAN, "emd"),
    "means": lambda: plots.means_histogram(TRUE, BEAUTIFUL, SPAN, 5.0),
    "labels": lambda: plots.label_histogram(P, BEAUTIFUL, CALLED, "emd"),
    "scatter": lambda: plots.scatter(TRUE, PREDICTED, (SPAN, SPAN), "emd"),
    "roc": lambda: plots.roc(P, BEAUTIFUL, CALLED, 0.9, "emd"),
    "bars": lambda: plots.distribution_bars(SHARES, SHARES[::-1], "photo <1>"),
}


def drawn_path(svg: str, css: str) -> str:
    """Return the path data of the marks of one class."""
    found = [e for e in ElementTree.fromstring(svg).iter() if e.get("class") == css]
    return "".join(e.get("d", "") for e in found)


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_is_well_formed_and_says_in_words_what_it_shows(name: str) -> None:
    root = ElementTree.fromstring(DRAWN[name]())
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "").split()) > 8


@pytest.mark.parametrize("name", DRAWN)
def test_equal_data_give_equal_text_without_colours_of_its_own(name: str) -> None:
    assert DRAWN[name]() == DRAWN[name]()
    assert "#" not in DRAWN[name]()
    assert "nan" not in DRAWN[name]().replace("predicted", "")


def test_the_share_above_the_threshold_is_that_of_the_labels() -> None:
    ties = np.full(4, 5.0)  # which of them lie above is decided by the votes
    svg = plots.means_histogram(ties, np.array([True, False, False, False]), SPAN, 5.0)
    assert "; 25% lie above the threshold 5." in svg


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"bars"}))
def test_axes_are_named(name: str) -> None:
    labels = re.findall(r'class="label middle"[^>]*>([^<]+)<', DRAWN[name]())
    assert len(labels) == 2


def test_the_points_of_the_roc_curve_are_those_of_scikit_learn() -> None:
    p = np.round(P, 1)  # with ties
    false, true = plots.roc_points(p, BEAUTIFUL)
    expected = roc_curve(BEAUTIFUL, p, drop_intermediate=False)
    np.testing.assert_allclose(false, expected[0])
    np.testing.assert_allclose(true, expected[1])


def test_a_collapsed_head_is_one_bar_as_tall_as_all_photographs() -> None:
    svg = plots.score_histogram(TRUE, np.full(300, 5.2), SPAN, "constant")
    assert drawn_path(svg, "fill predicted").count("z") == 1
    assert "300" in re.findall(r'class="tick end"[^>]*>([^<]+)<', svg)


def test_a_constant_truth_correlates_with_nothing() -> None:
    svg = plots.scatter(np.full(300, 5.0), PREDICTED, (SPAN, SPAN), "emd")
    assert "they correlate by 0.000" in svg


def test_scores_beyond_the_range_count_in_the_last_bins() -> None:
    svg = plots.score_histogram(np.array([2.0, 3.0]), np.array([-50.0, 50.0]), SPAN, "ridge")
    assert drawn_path(svg, "fill predicted").count("z") == 2


def test_many_photographs_are_drawn_as_cells_in_some_kilobytes() -> None:
    true = np.random.default_rng(1).normal(5, 1, 50_000)
    svg = plots.scatter(true, true[::-1], (SPAN, SPAN), "emd")
    assert len(svg) < 60_000
    assert "dot predicted" not in svg
    assert svg.count("<g opacity") == plots.DENSITY_SHADES


def test_few_photographs_are_drawn_as_one_point_each() -> None:
    svg = plots.scatter(TRUE, PREDICTED, (SPAN, SPAN), "emd")
    assert drawn_path(svg, "dot predicted").count("h0") == 300


def test_curves_hold_the_floors_line_where_it_is_known() -> None:
    span = plots.curves_span([CURVE])
    assert 'class="floor"' in plots.training_curve(CURVE, span, "emd")
    bare = Curve(CURVE.name, CURVE.epochs, CURVE.train, CURVE.val, None)
    assert 'class="floor"' not in plots.training_curve(bare, span, "emd")


def test_the_best_epoch_on_val_is_marked_and_named() -> None:
    svg = DRAWN["curve"]()
    assert "in epoch 3" in svg  # 1 / 3 + 0.3 is the least
    assert drawn_path(svg, "dot predicted large").count("h0") == 1


def test_a_bad_start_does_not_press_the_curves_flat() -> None:
    wild = Curve("MSE", EPOCHS, np.array([900.0, 2, 1, 1, 1]), np.ones(5), 1.0)
    assert plots.curves_span([wild]).hi == 3.0


def test_a_single_epoch_is_a_point() -> None:
    one = Curve("MSE", np.array([1.0]), np.array([2.0]), np.array([1.5]), 1.0)
    svg = plots.training_curve(one, plots.curves_span([one]), "emd")
    assert drawn_path(svg, "dot train").count("h0") == 1


def test_names_are_escaped() -> None:
    assert "photo &lt;1&gt;" in DRAWN["bars"]()


def test_every_rating_has_its_tick() -> None:
    ticks = re.findall(r'class="tick middle"[^>]*>([^<]+)<', DRAWN["bars"]())
    assert ticks == ["1", "2", "3", "4"]


def test_an_interval_is_placed_in_per_cent_of_its_cell_and_kept_inside() -> None:
    svg = plots.interval_bar(0.5, (0.25, 7.0), Span(0, 1), 0.0, 0.9)
    assert 'x1="25.00%" x2="100.00%"' in svg
    assert 'cx="50.00%"' in svg
    assert 'class="ceiling" x1="90.00%"' in svg


def test_a_value_without_an_interval_has_no_whisker() -> None:
    assert "whisker" not in plots.interval_bar(0.5, (None, None), Span(0, 1), 0.0, None)


def test_scores_that_only_rank_have_no_line_of_agreement() -> None:
    assert 'class="floor"' in plots.scatter(TRUE, PREDICTED, (SPAN, SPAN), "emd")
    assert 'class="floor"' not in plots.scatter(TRUE, PREDICTED, (SPAN, Span(0, 1)), "binary")


def test_the_line_parts_the_photographs_as_the_head_labels_them() -> None:
    at = plots.boundary(P, CALLED)
    assert at > 0.7
    np.testing.assert_array_equal(at < P, CALLED)
    assert plots.boundary(P, P > 0.5) == pytest.approx(0.5, abs=1e-9)
    none, every = np.zeros(len(P), bool), np.ones(len(P), bool)
    assert plots.boundary(P, none) == P.max()
    assert plots.boundary(P, every) == min(0.5, P.min())
    right = int(np.count_nonzero(CALLED == BEAUTIFUL))
    assert f"{right} of {len(P)} photographs lie on the right side" in DRAWN["labels"]()
    found = np.mean(CALLED[BEAUTIFUL])
    assert f"With its own labels it finds {found:.0%} of the" in DRAWN["roc"]()


def test_the_path_of_the_penalty_has_its_dot_at_the_lowest_loss() -> None:
    svg = DRAWN["penalty"]()
    assert "for 22 penalties: lowest, 1, at the penalty 1." in svg
    assert all(f">{tick}</text>" in svg for tick in ("0.0001", "0.01", "1", "100"))
    line, dot = (drawn_path(svg, css) for css in ("line predicted", "dot predicted large"))
    heights = [float(point.split()[1]) for point in re.split("[ML]", line)[1:]]
    assert float(re.split("[ h]", dot)[1]) == max(heights)
