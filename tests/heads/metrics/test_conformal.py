"""Intervals from val: their size by the textbook, coverage on made data, and too little of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heads.data.distributions import distribution_std
from heads.data.predictions import Prediction
from heads.metrics.catalogue import evaluate
from heads.metrics.conformal import Intervals, bound, bounded
from tests.heads.made import in_groups, labels_of_means, noisy_prediction, random_labels


def said(score: np.ndarray, **columns: object) -> Prediction:
    """A prediction of these scores."""
    return Prediction(score, np.full(len(score), 0.5), **columns)


@pytest.mark.parametrize("n", [9, 10, 19, 20, 43, 99, 100, 1000])
def test_of_photographs_alone_it_is_the_textbooks_order_statistic(n: int) -> None:
    errors = np.random.default_rng(n).gamma(2.0, 1.0, n)
    smallest = -(-9 * (n + 1) // 10)  # ceil(0.9 (n + 1))
    assert bound(errors, np.arange(n), np.ones(n)) == np.sort(errors)[smallest - 1]


def test_fewer_than_nine_groups_bound_nothing() -> None:
    assert bound(np.arange(8.0), np.arange(8), np.ones(8)) is None
    assert bound(np.arange(900.0), np.arange(900) % 8, np.ones(900)) is None
    assert bound(np.arange(9.0), np.arange(9), np.ones(9)) == 8


def test_copies_of_a_photograph_in_its_group_tell_no_more_than_it() -> None:
    errors, group = np.random.default_rng(0).random(20), np.arange(20)
    alone = bound(errors, group, np.ones(20))
    assert bound(np.repeat(errors, 7), np.repeat(group, 7), np.ones(140)) == alone


def made(rng: np.random.Generator, n_groups: int, size: int, shared: float) -> tuple:
    """Scores and labels whose errors have a part that a group shares; means without votes."""
    n = n_groups * size
    score = rng.uniform(4, 7, n)
    error = np.sqrt(shared) * np.repeat(rng.standard_normal(n_groups), size)
    error += np.sqrt(1 - shared) * rng.standard_normal(n)
    return said(score), in_groups(labels_of_means(score + 0.5 * error), size)


@pytest.mark.parametrize(
    ("size", "shared", "most"), [(1, 0.0, 0.92), (3, 0.0, 0.96), (3, 0.8, 0.94)]
)
def test_intervals_of_made_data_hold_nine_of_ten_means_everywhere(
    size: int, shared: float, most: float
) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        val, new = made(rng, 20, size, shared), made(rng, 30, size, shared)
        known = bounded(new[0], Intervals.of(*val))
        within = np.abs(known.score - new[1].mean) <= known.margin
        thirds = np.array_split(within[np.argsort(known.score)], 3)
        held.append([within.mean(), *(third.mean() for third in thirds)])
    # By chance the mean of 300 trials moves by less than 0.01.
    for coverage in np.mean(held, axis=0):
        assert 0.89 < coverage < most + 0.01


def test_differences_within_groups_of_made_data_are_held_too() -> None:
    rng = np.random.default_rng(0)
    held, wide = [], []
    for _ in range(200):
        (val, labels), (new, truth) = made(rng, 25, 2, 0.8), made(rng, 25, 2, 0.8)
        known = Intervals.of(val, labels)
        away = truth.mean - new.score
        held.append(np.mean(np.abs(away[::2] - away[1::2]) <= known.difference))
        wide.append(known.difference / known.score)
    assert 0.89 < np.mean(held) < 0.95
    # What a group shares is in both pictures, so that their difference is surer than either.
    assert np.mean(wide) < 0.8


def test_without_groups_of_two_differences_are_those_of_different_things() -> None:
    rng = np.random.default_rng(0)
    apart, within = (Intervals.of(*made(rng, 4000 // size, size, 0.0)) for size in (1, 2))
    assert (apart.n_paired, within.n_paired) == (0, 2000)
    assert apart.difference == pytest.approx(within.difference, rel=0.05)
    assert apart.difference == pytest.approx(np.sqrt(2) * apart.score, rel=0.05)


def test_a_predicted_deviation_scales_the_interval() -> None:
    labels = random_labels(200)
    prediction = noisy_prediction(labels)
    intervals = Intervals.of(prediction, labels)
    margin = bounded(prediction, intervals).margin
    assert intervals.by_std
    np.testing.assert_allclose(margin, intervals.score * distribution_std(prediction.distribution))
    plain = replace(prediction, distribution=None)
    assert np.ptp(bounded(plain, Intervals.of(plain, labels)).margin) == 0


def test_a_distribution_on_one_rating_does_not_divide_by_nothing() -> None:
    labels = random_labels(30)
    sure = np.eye(10)[np.arange(30) % 10]
    prediction = Prediction(sure @ np.arange(1, 11), np.full(30, 0.5), sure)
    assert np.isfinite(bounded(prediction, Intervals.of(prediction, labels)).margin).all()


def test_too_few_groups_leave_every_score_unbounded_and_nothing_measured() -> None:
    labels = in_groups(random_labels(16), 2)
    prediction = noisy_prediction(labels)
    intervals = Intervals.of(prediction, labels)
    assert (intervals.score, intervals.difference, intervals.n_groups) == (None, None, 8)
    known = bounded(prediction, intervals)
    assert np.isinf(known.margin).all()
    assert np.isinf(known.apart).all()
    values = evaluate(known, labels)
    names = ("coverage", "interval_width", "decided", "decided_acc")
    assert all(np.isnan(values[name]) for name in names)


def test_scores_that_only_rank_have_no_intervals() -> None:
    labels = random_labels(40)
    ranking = replace(noisy_prediction(labels), ranking_only=True)
    assert Intervals.of(ranking, labels) is None
    assert bounded(ranking, None) is ranking
    picked = replace(labels_of_means(np.arange(40) % 2), scale=replace(labels.scale, lo=0, hi=1))
    assert Intervals.of(noisy_prediction(labels), picked) is None


def test_coverage_width_and_what_is_decided_are_those_worked_by_hand() -> None:
    labels = in_groups(labels_of_means([1.0, 4.0, 5.0, 6.0, 7.0, 9.0]), 2)
    scores = np.array([1.5, 4.0, 6.5, 5.0, 6.0, 6.1])
    known = bounded(said(scores), Intervals(1.0, False, 20, 0.9, 12))
    values = evaluate(known, labels)
    # Means within 1 of their scores: 1, 4, 6, 7, not 5 and 9. Pairs: right; wrong; too close.
    assert values["coverage"] == 4 / 6
    assert values["interval_width"] == 2
    assert (values["decided"], values["decided_acc"]) == (2 / 3, 1 / 2)
    assert evaluate(said(scores), labels)["coverage"] is None
    assert evaluate(said(scores), labels)["decided"] is None


def test_intervals_come_back_from_their_json_values() -> None:
    intervals = Intervals.of(*made(np.random.default_rng(0), 12, 2, 0.5))
    assert Intervals.from_dict(intervals.to_dict()) == intervals
