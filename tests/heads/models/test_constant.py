"""Heads that never look at a photograph."""

import numpy as np
import pytest

from heads.data.predictions import predicted_label
from heads.errors import HeadError
from heads.models.constant import ConstantHead, MeanRatingsHead
from tests.heads.made import labels_of_means, labels_of_votes

VOTES = [[8, 0, 0], [0, 1, 1], [0, 1, 1], [0, 0, 2]]
X = np.zeros((4, 1, 2), np.float16)


def fitted(head, labels):
    assert head.fit(X, labels, X, labels, seed=0) == []
    return head


def test_constant_averages_photographs():
    prediction = fitted(ConstantHead(), labels_of_votes(VOTES, "2")).predict(X[:2])
    np.testing.assert_allclose(prediction.distribution, [[1 / 4, 1 / 4, 2 / 4]] * 2)
    np.testing.assert_allclose(prediction.score, [(1 + 2.5 + 2.5 + 3) / 4] * 2)
    np.testing.assert_allclose(prediction.p_beautiful, [3 / 4] * 2)


def test_mean_ratings_pools_votes_so_that_many_votes_weigh_more():
    prediction = fitted(MeanRatingsHead(), labels_of_votes(VOTES, "2")).predict(X[:2])
    np.testing.assert_allclose(prediction.distribution, [[8 / 14, 2 / 14, 4 / 14]] * 2)
    np.testing.assert_allclose(prediction.score, [(8 + 4 + 12) / 14] * 2)


def test_constant_says_the_majoritys_label_where_the_mean_says_another():
    # Three of four lie just above 2.4; the fourth pulls the mean to 2.25, below it.
    labels = labels_of_votes(VOTES, "2.4")
    prediction = fitted(ConstantHead(), labels).predict(X)
    assert prediction.score[0] < 2.4
    assert predicted_label(prediction, labels.threshold).all()


def test_constant_without_a_majority_calls_nothing_beautiful():
    labels = labels_of_means([9.0, 9, 2, 2])
    assert not predicted_label(fitted(ConstantHead(), labels).predict(X), labels.threshold).any()


def test_mean_ratings_says_the_majoritys_label_too():
    labels = labels_of_votes(VOTES, "2")
    prediction = fitted(MeanRatingsHead(), labels).predict(X)
    assert prediction.score[0] < 2
    assert predicted_label(prediction, labels.threshold).all()


def test_constant_takes_labels_with_means_only():
    prediction = fitted(ConstantHead(), labels_of_means([2.0, 4, 6, 8])).predict(X)
    assert prediction.distribution is None
    assert prediction.score.tolist() == [5.0] * 4


def test_mean_ratings_needs_votes():
    with pytest.raises(HeadError, match="means only"):
        fitted(MeanRatingsHead(), labels_of_means([2.0, 4, 6, 8]))


@pytest.mark.parametrize("kind", [ConstantHead, MeanRatingsHead])
def test_a_floor_needs_two_photographs(kind):
    labels = labels_of_votes(VOTES[:1])
    with pytest.raises(HeadError, match=r"needs at least 2 training .*; got 1\. Add photographs"):
        kind().fit(X[:1], labels, X[:1], labels, seed=0)
