"""Choosing within groups: worked by hand, against scipy's test of two means, and by chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cache.types import Scale
from heads.data.predictions import Prediction
from heads.metrics.bootstrap import bootstrap
from heads.metrics.catalogue import CHOOSING, evaluate
from heads.metrics.choosing import Choices, agreement
from tests.heads.made import (
    compared,
    constant_prediction,
    in_groups,
    labels_of_means,
    labels_of_votes,
    noisy_prediction,
    random_labels,
)


def grouped_means(means, group):
    """Labels with means only, in groups."""
    return replace(labels_of_means(means), group=np.asarray(group, np.str_))


def scored(scores):
    """A prediction of these scores."""
    values = np.asarray(scores, np.float64)
    return Prediction(values, np.full(len(values), 0.5))


def chosen(scores, labels):
    """The three metrics of scores."""
    values = evaluate(scored(scores), labels)
    return [values[name] for name in CHOOSING]


def test_pairs_the_best_and_regret_are_those_worked_by_hand():
    # Group a: means 1, 2, 4; scores put 4 below 2. Group b: means 5, 3; scores are right.
    labels = grouped_means([1, 5, 2, 4, 3], ["a", "b", "a", "a", "b"])
    scores = [0.1, 0.9, 0.8, 0.7, 0.2]
    # Pairs: 1-2 right, 1-4 right, 2-4 wrong; 5-3 right. Chosen: 2 in place of 4, and 5.
    assert chosen(scores, labels) == [3 / 4, 1 / 2, pytest.approx((4 - 2 + 0) / 2)]


def test_equal_scores_get_what_chance_gets():
    labels = grouped_means([1, 2, 4, 5, 3, 7], ["a", "a", "a", "b", "b", "alone"])
    expected = [1 / 2, (1 / 3 + 1 / 2) / 2, pytest.approx((4 - 7 / 3 + 5 - 4) / 2)]
    assert chosen(np.full(6, 3.0), labels) == expected
    # Half of a choice: the two highest of group a have one score, which holds the best.
    assert chosen([0, 1, 1, 1, 0, 0], labels)[1] == (1 / 2 + 1) / 2


def test_groups_of_one_and_groups_of_one_mean_do_not_count():
    labels = grouped_means([1, 2, 3, 3, 5], ["a", "a", "same", "same", "alone"])
    choices = Choices.of(labels)
    assert choices.rows.tolist() == [0, 1]
    assert choices.n_pairs == 1
    assert chosen([2, 1, 0, 0, 0], labels) == [0, 0, 1]


def test_without_groups_nothing_is_chosen():
    labels = labels_of_means([1, 2, 3])
    assert Choices.of(labels) is None
    assert chosen([1, 2, 3], labels) == [None] * 3
    drawn = bootstrap(scored([1, 2, 3]), labels, 20).drawn
    assert [drawn[name] for name in CHOOSING] == [None] * 3


def test_pairs_that_welchs_test_cannot_tell_apart_are_left_out():
    labels = in_groups(random_labels(60, levels=7), 6)
    choices = Choices.of(labels)
    places = np.concatenate([np.stack(pair, axis=1) for pair in choices.pairs()])
    told = set(map(tuple, choices.rows[places].tolist()))
    # The same from single ratings; scipy takes Student's quantile for the p-value, we the normal.
    ratings = [np.repeat(np.arange(1, 8), counts) for counts in labels.votes]
    expected = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if i // 6 == j // 6
        and abs(stats.ttest_ind(ratings[i], ratings[j], equal_var=False).statistic) > 1.96
    }
    assert told == expected
    assert 0 < len(told) < choices.n_pairs == 10 * 15


def test_a_single_vote_tells_no_pair_and_all_ties_leave_no_share():
    one_vote = labels_of_votes([[1, 0], [0, 1]], threshold="1.5", group=["a", "a"])
    values = chosen([1, 2], one_vote)
    assert math.isnan(values[0])
    assert values[1:] == [1, 0]


def test_challenges_stand_in_for_groups_where_there_are_none():
    means, scores = [1, 2, 4, 5, 3, 7], [1, 2, 4, 5, 3, 7]
    labels = replace(labels_of_means(means), challenge=np.array([3, 3, 3, 8, 8, 0], np.int32))
    assert Choices.of(labels).rows.tolist() == [0, 1, 2, 3, 4]
    assert chosen(scores, labels) == [1, 1, 0]
    both = replace(labels, group=np.array(["", "", "", "", "b", "b"]))
    assert Choices.of(both).rows.tolist() == [4, 5]


def test_labels_of_zero_and_one_are_chosen_among_too():
    labels = replace(
        labels_of_means([1, 0, 0, 0, 1], "0.5", Scale(0, 1)), group=np.array(["a"] * 3 + ["b"] * 2)
    )
    assert chosen([0.9, 0.1, 0.2, 0.8, 0.3], labels) == [2 / 3, 1 / 2, 1 / 2]


def test_intervals_are_those_of_whole_groups_with_a_choice():
    # Forty pairs and sixty photographs without a group: a share of right pairs is binomial.
    group = np.array([f"g{i // 2}" if i < 80 else "" for i in range(140)])
    labels = grouped_means(np.tile([1.0, 2.0], 70), group)
    right = np.repeat(np.arange(70) % 4 > 0, 2)
    prediction = scored(np.where(right, labels.mean, -labels.mean))
    boots = bootstrap(prediction, labels, 1000)
    lo, hi = boots.intervals()["pair_acc"]
    assert boots.values["pair_acc"] == 0.75
    assert [lo, hi] == pytest.approx(
        np.quantile(stats.binom(40, 0.75).rvs(10**5, random_state=0), [0.025, 0.975]) / 40, abs=0.02
    )
    assert boots.drawn["best_of_group"].tolist() == boots.drawn["pair_acc"].tolist()


def test_one_group_has_no_interval():
    labels = grouped_means([1, 2, 4, 5], ["a", "a", "", ""])
    bounds = bootstrap(scored([1, 2, 3, 4]), labels, 20).intervals()
    assert all(math.isnan(bound) for name in CHOOSING for bound in bounds[name])


def test_a_head_that_knows_more_chooses_better_than_chance_and_the_difference_is_paired():
    labels = in_groups(random_labels(200), 4)
    good, floor = (
        bootstrap(prediction, labels, 300)
        for prediction in (noisy_prediction(labels, 0.2), constant_prediction(labels))
    )
    gaps = good.minus(floor)
    assert gaps["pair_acc"][1] > 0
    assert gaps["best_of_group"][1] > 0
    assert gaps["regret"][2] < 0
    assert floor.values["best_of_group"] == pytest.approx(1 / 4)


def test_a_group_of_thousands_takes_little_memory_and_seconds():
    n = 2000
    labels = grouped_means(np.arange(n) / n, ["all"] * n)
    assert Choices.of(labels).n_pairs == n * (n - 1) // 2
    assert chosen(labels.mean, labels) == [1, 1, 0]


def test_of_comparisons_alone_the_share_in_peoples_order_is_all_that_is_measured():
    labels = compared([(0, 1), (1, 2), (2, 0), (0, 1)], 3)
    score = np.array([0.9, 0.5, 0.5])
    measured = evaluate(Prediction(score, score, ranking_only=True), labels)
    assert measured.pop("pair_acc") == (1 + 0.5 + 0 + 1) / 4
    assert set(measured.values()) == {None}
    nothing = evaluate(Prediction(score, score, ranking_only=True), compared([], 3))
    assert math.isnan(nothing["pair_acc"])


def test_a_comparison_is_drawn_as_often_as_both_its_photographs_and_a_group_as_a_whole():
    rng = np.random.default_rng(0)
    group = ["a", "a", "a", "b", "b", "", "", ""]
    labels = compared(rng.choice(8, (40, 2)), 8, group)
    score, names = rng.random(8), ["a", "b", "5", "6", "7"]
    drawn = rng.integers(0, 5, (20, 5))
    times = np.array([[list(draw).count(k) for k in range(5)] for draw in drawn])
    of = [names.index(name or str(i)) for i, name in enumerate(group)]
    expected = []
    for draw in times:
        right, n = 0.0, 0
        for winner, loser in labels.pairs.tolist():
            one, other = of[winner], of[loser]
            often = draw[one] if one == other else draw[one] * draw[other]
            right += often * (1 + np.sign(score[winner] - score[loser])) / 2
            n += often
        expected.append(right / n)
    np.testing.assert_allclose(agreement(score, labels, times.T[of].astype(float)), expected)


def test_comparisons_alone_have_an_interval_and_a_paired_difference_from_chance():
    rng = np.random.default_rng(1)
    quality = rng.random(200)
    pairs = rng.choice(200, (400, 2))
    first = quality[pairs[:, 0]] + rng.normal(0, 0.2, 400) > quality[pairs[:, 1]]
    labels = compared(np.where(first[:, None], pairs, pairs[:, ::-1]), 200)
    knows = bootstrap(Prediction(quality, quality, ranking_only=True), labels)
    lo, hi = knows.intervals()["pair_acc"]
    assert 0.75 < lo < knows.values["pair_acc"] < hi < 0.95
    chance = bootstrap(Prediction(np.full(200, 0.5), np.full(200, 0.5)), labels)
    gaps = knows.minus(chance)
    assert gaps["pair_acc"][1] > 0.2
    assert gaps["srcc"] is None
