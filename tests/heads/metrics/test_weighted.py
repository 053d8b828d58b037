"""Photographs that count several times are the same as photographs that stand several times."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from heads.data.predictions import Prediction
from heads.metrics.catalogue import METRICS
from heads.metrics.weighted import Levels, Terms, spearman
from tests.heads.made import noisy_prediction, random_labels

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
