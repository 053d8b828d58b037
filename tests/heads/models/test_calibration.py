"""Platt's probabilities against scikit-learn, and what is said where there is one class."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from heads.models.calibration import calibration_note, fit_platt, platt_probability, sigmoid


def scores(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    score = 5 + rng.standard_normal(n)
    return score, rng.random(n) < sigmoid(3 * (score - 5.4))


def test_the_line_agrees_with_scikit_learn_on_platts_targets():
    # Targets between 0 and 1 are pairs of weighted labels.
    score, beautiful = scores(300)
    n1 = beautiful.sum()
    target = np.where(beautiful, (n1 + 1) / (n1 + 2), 1 / (300 - n1 + 2))
    learner = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    learner.fit(
        np.r_[score, score][:, None],
        np.r_[np.ones(300), np.zeros(300)],
        sample_weight=np.r_[target, 1 - target],
    )
    a, b = fit_platt(score, beautiful)
    assert a == pytest.approx(learner.coef_[0, 0], rel=1e-4)
    assert b == pytest.approx(learner.intercept_[0], rel=1e-4)


def test_probabilities_recover_the_curve_that_labels_were_drawn_from():
    a, b = fit_platt(*scores(50_000))
    assert a == pytest.approx(3, rel=0.05)
    assert -b / a == pytest.approx(5.4, abs=0.02)


def test_perfectly_separated_classes_keep_probabilities_off_zero_and_one():
    score = np.arange(10.0)
    p = platt_probability(score, *fit_platt(score, score > 4))
    assert (np.diff(p) > 0).all()
    assert p[0] == pytest.approx(1 / 7, abs=0.1)
    assert p[-1] == pytest.approx(6 / 7, abs=0.1)


def test_a_constant_score_gets_the_mean_target():
    beautiful = np.arange(8) < 2
    a, b = fit_platt(np.full(8, 5.3), beautiful)
    assert a == 0
    assert sigmoid(np.array([b]))[0] == pytest.approx((2 * 3 / 4 + 6 * 1 / 8) / 8)


@pytest.mark.parametrize("beautiful", [True, False])
def test_with_one_class_the_order_is_kept_and_the_mean_is_platts_target(beautiful):
    score = np.random.default_rng(0).normal(7, 2, 30)
    a, b = fit_platt(score, np.full(30, beautiful))
    p = platt_probability(score, a, b)
    assert a == pytest.approx(1 / score.std())
    assert p.mean() == pytest.approx(31 / 32 if beautiful else 1 / 32)


def test_a_score_that_falls_with_beauty_keeps_its_order():
    score, beautiful = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])
    p = platt_probability(score, *fit_platt(score, beautiful))
    assert (np.diff(p) > 0).all()
    assert p.mean() == pytest.approx((3 * 4 / 5 + 1 / 3) / 4)
    note = calibration_note(score, beautiful)
    assert note.startswith("Among the 4 validation photographs the beautiful ones do not have")
    assert "is no calibrated probability. Add validation photographs" in note


def test_one_class_is_told_in_words():
    score = np.arange(4.0)
    assert calibration_note(score, score > 1) == ""
    assert calibration_note(np.zeros(4), score > 1) == ""
    note = calibration_note(score, np.ones(4, bool))
    assert note.startswith("All 4 validation photographs are beautiful: p_beautiful keeps")
    assert "Choose another --threshold" in note
    assert "are not beautiful" in calibration_note(score, np.zeros(4, bool))


def test_the_sigmoid_of_large_numbers_does_not_overflow():
    np.testing.assert_allclose(sigmoid(np.array([-1e5, 0.0, 1e5])), [0, 0.5, 1])
