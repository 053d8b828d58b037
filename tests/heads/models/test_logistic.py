"""Logistic regression: the oracle, the choice on groups left out, and what it refuses."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from heads.data.features import signed_root
from heads.errors import HeadError
from heads.metrics.catalogue import evaluate
from heads.models.logistic import Fit, LogisticHead
from tests.heads.made import all_on_one_side, in_groups, means_only, planted

DATA = planted(700)
TRAIN, VAL, TEST = DATA.part(0, 400), DATA.part(400, 550), DATA.part(550, 700)
GROUPED = TRAIN[0], in_groups(TRAIN[1])


def fitted(head, train=TRAIN, val=VAL):
    assert head.fit(*train, *val, seed=0) == []
    return head


def standard(X: np.ndarray, like: np.ndarray = TRAIN[0]) -> np.ndarray:
    means = [signed_root(x.astype(np.float64).mean(axis=1)) for x in (like, X)]
    return StandardScaler().fit(means[0]).transform(means[1])


def test_logistic_learns_hard_labels_as_scikit_learn_does():
    head = fitted(LogisticHead(), (TRAIN[0], TRAIN[1].without_votes()))
    theirs = LogisticRegression(C=1 / (400 * head.choice_.penalty), tol=1e-8, max_iter=1000)
    theirs.fit(standard(TRAIN[0]), TRAIN[1].beautiful)
    expected = theirs.decision_function(standard(TEST[0]))
    np.testing.assert_allclose(head.model_.outputs(TEST[0])[:, 0], expected, atol=2e-2)


def test_soft_labels_are_photographs_that_count_twice():
    head, share = fitted(LogisticHead()), TRAIN[1].share_above
    theirs = LogisticRegression(C=1 / (400 * head.choice_.penalty), tol=1e-8, max_iter=1000)
    twice = np.tile(standard(TRAIN[0]), (2, 1))
    theirs.fit(twice, np.repeat([1, 0], 400), np.r_[share, 1 - share])
    expected = theirs.decision_function(standard(TEST[0]))
    np.testing.assert_allclose(head.model_.outputs(TEST[0])[:, 0], expected, atol=2e-2)


def test_a_penalty_chosen_on_some_photographs_falls_with_the_number_of_all(monkeypatch):
    monkeypatch.setattr("heads.models.logistic.MOST_CHOSEN_ON", 100)
    head, few = fitted(LogisticHead()), fitted(LogisticHead(), DATA.part(0, 100))
    assert head.choice_ == few.choice_
    assert head.platt_ == few.platt_
    theirs = LogisticRegression(C=1 / (100 * few.choice_.penalty), tol=1e-8, max_iter=1000)
    share = TRAIN[1].share_above
    twice = np.tile(standard(TRAIN[0]), (2, 1))
    theirs.fit(twice, np.repeat([1, 0], 400), np.r_[share, 1 - share])
    expected = theirs.decision_function(standard(TEST[0]))
    np.testing.assert_allclose(head.model_.outputs(TEST[0])[:, 0], expected, atol=2e-2)


def test_the_log_odds_of_an_earlier_versions_run_are_not_calibrated():
    arrays, values = fitted(LogisticHead()).state()
    del values["platt"]
    old = LogisticHead.from_state(arrays, values)
    log_odds = old.model_.outputs(TEST[0])[:, 0]
    np.testing.assert_allclose(old.predict(TEST[0]).p_beautiful, 1 / (1 + np.exp(-log_odds)))


def test_logistic_scores_are_probabilities_on_the_scale_for_ranking_only():
    prediction = fitted(LogisticHead()).predict(TEST[0])
    assert prediction.ranking_only
    assert prediction.distribution is None
    np.testing.assert_allclose(prediction.score, 1 + 6 * prediction.p_beautiful)


def test_logistic_stops_where_photographs_left_out_grow_worse():
    choice = fitted(LogisticHead()).choice_
    best = int(np.argmin(choice.losses))
    assert choice.penalty == choice.penalties[best]
    assert len(choice.losses) <= best + 2
    assert (np.diff(choice.losses[: best + 1]) <= 0).all()


def test_a_solver_that_is_cut_short_is_noted(monkeypatch):
    monkeypatch.setattr("heads.models.logistic.MAX_ITERATIONS", 1)
    head = fitted(LogisticHead())
    assert head.note_ == "The solver was stopped after 1 iterations, before it had converged."
    assert head.state()[1]["note"] == head.note_


def test_a_solver_that_finds_no_lower_loss_is_noted(monkeypatch):
    """Here since the slope that it is given leads uphill."""
    loss = Fit._loss

    def uphill(self, weights, penalty):
        value, slope = loss(self, weights, penalty)
        return value, -slope

    monkeypatch.setattr(Fit, "_loss", uphill)
    assert fitted(LogisticHead()).note_.endswith(
        "The solver found no lower loss along its last direction, before it had converged."
    )


@pytest.mark.parametrize(("beautiful", "kind"), [(True, "beautiful"), (False, "not beautiful")])
def test_logistic_refuses_one_class(beautiful, kind):
    train = TRAIN[0], all_on_one_side(TRAIN[1], beautiful=beautiful)
    message = f"needs both classes, and all 400 training photographs are {kind}. Choose another"
    with pytest.raises(HeadError, match=message):
        fitted(LogisticHead(), train)


def test_where_there_are_groups_val_is_not_looked_at():
    values = fitted(LogisticHead(), GROUPED).state()[1]
    assert values == fitted(LogisticHead(), GROUPED, DATA.part(400, 430)).state()[1]
    assert values["left_out"] == "groups of train"


def test_without_groups_val_decides():
    head = fitted(LogisticHead())
    assert head.choice_.on == "val"
    log_odds, share = head.model_.outputs(VAL[0])[:, 0], VAL[1].share_above
    loss = log_loss(
        np.repeat([1, 0], 150),
        np.tile(1 / (1 + np.exp(-log_odds)), 2),
        sample_weight=np.r_[share, 1 - share],
    )
    assert min(head.choice_.losses) == pytest.approx(loss, rel=1e-3)


def test_where_a_fold_would_leave_one_class_to_the_others_val_decides():
    labels = in_groups(TRAIN[1].without_votes(), 40)
    first = replace(labels, mean=np.where(np.arange(400) < 40, 6.0, 2.0))
    head = fitted(LogisticHead(), (TRAIN[0], first))
    assert head.choice_.on == "val"


def test_logistic_takes_labels_with_means_only_and_fewer_photographs_than_features():
    train, val = ((X, means_only(labels)) for X, labels in (TRAIN, VAL))
    assert evaluate(fitted(LogisticHead(), train, val).predict(TEST[0]), TEST[1])["srcc"] > 0.7
    few = planted(40, width=64)
    head = fitted(LogisticHead(), few.part(0, 25), few.part(25, 40))
    assert len(head.predict(few.X)) == 40


def test_the_solver_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(LogisticHead()).predict(TEST[0])
