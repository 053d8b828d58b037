"""Logistic regression: the oracle, the choice on validation, and what it refuses."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from heads.errors import HeadError
from heads.metrics.catalogue import evaluate
from heads.models.logistic import LogisticHead
from tests.heads.made import all_on_one_side, means_only, planted

DATA = planted(700)
TRAIN, VAL, TEST = DATA.part(0, 400), DATA.part(400, 550), DATA.part(550, 700)


def fitted(head, train=TRAIN, val=VAL):
    assert head.fit(*train, *val, seed=0) == []
    return head


def standard(X: np.ndarray, like: np.ndarray = TRAIN[0]) -> np.ndarray:
    means = [x.astype(np.float64).mean(axis=1) for x in (like, X)]
    return StandardScaler().fit(means[0]).transform(means[1])


def test_logistic_is_scikit_learns_at_the_penalty_it_chose():
    head = fitted(LogisticHead())
    theirs = LogisticRegression(C=1 / (400 * head.choice_.penalty), tol=1e-8, max_iter=1000)
    theirs.fit(standard(TRAIN[0]), TRAIN[1].beautiful)
    expected = theirs.predict_proba(standard(TEST[0]))[:, 1]
    np.testing.assert_allclose(head.predict(TEST[0]).p_beautiful, expected, atol=5e-3)


def test_logistic_scores_are_probabilities_on_the_scale_for_ranking_only():
    prediction = fitted(LogisticHead()).predict(TEST[0])
    assert prediction.ranking_only
    assert prediction.distribution is None
    np.testing.assert_allclose(prediction.score, 1 + 6 * prediction.p_beautiful)


def test_logistic_stops_where_validation_grows_worse():
    choice = fitted(LogisticHead()).choice_
    best = int(np.argmin(choice.val_losses))
    assert choice.penalty == choice.penalties[best]
    assert len(choice.val_losses) <= best + 2
    assert (np.diff(choice.val_losses[: best + 1]) <= 0).all()


def test_a_solver_that_is_cut_short_is_noted(monkeypatch):
    monkeypatch.setattr("heads.models.logistic.MAX_ITERATIONS", 1)
    head = fitted(LogisticHead())
    assert head.note_ == "The solver was stopped after 1 iterations, before it had converged."
    assert head.state()[1]["note"] == head.note_


@pytest.mark.parametrize(("beautiful", "kind"), [(True, "beautiful"), (False, "not beautiful")])
def test_logistic_refuses_one_class(beautiful, kind):
    train = TRAIN[0], all_on_one_side(TRAIN[1], beautiful=beautiful)
    message = f"needs both classes, and all 400 training photographs are {kind}. Choose another"
    with pytest.raises(HeadError, match=message):
        fitted(LogisticHead(), train)


def test_logistic_needs_validation_photographs():
    with pytest.raises(HeadError, match=r"logistic chooses or calibrates on validation.*none"):
        fitted(LogisticHead(), val=DATA.part(0, 0))


def test_logistic_takes_labels_with_means_only_and_fewer_photographs_than_features():
    train, val = ((X, means_only(labels)) for X, labels in (TRAIN, VAL))
    assert evaluate(fitted(LogisticHead(), train, val).predict(TEST[0]), TEST[1])["srcc"] > 0.7
    few = planted(40, width=64)
    head = fitted(LogisticHead(), few.part(0, 25), few.part(25, 40))
    assert len(head.predict(few.X)) == 40


def test_scikit_learn_is_loaded_by_the_fit_alone_and_tensorflow_never():
    script = (
        "import sys\n"
        "from heads.models.logistic import LogisticHead\n"
        "assert 'sklearn' not in sys.modules\n"
        "from tests.heads.made import planted\n"
        "p = planted(60)\n"
        "LogisticHead().fit(*p.part(0, 40), *p.part(40, 60), seed=0)\n"
        "assert 'sklearn' in sys.modules\n"
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_solver_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(LogisticHead()).predict(TEST[0])
