"""Ridge regression: oracles, choices on groups left out, and what it refuses."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from heads.data.distributions import distribution_mean, project_onto_simplex
from heads.data.features import signed_root
from heads.errors import HeadError
from heads.metrics.catalogue import evaluate
from heads.models.ridge import RidgeDistHead, RidgeHead
from tests.heads.made import all_on_one_side, in_groups, labels_of_means, means_only, planted

DATA = planted(700)
TRAIN, VAL, TEST = DATA.part(0, 400), DATA.part(400, 550), DATA.part(550, 700)
GROUPED = TRAIN[0], in_groups(TRAIN[1])
BOTH = (RidgeHead, RidgeDistHead)


def fitted(head, train=TRAIN, val=VAL):
    assert head.fit(*train, *val, seed=0) == []
    return head


def standard(X: np.ndarray, like: np.ndarray = TRAIN[0]) -> np.ndarray:
    means = [signed_root(x.astype(np.float64).mean(axis=1)) for x in (like, X)]
    return StandardScaler().fit(means[0]).transform(means[1])


def test_ridge_is_scikit_learns_at_the_penalty_it_chose():
    head = fitted(RidgeHead())
    theirs = Ridge(alpha=400 * head.choice_.penalty).fit(standard(TRAIN[0]), TRAIN[1].mean)
    expected = np.clip(theirs.predict(standard(TEST[0])), 1, 7)
    np.testing.assert_allclose(head.predict(TEST[0]).score, expected, atol=1e-4)


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


def test_ridge_dist_is_scikit_learns_ridge_on_centred_log_shares():
    head = fitted(RidgeDistHead())
    logs = np.log(TRAIN[1].votes + 0.5)
    logs -= logs.mean(axis=1, keepdims=True)
    theirs = Ridge(alpha=400 * head.choice_.penalty).fit(standard(TRAIN[0]), logs)
    powers = np.exp(theirs.predict(standard(TEST[0])))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(head.predict(TEST[0]).distribution, expected, atol=1e-4)


def test_shares_of_an_earlier_versions_run_are_still_projected():
    arrays, values = fitted(RidgeDistHead()).state()
    del values["link"], values["root"]
    del values["left_out"]
    values["val_losses"] = values.pop("left_out_losses")
    old = RidgeDistHead.from_state(arrays, values)
    outputs = TEST[0].mean(axis=1, dtype=np.float32) @ arrays["kernel"] + arrays["bias"]
    np.testing.assert_allclose(
        old.predict(TEST[0]).distribution, project_onto_simplex(outputs), atol=1e-5
    )


@pytest.mark.parametrize("kind", BOTH)
def test_where_there_are_groups_val_is_not_looked_at(kind):
    one = fitted(kind(), GROUPED).state()
    other = fitted(kind(), GROUPED, DATA.part(0, 30)).state()
    assert one[1] == other[1]
    assert one[1]["left_out"] == "groups of train"
    np.testing.assert_array_equal(one[0]["kernel"], other[0]["kernel"])


@pytest.mark.parametrize("kind", BOTH)
def test_without_groups_val_decides(kind):
    values = fitted(kind()).state()[1]
    assert values["left_out"] == "val"
    assert fitted(kind(), val=DATA.part(400, 430)).state()[1] != values


@pytest.mark.parametrize("kind", BOTH)
def test_without_val_there_is_nothing_to_choose_on(kind):
    with pytest.raises(HeadError, match=r"on validation photographs, and there are none\."):
        fitted(kind(), val=DATA.part(0, 0))


@pytest.mark.parametrize("kind", BOTH)
def test_labels_and_probabilities_agree(kind):
    prediction = fitted(kind()).predict(TEST[0])
    threshold = float(TEST[1].threshold)
    np.testing.assert_array_equal(prediction.p_beautiful > 0.5, prediction.score > threshold)


@pytest.mark.parametrize("kind", BOTH)
def test_one_class_in_train_is_noted_and_keeps_the_order(kind):
    X, labels = TRAIN
    head = fitted(kind(), (X, in_groups(all_on_one_side(labels, beautiful=True))))
    prediction = head.predict(TEST[0])
    assert "All 400 photographs that probabilities could be" in head.state()[1]["note"]
    assert (np.diff(prediction.p_beautiful[np.argsort(prediction.score)]) >= 0).all()
    assert fitted(kind()).state()[1]["note"] == ""


def test_ridge_dist_refuses_labels_with_means_only():
    with pytest.raises(HeadError, match=r"has means only.*heads that need none"):
        fitted(RidgeDistHead(), (TRAIN[0], means_only(TRAIN[1])), (VAL[0], means_only(VAL[1])))


@pytest.mark.parametrize("kind", BOTH)
def test_ridge_needs_two_training_photographs(kind):
    with pytest.raises(HeadError, match=r"needs at least 2 training photographs; got 1\."):
        fitted(kind(), train=DATA.part(0, 1))


@pytest.mark.parametrize("kind", BOTH)
def test_fewer_photographs_than_features_are_enough(kind):
    few = planted(40, width=64)
    head = fitted(kind(), few.part(0, 25), few.part(25, 40))
    assert len(head.predict(few.X)) == 40


def test_constant_means_are_predicted_as_they_are():
    labels = labels_of_means(np.full(400, 6.0))
    val = labels_of_means(np.linspace(3, 8, 150))
    score = fitted(RidgeHead(), (TRAIN[0], labels), (VAL[0], val)).predict(TEST[0]).score
    np.testing.assert_allclose(score, 6.0)


def test_ridge_takes_labels_with_means_only():
    train, val = ((X, means_only(labels)) for X, labels in (TRAIN, VAL))
    assert evaluate(fitted(RidgeHead(), train, val).predict(TEST[0]), TEST[1])["srcc"] > 0.7
