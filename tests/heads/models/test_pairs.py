"""Bradley-Terry on features: the oracle, what it learns from, its scale, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from cache.types import Scale
from heads.errors import HeadError
from heads.metrics.catalogue import evaluate
from heads.models.pairs import Pairs, PairsHead, sureness
from tests.heads.made import (
    compared,
    in_groups,
    labels_of_means,
    labels_of_votes,
    means_only,
    planted,
)
from tests.heads.models.test_logistic import standard

N, N_TEST = 300, 150
DATA = planted(N + N_TEST)
(X, LABELS), (X_TEST, TEST) = DATA.part(0, N), DATA.part(N, N + N_TEST)


def comparisons(labels, n: int = 900, seed: int = 0) -> np.ndarray:
    """Let people compare photographs at random: the higher mean wins more often."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, len(labels), (2, n))
    i, j = i[i != j], j[i != j]
    first = rng.random(len(i)) < 1 / (1 + np.exp(4 * (labels.mean[j] - labels.mean[i])))
    return np.stack([np.where(first, i, j), np.where(first, j, i)], axis=1)


ALONE = compared(comparisons(LABELS), N)


def fitted(labels, features=X) -> PairsHead:
    head = PairsHead()
    assert head.fit(features, labels, features[:0], labels.take(slice(0)), seed=0) == []
    return head


def test_comparisons_are_learned_as_scikit_learn_learns_differences():
    head = fitted(ALONE)
    Z, (winner, loser) = standard(X, X), ALONE.pairs.T
    gaps = Z[winner] - Z[loser]
    n = len(gaps)
    theirs = LogisticRegression(
        C=1 / (n * head.choice_.penalty), fit_intercept=False, tol=1e-8, max_iter=1000
    ).fit(np.concatenate([gaps, -gaps]), np.repeat([1, 0], n), np.full(2 * n, 0.5))
    expected = standard(X_TEST, X) @ theirs.coef_[0]
    np.testing.assert_allclose(head.model_.outputs(X_TEST)[:, 0], expected, atol=2e-2)


def test_of_comparisons_alone_the_score_is_the_chance_against_an_average_photograph():
    head = fitted(ALONE)
    said, log_odds = head.predict(X_TEST), head.model_.outputs(X_TEST)[:, 0]
    np.testing.assert_allclose(said.score, 1 / (1 + np.exp(-log_odds)))
    np.testing.assert_array_equal(said.score, said.p_beautiful)
    assert said.ranking_only
    assert abs(head.model_.outputs(X).mean()) < 1e-3
    test = compared(comparisons(TEST, seed=1), N_TEST)
    assert 0.75 < evaluate(said, test)["pair_acc"] < 1
    assert evaluate(said, means_only(TEST))["srcc"] > 0.85


def test_where_there_are_means_a_line_leads_to_their_scale():
    head = fitted(replace(LABELS, pairs=ALONE.pairs))
    said = head.predict(X_TEST)
    slope, at_zero = head.line_
    expected = np.clip(slope * head.model_.outputs(X_TEST)[:, 0] + at_zero, 1, 7)
    np.testing.assert_allclose(said.score, expected)
    assert not said.ranking_only
    found = evaluate(said, TEST)
    assert found["mae"] < 0.4
    assert 0.7 < found["spread"] < 1.3


def test_labels_of_0_and_1_have_pairs_within_groups_and_calibrated_probabilities():
    picked = in_groups(LABELS, 10)
    beautiful = picked.beautiful.astype(np.float64)
    picked = replace(picked, votes=None, mean=beautiful, scale=Scale(0, 1), threshold="0.5")
    head = fitted(picked)
    said = head.predict(X_TEST)
    assert said.ranking_only
    assert head.line_ == ()
    assert head.platt_ != (1.0, 0.0)
    assert evaluate(said, TEST)["auc"] > 0.9


def test_pairs_within_groups_are_ordered_and_weighted_by_how_sure_they_are():
    votes = [[9, 1], [1, 9], [5, 5], [5, 5], [3, 7]]
    labels = labels_of_votes(votes, "1.5", group=["a", "a", "a", "b", ""])
    pairs = Pairs.of(labels)
    assert sorted(zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True)) == [
        *((1, 0), (1, 2), (2, 0))
    ]
    # A mean of 10 votes with the shares p, 1 - p has the squared error p (1 - p) / 9.
    width = np.sqrt((0.9 * 0.1 + 0.5 * 0.5) / 9)
    expected = (2 * norm.cdf(0.4 / width) - 1) / np.sqrt(3)
    np.testing.assert_allclose(pairs.weight[pairs.better == 2], expected)


def test_comparisons_weigh_one_over_the_root_of_how_many_their_group_has():
    labels = compared([(0, 1), (1, 0), (0, 1), (0, 1), (2, 3), (0, 3)], 4, ["a", "a", "b", "b"])
    pairs = Pairs.of(labels)
    assert pairs.weight.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_means_without_votes_are_sure_of_all_but_ties():
    labels = replace(labels_of_means([1, 2, 2]), group=np.array(["a"] * 3))
    first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    assert sureness(labels, first, second).tolist() == [1, 1, 0]


def test_a_single_vote_is_sure_of_nothing():
    labels = labels_of_votes([[1, 0], [0, 1]], "1.5", group=["a", "a"])
    assert sureness(labels, np.array([0]), np.array([1])).tolist() == [0]
    assert len(Pairs.of(labels)) == 0


def test_large_groups_give_each_photograph_so_many_pairs_only(monkeypatch):
    labels = in_groups(LABELS, N)
    assert len(Pairs.of(means_only(labels))) > N * (N - 1) // 2 * 0.9
    monkeypatch.setattr("heads.models.pairs.MOST_PAIRS", 2 * N)
    few = Pairs.of(means_only(labels))
    assert 2 * N < len(few) < 3 * N
    assert len(np.unique(np.concatenate([few.better, few.worse]))) == N


def test_a_line_that_would_turn_the_order_around_is_not_taken():
    rng = np.random.default_rng(0)
    upside_down = np.stack([ALONE.pairs[:, 1], ALONE.pairs[:, 0]], axis=1)
    head = fitted(replace(means_only(LABELS), pairs=upside_down[rng.permutation(len(upside_down))]))
    assert head.line_[0] > 0


@pytest.mark.parametrize("labels", [LABELS, compared([(0, 1), (2, 3)], N), compared([], N)])
def test_too_few_pairs_are_refused_with_a_remedy(labels):
    with pytest.raises(HeadError) as caught:
        fitted(labels)
    n = 0 if labels.pairs is None else len(labels.pairs)
    assert str(caught.value) == (
        "The head pairs learns from pairs of training photographs that people put in an order, by "
        "comparing them (pairs.csv) or by votes within a group, and leaves some out to choose its "
        f"penalty; there are {n}, which is too few. Add comparisons, or a column `group`."
    )
