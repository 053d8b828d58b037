"""Plots of every head on the same axes, and of how training went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from heads.report.data import read_report
from heads.report.plots import score_span, scores, side_by_side, training
from heads.report.write import write_report
from tests.heads.report.finished_runs import PLAN, make_runs
from tests.heads.report.reading import read


def test_curves_are_drawn_with_the_floor_on_val(page: str) -> None:
    section = page[page.index("id=training") : page.index("id=others")]
    assert section.count('class="plot"') == 2 + 3  # MSE and EMD of emd, and the penalties
    assert section.count('class="floor"') == 2
    assert "Solved directly, without epochs" in section


def test_photographs_that_are_all_beautiful_have_no_roc(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, replace(PLAN, threshold="1"), ("constant", "ridge"), trained=False)
    text = write_report(runs).read_text()
    assert "ROC curves" not in text
    assert not read(text).wrong


def test_a_collapsed_head_has_a_histogram_and_nothing_to_correlate(runs: Path) -> None:
    data = read_report(runs)
    side = side_by_side(data)
    assert [figure.name for figure in side.histograms] == ["people", *(r.name for r in data.runs)]
    assert "constant" not in [figure.name for figure in (*side.scatters, *side.labels, *side.rocs)]
    (constant,) = (run for run in data.runs if run.collapsed)
    assert scores(constant) == []


def test_the_axis_of_scores_stays_within_the_scale(runs: Path) -> None:
    span = score_span(read_report(runs).runs)
    assert 1 <= span.lo < span.hi <= 7


def test_heads_without_epochs_are_named(runs: Path) -> None:
    plots = training(read_report(runs))
    assert sorted(plots.direct) == ["constant", "logistic", "ridge", "ridge-dist"]
    assert [len(figures) for figures in plots.curves.values()] == [1, 1]


def test_the_choice_of_a_penalty_is_drawn_with_where_it_was_made(runs: Path) -> None:
    report = read_report(runs)
    figures = {figure.name: figure for figure in training(report).penalties}
    assert sorted(figures) == ["logistic", "ridge", "ridge-dist"]
    (ridge,) = (run for run in report.runs if run.name == "ridge")
    assert ridge.choice is not None
    assert figures["ridge"].about == f"{ridge.choice.penalty:.2g}, on val"
    assert "MSE (points²) of ridge on photographs held out, for 22" in figures["ridge"].plot
    assert "cross-entropy (nats)" in figures["logistic"].plot
