"""How far people agree: against votes whose reliability is known."""

import numpy as np
import pytest
from scipy import stats

from heads.metrics.reliability import ceiling, choice_ceiling
from tests.heads.made import labels_of_votes, means_only, random_labels


def test_halves_of_many_votes_recover_the_known_reliability():
    # True scores s of variance 1, votes s + e with e of variance 4 around them (rounded to a wide
    # scale): the mean of 40 votes has the reliability 1 / (1 + 4 / 40).
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(4000)
    ratings = np.clip(np.round(truth[:, None] + 2 * rng.standard_normal((4000, 40))) + 10, 1, 20)
    votes = np.stack([np.count_nonzero(ratings == k, axis=1) for k in range(1, 21)], axis=1)
    found = ceiling(labels_of_votes(votes, "10"), seed=0)
    assert found.plcc == pytest.approx(1 / (1 + 4 / 40), abs=0.01)
    assert found.plcc_ceiling == pytest.approx(np.corrcoef(truth, ratings.mean(1))[0, 1], abs=0.01)
    assert found.srcc_ceiling == pytest.approx(
        stats.spearmanr(truth, ratings.mean(axis=1)).statistic, abs=0.02
    )
    assert found.n_photos == 4000


def test_people_who_agree_on_each_photograph_are_reliable_and_random_ones_are_not():
    agreed = labels_of_votes(np.eye(5, dtype=int)[np.arange(50) % 5] * 8)
    assert ceiling(agreed, seed=0).plcc == pytest.approx(1)
    rng = np.random.default_rng(0)
    random = labels_of_votes(rng.multinomial(20, np.full(5, 0.2), 2000))
    assert ceiling(random, seed=0).srcc < 0.05


def test_the_same_seed_gives_the_same_reliability():
    labels = random_labels(100)
    assert ceiling(labels, seed=4) == ceiling(labels, seed=4)
    assert ceiling(labels, seed=4) != ceiling(labels, seed=5)


def test_photographs_with_one_vote_cannot_be_halved():
    assert ceiling(labels_of_votes([[1, 0], [1, 1]]), seed=0) is None


def test_half_of_the_votes_chooses_as_the_other_half_where_people_agree():
    votes = np.eye(5, dtype=int)[[0, 1, 2, 4, 3, 3]] * 8
    group = ["a", "a", "a", "b", "b", ""]
    found = choice_ceiling(labels_of_votes(votes, group=group), seed=0)
    assert (found.n_groups, found.n_pairs, found.n_told) == (2, 4, 4)
    assert found.metrics == {"pair_acc": 1, "best_of_group": 1, "regret": 0}


def test_half_of_random_votes_chooses_by_chance():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(20, np.full(5, 0.2), 3000)
    group = [f"g{i // 3}" for i in range(3000)]
    found = choice_ceiling(labels_of_votes(votes, group=group), seed=0)
    assert found.metrics["best_of_group"] == pytest.approx(1 / 3, abs=0.03)
    assert found.metrics["regret"] > 0.2


def test_the_ceiling_of_choosing_needs_groups_and_votes_to_halve():
    assert choice_ceiling(random_labels(10), seed=0) is None
    labels = random_labels(10, group=["a"] * 10)
    assert choice_ceiling(means_only(labels), seed=0).metrics is None
    assert choice_ceiling(means_only(labels), seed=0).n_told == 45
    one = labels_of_votes([[1, 0], [1, 1]], group=["a", "a"])
    assert choice_ceiling(one, seed=0).metrics is None
