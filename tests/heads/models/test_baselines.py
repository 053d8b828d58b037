"""Linear heads: oracles, choices on validation, saving, and what they refuse."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from cache.errors import HeadError
from heads.data.distributions import distribution_mean
from heads.data.labels import Labels
from heads.metrics.catalogue import evaluate
from heads.models.baselines import BASELINES, LogisticHead, RidgeDistHead, RidgeHead
from tests.heads.made import labels_of_means, planted

DATA = planted(700)
TRAIN, VAL, TEST = DATA.part(0, 400), DATA.part(400, 550), DATA.part(550, 700)
LINEAR = (LogisticHead, RidgeHead, RidgeDistHead)


def fitted(head, train=TRAIN, val=VAL):
    assert head.fit(*train, *val, seed=0) == []
    return head


def means_only(labels: Labels) -> Labels:
    return Labels(labels.image_id, labels.group, None, labels.mean, labels.scale, labels.threshold)


def all_on_one_side(labels: Labels, *, beautiful: bool) -> Labels:
    return Labels(
        image_id=labels.image_id,
        group=labels.group,
        votes=labels.votes,
        mean=labels.mean,
        scale=labels.scale,
        threshold="0" if beautiful else "7",
    )


def test_the_baselines_have_the_names_of_the_design():
    assert list(BASELINES) == ["constant", "mean-ratings", "logistic", "ridge", "ridge-dist"]
    assert all(name == head.name for name, head in BASELINES.items())


@pytest.mark.parametrize("kind", LINEAR)
def test_linear_heads_beat_the_floor_on_planted_signal(kind):
    values = evaluate(fitted(kind()).predict(TEST[0]), TEST[1])
    floor = evaluate(fitted(BASELINES["constant"]()).predict(TEST[0]), TEST[1])
    assert values["srcc"] > 0.7
    assert values["acc"] > floor["acc"] + 0.1
    if kind is not LogisticHead:
        assert values["mse"] < 0.5 * floor["mse"]
    if kind is RidgeDistHead:
        assert values["emd_r2"] < 0.8 * floor["emd_r2"]


@pytest.mark.parametrize("kind", BASELINES.values())
def test_a_saved_head_predicts_the_same(kind, tmp_path):
    head = fitted(kind())
    arrays, values = head.state()
    np.savez(tmp_path / "model.npz", **arrays)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        back = kind.from_state(None, dict(stored), json.loads(json.dumps(values)))
    before, after = head.predict(TEST[0]), back.predict(TEST[0])
    np.testing.assert_array_equal(before.score, after.score)
    np.testing.assert_array_equal(before.p_beautiful, after.p_beautiful)
    assert (before.distribution is None) == (after.distribution is None)
    if before.distribution is not None:
        np.testing.assert_array_equal(before.distribution, after.distribution)
    assert (before.ranking_only, before.label_by_p) == (after.ranking_only, after.label_by_p)
    assert json.dumps(back.state()[1]) == json.dumps(values)


def standard(X: np.ndarray, like: np.ndarray = TRAIN[0]) -> np.ndarray:
    means = [x.astype(np.float64).mean(axis=1) for x in (like, X)]
    return StandardScaler().fit(means[0]).transform(means[1])


def test_ridge_is_scikit_learns_at_the_penalty_it_chose():
    head = fitted(RidgeHead())
    theirs = Ridge(alpha=400 * head.choice_.penalty).fit(standard(TRAIN[0]), TRAIN[1].mean)
    expected = np.clip(theirs.predict(standard(TEST[0])), 1, 7)
    np.testing.assert_allclose(head.predict(TEST[0]).score, expected, atol=1e-4)


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


def test_a_solver_that_is_cut_short_is_told(monkeypatch):
    monkeypatch.setattr("heads.models.baselines.MAX_ITERATIONS", 1)
    head = fitted(LogisticHead())
    assert head.note_ == "The solver was stopped after 1 iterations, before it had converged."
    assert head.state()[1]["note"] == head.note_


def test_ridge_scores_stay_on_the_scale():
    far = (TEST[0] - TRAIN[0].mean(axis=(0, 1))) * 50
    score = fitted(RidgeHead()).predict(far).score
    assert score.min() == 1
    assert score.max() == 7


def test_ridge_dist_gives_distributions_whose_mean_is_the_score():
    prediction = fitted(RidgeDistHead()).predict(TEST[0])
    assert prediction.distribution.shape == (150, 7)
    assert (prediction.distribution >= 0).all()
    np.testing.assert_allclose(prediction.distribution.sum(axis=1), 1)
    np.testing.assert_allclose(prediction.score, distribution_mean(prediction.distribution))


@pytest.mark.parametrize("kind", [RidgeHead, RidgeDistHead])
def test_probabilities_are_calibrated_on_validation(kind):
    p = fitted(kind()).predict(VAL[0]).p_beautiful
    # Platt's maximum of likelihood makes the mean probability the mean of his targets.
    n1 = VAL[1].beautiful.sum()
    n0 = 150 - n1
    target = (n1 * (n1 + 1) / (n1 + 2) + n0 / (n0 + 2)) / 150
    assert p.mean() == pytest.approx(target, abs=1e-6)


@pytest.mark.parametrize("kind", [RidgeHead, RidgeDistHead])
def test_one_class_in_validation_is_told_and_keeps_the_order(kind):
    X_val, labels_val = VAL
    head = fitted(kind(), val=(X_val, all_on_one_side(labels_val, beautiful=True)))
    prediction = head.predict(TEST[0])
    assert "All 150 validation photographs are beautiful" in head.state()[1]["note"]
    assert (np.diff(prediction.p_beautiful[np.argsort(prediction.score)]) >= 0).all()
    assert fitted(kind()).state()[1]["note"] == ""


def test_ridge_and_logistic_take_labels_with_means_only():
    train, val = ((X, means_only(labels)) for X, labels in (TRAIN, VAL))
    for kind in (RidgeHead, LogisticHead):
        assert evaluate(fitted(kind(), train, val).predict(TEST[0]), TEST[1])["srcc"] > 0.7


def test_ridge_dist_refuses_labels_with_means_only():
    with pytest.raises(HeadError, match=r"has means only.*use ridge, sigmoid, tanh, binary"):
        fitted(RidgeDistHead(), (TRAIN[0], means_only(TRAIN[1])), (VAL[0], means_only(VAL[1])))


@pytest.mark.parametrize(("beautiful", "kind"), [(True, "beautiful"), (False, "not beautiful")])
def test_logistic_refuses_one_class(beautiful, kind):
    train = TRAIN[0], all_on_one_side(TRAIN[1], beautiful=beautiful)
    message = f"needs both classes, and all 400 training photographs are {kind}. Choose another"
    with pytest.raises(HeadError, match=message):
        fitted(LogisticHead(), train)


@pytest.mark.parametrize("kind", LINEAR)
def test_a_linear_head_needs_validation_and_two_training_photographs(kind):
    with pytest.raises(HeadError, match=rf"{kind.name} chooses its penalty on validation.*none"):
        fitted(kind(), val=DATA.part(0, 0))
    with pytest.raises(HeadError, match=r"needs at least 2 training photographs; got 1\."):
        fitted(kind(), train=DATA.part(0, 1))


@pytest.mark.parametrize("kind", LINEAR)
def test_a_linear_head_refuses_another_number_of_features(kind):
    with pytest.raises(HeadError, match="trained on 12 features a photograph; these have 5"):
        fitted(kind()).predict(TEST[0][:, :, :5])


@pytest.mark.parametrize("kind", LINEAR)
def test_fewer_photographs_than_features_are_enough(kind):
    few = planted(40, width=64)
    head = fitted(kind(), few.part(0, 25), few.part(25, 40))
    assert len(head.predict(few.X)) == 40


def test_constant_means_are_predicted_as_they_are():
    labels = labels_of_means(np.full(400, 6.0))
    val = labels_of_means(np.linspace(3, 8, 150))
    score = fitted(RidgeHead(), (TRAIN[0], labels), (VAL[0], val)).predict(TEST[0]).score
    np.testing.assert_allclose(score, 6.0)


def test_scikit_learn_heads_train_without_tensorflow_and_other_modules_without_scikit_learn():
    script = (
        "import sys, numpy as np\n"
        "import heads.models.baselines\n"
        "assert 'sklearn' not in sys.modules\n"
        "from tests.heads.made import planted\n"
        "p = planted(60)\n"
        "for head in heads.models.baselines.BASELINES.values():\n"
        "    head().fit(*p.part(0, 40), *p.part(40, 60), seed=0)\n"
        "assert 'sklearn' in sys.modules\n"
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_training_says_nothing_on_the_side():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in BASELINES.values():
            fitted(kind()).predict(TEST[0])
