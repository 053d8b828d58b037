"""Probabilities of being beautiful against scikit-learn, and what is said where they are rough."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from heads.models.calibration import calibrate, platt_probability, sigmoid


def scores(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    score = 5 + rng.standard_normal(n)
    return score, rng.random(n) < sigmoid(3 * (score - 5.4))


def test_the_slope_agrees_with_scikit_learn_on_platts_targets():
    # Targets between 0 and 1 are pairs of weighted labels.
    score, beautiful = scores(300)
    n1 = beautiful.sum()
    target = np.where(beautiful, (n1 + 1) / (n1 + 2), 1 / (300 - n1 + 2))
    learner = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, fit_intercept=False)
    learner.fit(
        np.r_[score, score][:, None] - 5.2,
        np.r_[np.ones(300), np.zeros(300)],
        sample_weight=np.r_[target, 1 - target],
    )
    (a, b), note = calibrate(score, beautiful, 5.2)
    assert a == pytest.approx(learner.coef_[0, 0], rel=1e-4)
    assert b == pytest.approx(-5.2 * a)
    assert note == ""


def test_probabilities_recover_the_curve_that_labels_were_drawn_from():
    (a, _), _ = calibrate(*scores(50_000), 5.4)
    assert a == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("middle", [3.0, 5.4, 8.0])
def test_a_label_and_its_probability_never_contradict_each_other(middle):
    score, beautiful = scores(200)
    p = platt_probability(score, *calibrate(score, beautiful, middle)[0])
    np.testing.assert_array_equal(p > 0.5, score > middle)


def test_perfectly_separated_classes_keep_probabilities_off_zero_and_one():
    score = np.arange(10.0)
    p = platt_probability(score, *calibrate(score, score > 4, 4.5)[0])
    assert (np.diff(p) > 0).all()
    assert 0.01 < p[0] < 1 / 7
    assert 6 / 7 < p[-1] < 0.99


def test_a_constant_score_gets_the_mean_target_on_its_side_of_the_middle():
    beautiful = np.arange(8) < 6
    (a, b), _ = calibrate(np.full(8, 5.3), beautiful, 5.0)
    assert sigmoid(a * 5.3 + b) == pytest.approx((6 * 7 / 8 + 2 * 1 / 4) / 8)
    (a, b), _ = calibrate(np.full(8, 5.0), beautiful, 5.0)
    assert sigmoid(a * 5.0 + b) == 0.5


@pytest.mark.parametrize("beautiful", [True, False])
def test_with_one_class_the_order_is_kept_and_a_note_says_so(beautiful):
    score = np.random.default_rng(0).normal(5, 2, 300)
    (a, _), note = calibrate(score, np.full(300, beautiful), 5.0)
    assert a > 0
    assert note.startswith("All 300 photographs that probabilities could be learned from are")
    assert ("not beautiful" in note) != beautiful
    assert "Choose another --threshold or add photographs." in note


def test_a_score_that_falls_with_beauty_keeps_its_order():
    score, beautiful = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False])
    (a, _), note = calibrate(score, beautiful, 2.5)
    assert a == pytest.approx(1 / np.sqrt(1.25))
    assert note.startswith("Among the 4 photographs that probabilities could be learned from the")
    assert "is no calibrated probability. Add photographs" in note


def test_a_calibration_on_few_photographs_is_said():
    note = calibrate(*scores(99), 5.4)[1]
    assert note == "p_beautiful is calibrated on 99 photographs: its slope is a rough one."
    assert calibrate(*scores(100), 5.4)[1] == ""


def test_the_sigmoid_of_large_numbers_does_not_overflow():
    np.testing.assert_allclose(sigmoid(np.array([-1e5, 0.0, 1e5])), [0, 0.5, 1])
