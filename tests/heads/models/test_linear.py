"""Ridge for all penalties at once, against scikit-learn and the normal equations."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from heads.data.labels import Labels
from heads.errors import HeadError
from heads.models.linear import (
    GROUPS,
    PENALTIES,
    VAL,
    Basis,
    LinearModel,
    PenaltyChoice,
    choose_ridge,
    groups_of,
)
from tests.heads.made import labels_of_votes

SOME = np.array([10.0, 0.1, 1e-3])
NO_VAL = np.empty((0, 1, 15), np.float32), labels_of_votes(np.ones((0, 4), int))


def data(n: int, width: int = 15, outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((width, width))
    X = (3 + rng.standard_normal((n, 1, width)) @ mixed * rng.gamma(1, 1, width)).astype(np.float32)
    return X, X[:, 0, :outputs] * 0.1 + rng.standard_normal((n, outputs))


def roots(X: np.ndarray) -> np.ndarray:
    means = X.astype(np.float64).mean(axis=1)
    return np.sign(means) * np.sqrt(np.abs(means))


def models(X: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> list[LinearModel]:
    at_mean = targets.mean(axis=0)
    basis = Basis.of(X, targets - at_mean)
    return [basis.model(penalty, at_mean) for penalty in penalties]


@pytest.mark.parametrize("n", [400, 15, 9])
def test_every_penalty_agrees_with_scikit_learn_on_roots(n):
    X, targets = data(n)
    standard = StandardScaler().fit_transform(roots(X))
    for penalty, model in zip(SOME, models(X, targets, SOME), strict=True):
        theirs = Ridge(alpha=n * penalty, solver="svd").fit(standard, targets)
        np.testing.assert_allclose(model.outputs(X), theirs.predict(standard), atol=2e-4)


def test_a_path_solves_the_normal_equations():
    X, targets = data(60)
    Z = roots(X)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    (model,) = models(X, targets, np.array([0.2]))
    normal = Z.T @ Z + 60 * 0.2 * np.eye(15)
    solution = np.linalg.solve(normal, Z.T @ (targets - targets.mean(axis=0)))
    np.testing.assert_allclose(model.outputs(X), Z @ solution + targets.mean(axis=0), atol=3e-4)


def test_blocks_give_what_one_piece_gives(monkeypatch):
    X, targets = data(200)
    labels = grouped(np.arange(200) // 2)
    whole = choose_ridge(X, targets, labels, NO_VAL, mean_square(targets))
    monkeypatch.setattr("heads.data.features.BLOCK_BYTES", 4 * 15 * 7)
    monkeypatch.setattr("heads.models.linear.BLOCK_ROWS", 9)
    blocks = choose_ridge(X, targets, labels, NO_VAL, mean_square(targets))
    np.testing.assert_allclose(blocks[0].outputs(X), whole[0].outputs(X), atol=1e-4)
    np.testing.assert_allclose(blocks[2].outputs, whole[2].outputs, atol=1e-4)


@pytest.mark.parametrize("n", [100, 8])
def test_a_constant_feature_is_left_out_even_where_it_changes_later(n):
    X, targets = data(n)
    X[:, :, 3] = 2.3
    for model in models(X, targets, SOME):
        assert (model.kernel[3] == 0).all()
    changed = X.copy()
    changed[:, :, 3] = 5
    np.testing.assert_allclose(model.outputs(changed), model.outputs(X), atol=1e-6)


def test_features_that_are_all_constant_leave_the_mean():
    X, targets = np.full((20, 1, 4), 2.5, np.float32), np.arange(20.0)[:, None]
    model, _, left_out = choose_ridge(
        X, targets, grouped(np.arange(20)), NO_VAL, mean_square(targets)
    )
    np.testing.assert_allclose(model.outputs(X), 9.5)
    np.testing.assert_allclose(
        left_out.outputs[:, 0], (targets.sum() - targets[:, 0]) / 19, rtol=1e-6
    )


def test_a_far_mean_does_not_cost_digits():
    X, targets = data(300)
    moved = np.square(X / 10 + np.float32(200))
    shifted = np.square(X / 10 + np.float32(20))
    (far,), (near,) = models(moved, targets, SOME[:1]), models(shifted, targets, SOME[:1])
    np.testing.assert_allclose(far.outputs(moved), near.outputs(shifted), atol=5e-3)


def test_a_feature_that_hardly_ever_varies_is_not_blown_up(monkeypatch):
    X, targets = data(400)
    X[:, :, 5] = 0
    X[7, :, 5] = 1e-6
    (model,) = models(X, targets, np.array([1e-3]))
    monkeypatch.setattr("heads.models.linear.SMALLEST_DEVIATION", 0)
    (blown_up,) = models(X, targets, np.array([1e-3]))
    assert np.abs(model.kernel[5]).max() < 0.5 * np.abs(blown_up.kernel[5]).max()


def grouped(cluster: np.ndarray) -> Labels:
    votes = np.ones((len(cluster), 4), int)
    return labels_of_votes(votes, group=[f"group{number:03}" for number in cluster])


def mean_square(targets: np.ndarray):
    def loss(outputs: np.ndarray, labels: Labels) -> float:
        rows = [int(name.removeprefix("photo")) for name in labels.image_id.tolist()]
        return float(np.mean((outputs - targets[rows]) ** 2))

    return loss


CLUSTERS = {
    "alone": lambda n: np.arange(n),
    "pairs": lambda n: np.arange(n) % (n // 2),
    "one large": lambda n: np.where(np.arange(n) < 2 * n // 3, 0, np.arange(n) - 2 * n // 3 + 1),
}


@pytest.mark.parametrize("kind", CLUSTERS)
@pytest.mark.parametrize("n", [90, 12])
def test_what_is_left_out_is_predicted_as_by_a_fit_without_it(kind, n):
    X, targets = data(n)
    cluster = CLUSTERS[kind](n)
    standard = StandardScaler().fit_transform(roots(X))
    basis = Basis.of(X, targets - targets.mean(axis=0))
    left_out = basis.left_out(X, targets - targets.mean(axis=0), cluster, np.arange(n), SOME)
    for penalty, outputs in zip(SOME, left_out + targets.mean(axis=0), strict=True):
        for number in np.unique(cluster):
            held = cluster == number
            theirs = Ridge(alpha=n * penalty, solver="svd").fit(standard[~held], targets[~held])
            np.testing.assert_allclose(outputs[held], theirs.predict(standard[held]), atol=5e-3)


def test_the_penalty_with_the_lowest_loss_on_what_is_left_out_is_kept():
    X, targets = data(60, outputs=1)
    labels = grouped(np.arange(60) // 3)
    model, choice, left_out = choose_ridge(X, targets, labels, NO_VAL, mean_square(targets))
    assert (choice.penalty, choice.on) == (PENALTIES[np.argmin(choice.losses)], GROUPS)
    assert min(choice.losses) == mean_square(targets)(left_out.outputs, left_out.labels)
    (same,) = models(X, targets, np.array([choice.penalty]))
    np.testing.assert_array_equal(model.kernel, same.kernel)


def test_of_many_photographs_the_first_groups_are_left_out(monkeypatch):
    X, targets = data(60, outputs=1)
    labels = grouped(np.arange(60) % 20)
    monkeypatch.setattr("heads.models.linear.MOST_LEFT_OUT", 5)
    _, choice, left_out = choose_ridge(X, targets, labels, NO_VAL, mean_square(targets))
    rows = np.flatnonzero(np.arange(60) % 20 < 5)
    assert left_out.labels.image_id.tolist() == labels.image_id[rows].tolist()
    monkeypatch.setattr("heads.models.linear.PENALTIES", np.array([choice.penalty]))
    monkeypatch.setattr("heads.models.linear.MOST_LEFT_OUT", 60)
    every = choose_ridge(X, targets, labels, NO_VAL, mean_square(targets))[2]
    np.testing.assert_allclose(left_out.outputs, every.outputs[rows], rtol=1e-5)


def test_without_groups_the_penalty_has_the_lowest_loss_on_val():
    X, targets = data(90, outputs=1)
    train, val = (labels_of_votes(np.ones((n, 4), int)) for n in (60, 30))
    loss = mean_square(targets[60:])
    model, choice, left_out = choose_ridge(X[:60], targets[:60], train, (X[60:], val), loss)
    every = models(X[:60], targets[:60], PENALTIES)
    losses = [loss(each.outputs(X[60:]), val) for each in every]
    np.testing.assert_allclose(choice.losses, losses, rtol=1e-5)
    assert (choice.penalty, choice.on) == (PENALTIES[np.argmin(losses)], VAL)
    np.testing.assert_allclose(left_out.outputs, model.outputs(X[60:]), atol=1e-4)
    assert left_out.labels is val


def test_groups_count_up_from_the_first_photograph_and_one_that_has_none_is_alone():
    votes = np.ones((4, 4), int)
    grouped = labels_of_votes(votes, group=["b", "", "a", "b"])
    assert groups_of(grouped).tolist() == [0, 1, 2, 0]
    assert groups_of(labels_of_votes(votes, group=["a"] * 4)) is None
    assert groups_of(labels_of_votes(votes)) is None


def test_an_earlier_versions_choice_was_made_on_val():
    old = {"penalty": 0.1, "penalties": [1.0, 0.1], "val_losses": [3.0, 2.0]}
    choice = PenaltyChoice.from_dict(old)
    assert choice == PenaltyChoice(0.1, (1.0, 0.1), (3.0, 2.0), VAL)
    assert PenaltyChoice.from_dict(choice.to_dict()) == choice


def test_of_equal_penalties_the_strongest_is_taken():
    assert PenaltyChoice.lowest([10.0, 1.0, 0.1], [0.5, 0.3, 0.3], VAL).penalty == 1.0
    assert (np.diff(PENALTIES) < 0).all()


def test_outputs_are_those_of_the_mean_of_the_views():
    model = LinearModel(np.ones((3, 1), np.float32), np.array([0.5]), root=False)
    X = np.array([[[1, 2, 3], [3, 4, 5]]], np.float16)
    assert model.outputs(X).tolist() == [[9.5]]
    rooted = LinearModel(model.kernel, model.bias)
    assert rooted.outputs(X - 3).tolist() == [pytest.approx([0.5 - 1 + 0 + 1])]


def test_another_number_of_features_is_refused():
    model = LinearModel(np.ones((3, 1), np.float32), np.zeros(1))
    with pytest.raises(HeadError, match=r"trained on 3 features a photograph; these have 4\. Make"):
        model.outputs(np.zeros((2, 1, 4), np.float16))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"losses": (1.0,)}, "2 penalties have 1 losses, or 0.1 is none of them"),
        ({"penalty": 5.0}, "2 penalties have 2 losses, or 5 is none of them"),
        ({"penalties": (0.1, -1.0)}, "a penalty is not above 0, or was chosen on 'val'"),
        ({"on": "test"}, "a penalty is not above 0, or was chosen on 'test'"),
        ({"on": "\x1b"}, r"a penalty is not above 0, or was chosen on '\x1b'"),
    ],
)
def test_a_choice_of_a_penalty_that_cannot_be_is_refused(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        replace(PenaltyChoice(0.1, (1.0, 0.1), (3.0, 2.0), VAL), **changes)
