"""What heads get wrong: labels, photographs, distributions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heads.report.data import read_report
from heads.report.mistakes import distribution_run, faults, mistakes


def test_a_collapsed_head_is_said_to_have_no_best_photograph(page: str) -> None:
    assert "It gives every photograph the same score" in page


def test_the_shares_of_a_confusion_matrix_are_those_of_its_rows(runs: Path) -> None:
    best = read_report(runs).best
    matrix = faults(best).confusion
    assert [[n for n, _ in row] for row in matrix.values()] == best.metrics["confusion"]
    assert all(sum(share for _, share in row) == pytest.approx(1) for row in matrix.values())


def test_a_head_that_only_ranks_is_mistaken_by_its_place(runs: Path) -> None:
    (run,) = (run for run in read_report(runs).runs if run.prediction.ranking_only)
    lists = faults(run).photographs
    assert "Most mistaken: place among all far above people's" in lists
    assert all(card.predicted.endswith("\u202f%") for cards in lists.values() for card in cards)


def test_examples_show_shares_mean_and_standard_deviation(runs: Path) -> None:
    data = read_report(runs)
    found = mistakes(data)
    assert found.by is distribution_run(data) is not None
    for example in found.examples:
        *shares, mean, std = map(float, example.rows["true"])
        row = data.labels.image_id.tolist().index(example.image_id)
        assert sum(shares) == pytest.approx(100, abs=4)  # each of them rounded
        assert mean == pytest.approx(data.labels.mean[row], abs=0.005)
        assert std > 0


def test_without_distributions_there_is_no_example(runs: Path) -> None:
    data = read_report(runs)
    bare = tuple(replace(r, prediction=replace(r.prediction, distribution=None)) for r in data.runs)
    found = mistakes(replace(data, runs=bare))
    assert (found.by, found.examples) == (None, [])
