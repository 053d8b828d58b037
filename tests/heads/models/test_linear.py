"""Ridge for all penalties at once, against scikit-learn and the normal equations."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from heads.errors import HeadError
from heads.models.linear import PENALTIES, LinearModel, PenaltyChoice, choose_ridge, ridge_path

SOME = np.array([10.0, 0.1, 1e-3])


def data(n: int, width: int = 15, outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((width, width))
    X = (3 + rng.standard_normal((n, 1, width)) @ mixed * rng.gamma(1, 1, width)).astype(np.float32)
    return X, X[:, 0, :outputs] * 0.1 + rng.standard_normal((n, outputs))


@pytest.mark.parametrize("n", [400, 15, 9])
def test_every_penalty_agrees_with_scikit_learn(n):
    X, targets = data(n)
    standard = StandardScaler().fit_transform(X[:, 0].astype(np.float64))
    for penalty, model in zip(SOME, ridge_path(X, targets, SOME), strict=True):
        theirs = Ridge(alpha=n * penalty, solver="svd").fit(standard, targets)
        np.testing.assert_allclose(model.outputs(X), theirs.predict(standard), atol=2e-4)


def test_a_path_solves_the_normal_equations():
    X, targets = data(50)
    Z = X[:, 0].astype(np.float64)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    (model,) = ridge_path(X, targets, np.array([0.2]))
    normal = Z.T @ Z + 50 * 0.2 * np.eye(15)
    solution = np.linalg.solve(normal, Z.T @ (targets - targets.mean(axis=0)))
    np.testing.assert_allclose(model.outputs(X), Z @ solution + targets.mean(axis=0), atol=1e-4)


def test_blocks_give_what_one_piece_gives(monkeypatch):
    X, targets = data(200)
    (whole,) = ridge_path(X, targets, np.array([0.1]))
    monkeypatch.setattr("heads.data.features.BLOCK_BYTES", 4 * 15 * 7)
    (blocks,) = ridge_path(X, targets, np.array([0.1]))
    np.testing.assert_allclose(blocks.outputs(X), whole.outputs(X), atol=1e-4)


@pytest.mark.parametrize("n", [100, 8])
def test_a_constant_feature_is_left_out_even_where_it_changes_later(n):
    X, targets = data(n)
    X[:, :, 3] = 2.3
    for model in ridge_path(X, targets, SOME):
        assert (model.kernel[3] == 0).all()
    changed = X.copy()
    changed[:, :, 3] = 5
    np.testing.assert_allclose(model.outputs(changed), model.outputs(X), atol=1e-6)


def test_a_far_mean_does_not_cost_digits():
    X, targets = data(300)
    moved = (X + np.float32(1000)).astype(np.float32)
    (near,) = ridge_path(moved - np.float32(1000), targets, np.array([0.1]))
    (far,) = ridge_path(moved, targets, np.array([0.1]))
    np.testing.assert_allclose(
        far.outputs(moved), near.outputs(moved - np.float32(1000)), atol=2e-3
    )


def test_the_penalty_with_the_lowest_validation_loss_is_kept():
    X, targets = data(60, outputs=1)
    X_val, targets_val = data(40, outputs=1)

    def loss(outputs: np.ndarray) -> float:
        return float(np.mean((outputs - targets_val) ** 2))

    model, choice = choose_ridge(X, targets, X_val, loss)
    each = [loss(m.outputs(X_val)) for m in ridge_path(X, targets, PENALTIES)]
    np.testing.assert_allclose(choice.val_losses, each, rtol=1e-5)
    assert choice.penalty == PENALTIES[np.argmin(each)]
    assert loss(model.outputs(X_val)) == pytest.approx(min(each), rel=1e-5)


def test_of_equal_penalties_the_strongest_is_taken():
    assert PenaltyChoice.lowest([10.0, 1.0, 0.1], [0.5, 0.3, 0.3]).penalty == 1.0
    assert (np.diff(PENALTIES) < 0).all()


def test_outputs_are_those_of_the_mean_of_the_views():
    model = LinearModel(np.ones((3, 1), np.float32), np.array([0.5]))
    X = np.array([[[1, 2, 3], [3, 4, 5]]], np.float16)
    assert model.outputs(X).tolist() == [[9.5]]


def test_another_number_of_features_is_refused():
    model = LinearModel(np.ones((3, 1), np.float32), np.zeros(1))
    with pytest.raises(
        HeadError, match=r"trained on 3 features a photograph; these have 4\. Extra"
    ):
        model.outputs(np.zeros((2, 1, 4), np.float16))
