"""Photographs that count several times are the same as photographs that stand several times."""

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from heads.data.predictions import Prediction
from heads.metrics.catalogue import METRICS
from heads.metrics.weighted import Levels, Terms, auc, spearman
from tests.heads.made import labels_of_votes, noisy_prediction, random_labels

WEIGHTED = {name: m.weighted for name, m in METRICS.items() if m.weighted is not None}


@pytest.mark.parametrize("decimals", [0, 8])
def test_counts_give_what_repeated_photographs_give(decimals):
    labels = random_labels(60, levels=5)
    exact = noisy_prediction(labels)
    score = np.round(exact.score, decimals)
    margin = np.where(np.arange(60) % 5, 0.1 * np.arange(60), np.inf)
    prediction = Prediction(score, np.sin(score) / 2 + 0.5, exact.distribution, margin=margin)
    counts = np.random.default_rng(0).integers(0, 4, (60, 3)).astype(float)
    together = Terms(prediction, labels).draws(counts)
    for b in range(3):
        rows = np.repeat(np.arange(60), counts[:, b].astype(int))
        terms = Terms(prediction.take(rows), labels.take(rows))
        alone = terms.draws(np.ones((len(rows), 1)))
        for name, form in WEIGHTED.items():
            assert form(together)[b] == pytest.approx(form(alone)[0], abs=1e-12), name


@pytest.mark.parametrize(("n", "decimals"), [(60, 0), (60, 8), (4, 8)])
def test_kendalls_tau_of_draws_is_scipys_to_the_last_digit(n, decimals):
    labels = random_labels(n, levels=5)
    score = np.round(noisy_prediction(labels).score, decimals)
    counts = np.random.default_rng(0).integers(0, 4, (n, 20)).astype(float)
    drawn = Terms(Prediction(score, np.sin(score) / 2 + 0.5), labels).draws(counts).kendall()
    rows = [np.repeat(np.arange(n), column.astype(int)) for column in counts.T]
    theirs = [kendalltau(score[r], labels.mean[r]).statistic for r in rows]
    np.testing.assert_array_equal(drawn, theirs)


def test_fewer_photographs_than_bins_are_a_bin_each_for_the_calibration_error():
    labels = labels_of_votes([[1, 0], [0, 1], [0, 1]], threshold="1.5")
    prediction = Prediction(np.array([1.0, 1.5, 2.0]), np.array([0.1, 0.4, 0.7]))
    (error,) = Terms(prediction, labels).draws(np.ones((3, 1))).calibration_error()
    assert error == pytest.approx((0.1 + 0.6 + 0.3) / 3)


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [2.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
def test_mid_ranks_agree_with_scipy(values):
    counts = np.array([2, 1, 3])
    ranks = Levels(np.array(values)).ranks(counts[:, None].astype(float))[:, 0]
    np.testing.assert_allclose(np.repeat(ranks, counts), rankdata(np.repeat(values, counts)))


def test_equal_order_means_equal_ties_too():
    assert Levels(np.array([1.0, 2, 2])).same_order(Levels(np.array([-1.0, 7, 7])))
    assert not Levels(np.array([1.0, 2, 2])).same_order(Levels(np.array([1.0, 2, 3])))


def test_spearman_agrees_with_scipy_and_is_undefined_for_a_constant():
    x, y = np.random.default_rng(0).integers(0, 5, (2, 40)).astype(float)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(spearman(x, np.ones(40)))


def test_auc_agrees_with_scikit_learn_and_is_undefined_for_one_class():
    rng = np.random.default_rng(3)
    score, beautiful = rng.integers(0, 9, 60).astype(float), rng.random(60) > 0.6
    assert auc(score, beautiful) == pytest.approx(roc_auc_score(beautiful, score))
    assert np.isnan(auc(score, np.ones(60, bool)))
