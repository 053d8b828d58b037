"""The training loop: compiled and neutral passes agree, seeds decide, memory is respected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import HeadError
from heads.dataset import SplitData, load_splits
from heads.networks import LOSSES, Shape, build_body
from heads.neural import NeuralHead
from heads.photographs import Photographs, Standardiser
from heads.settings import NetworkSettings, blog, tuned
from heads.targets import Prediction
from heads.trainer import (
    Learner,
    Pass,
    Training,
    draw_pass,
    make_optimizer,
    neutral_epoch,
    tensorflow_epoch,
)

QUICK = replace(tuned("emd"), epochs=6)


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


@pytest.fixture(scope="module")
def data7(planted7: Path) -> dict[str, SplitData]:
    return load_splits(planted7)


def fitted(
    data: dict[str, SplitData],
    settings: NetworkSettings = QUICK,
    name: str = "emd",
    seed: int = 0,
    memory_bytes: int | None = None,
) -> tuple[NeuralHead, list[dict[str, float]]]:
    """Train a head on a planted cache."""
    head = NeuralHead(name, settings, memory_bytes)
    train, val = data["train"], data["val"]
    return head, head.fit(train.X, train.labels, val.X, val.labels, seed=seed)


def predicted(head: NeuralHead, data: dict[str, SplitData]) -> Prediction:
    """Predict test."""
    return head.predict(data["test"].X)


def learner(settings: NetworkSettings, n: int, n_features: int) -> Learner:
    """Return a learner of three outputs, random start."""
    body = build_body(replace(settings, start="random"), Shape(n_features, 3, "softmax"), seed=3)
    rng = np.random.default_rng(5)
    scaler = Standardiser(
        rng.random(n_features, np.float32), rng.random(n_features, np.float32) + 1
    )
    optimizer = make_optimizer(settings, n)
    optimizer.build(body.trainable_variables)
    return Learner(body, optimizer, LOSSES["emd"], scaler, settings)


def training(X: np.ndarray, targets: np.ndarray, *, mean_only: bool = False) -> Training:
    """Return a training whose figures nobody looks at."""
    photographs = Photographs(X, mean_only=mean_only)
    return Training(photographs, targets, 10**9, on_train=dict, on_val=dict, label="emd")


@pytest.mark.parametrize(("optimizer", "n_views"), [("adamw", 3), ("adam", 1), ("sgd", 1)])
def test_the_compiled_pass_equals_the_neutral_one(optimizer: str, n_views: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((50, n_views, 6)).astype(np.float16)
    targets = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    settings = NetworkSettings(
        optimizer=optimizer, lr=0.01, batch_size=16, input_dropout=0.5, l2=0.05, hidden=(4,)
    )
    weights = []
    for make in (tensorflow_epoch, neutral_epoch):
        student = learner(settings, 50, 6)
        epoch, order = make(student), np.random.default_rng(1)
        whole = training(X, targets)
        for _ in range(3):
            epoch(whole.photographs.whole(), targets, draw_pass(student, whole, 50, order))
        weights.append(student.body.get_weights())
    start = learner(settings, 50, 6).body.get_weights()
    for compiled, neutral, first in zip(*weights, start, strict=True):
        np.testing.assert_allclose(compiled, neutral, atol=2e-6)
        assert np.abs(compiled - first).max() > 1e-3


def test_a_pass_sees_every_photograph_once_in_a_random_view() -> None:
    settings = NetworkSettings(batch_size=8, lr=0.1, input_dropout=0.25)
    student = learner(settings, 100, 6)
    whole = training(np.zeros((100, 4, 6), np.float16), np.zeros((100, 3), np.float32))
    order: Pass = draw_pass(student, whole, 100, np.random.default_rng(0))
    assert sorted(order.photos.tolist()) == list(range(100))
    np.testing.assert_array_equal(order.rows // 4, order.photos)
    assert set((order.rows % 4).tolist()) == {0, 1, 2, 3}
    assert set(np.unique(order.pool).tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert len(order.offsets) == 13
    assert order.offsets.max() + 8 * 6 <= len(order.pool)


def test_the_same_seed_gives_the_same_numbers_and_another_others(
    data: dict[str, SplitData],
) -> None:
    settings = replace(QUICK, hidden=(8,), dropout=0.3, input_dropout=0.3)
    runs = [fitted(data, settings, seed=seed) for seed in (1, 1, 2)]
    assert runs[0][1] == runs[1][1]
    scores = [predicted(head, data).score for head, _ in runs]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_features_beyond_the_memory_stream_to_a_like_result(data: dict[str, SplitData]) -> None:
    resident, _ = fitted(data)
    streamed, _ = fitted(data, memory_bytes=data["train"].X.nbytes // 2)
    a, b = predicted(resident, data).score, predicted(streamed, data).score
    assert not np.array_equal(a, b)
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_the_history_has_a_row_an_epoch_with_both_splits(data: dict[str, SplitData]) -> None:
    head, history = fitted(data)
    names = ["epoch"]
    names += [f"{split}_{x}" for x in ("loss", "mse", "emd_r2") for split in ("train", "val")]
    assert [list(row) for row in history] == [names] * len(history)
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    best = min(history, key=lambda row: row["val_loss"])
    assert head.best_epoch_ == best["epoch"]


def test_training_stops_early_and_keeps_the_best_epoch(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, lr=0.05, schedule="constant", epochs=50, patience=3)
    head, history = fitted(data, settings)
    assert 0 < head.best_epoch_ == len(history) - 3
    val = data["val"]
    gap = np.cumsum(head.predict(val.X).distribution - val.labels.distribution, axis=1)
    best = min(row["val_loss"] for row in history)
    assert np.mean(gap**2) == pytest.approx(best, rel=1e-4)


def test_a_head_that_never_improves_stays_at_its_start(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, lr=100.0, schedule="constant", epochs=3)
    head, _ = fitted(data, settings)
    assert head.best_epoch_ == 0
    mean = data["train"].labels.distribution.mean(axis=0)
    np.testing.assert_allclose(predicted(head, data).distribution[0], mean, atol=2e-4)


def test_a_loss_that_is_no_longer_finite_is_said_with_a_remedy(
    data: dict[str, SplitData],
) -> None:
    settings = replace(QUICK, optimizer="sgd", lr=1e30, schedule="constant", hidden=(4,))
    with pytest.raises(HeadError, match=r"head emd diverged.*--lr 1e\+30\. Try a tenth"):
        fitted(data, settings)


def test_random_views_and_their_mean_both_learn(data7: dict[str, SplitData]) -> None:
    scores = []
    for views in ("random", "mean"):
        head, _ = fitted(data7, replace(QUICK, views=views, epochs=15))
        scores.append(predicted(head, data7).score)
        assert np.corrcoef(scores[-1], data7["test"].labels.mean)[0, 1] > 0.8
    assert not np.array_equal(*scores)


def test_the_cured_start_beats_the_blogs(data: dict[str, SplitData]) -> None:
    val = data["val"].labels
    floor = np.cumsum(val.distribution - val.distribution.mean(axis=0), axis=1)
    _, history = fitted(data, replace(blog("emd"), epochs=3))
    _, cured = fitted(data, replace(tuned("emd"), epochs=3))
    assert cured[0]["val_loss"] < np.mean(floor**2)
    assert cured[0]["val_loss"] < history[0]["val_loss"]


@pytest.mark.parametrize("name", ["emd", "binary"])
def test_the_blogs_settings_train_and_have_no_standardisation_inside(
    data: dict[str, SplitData], name: str
) -> None:
    head, _ = fitted(data, replace(blog(name), epochs=3), name)
    assert [layer.__class__.__name__ for layer in head.model_.layers] == ["Dense"]


def test_too_few_photographs_are_refused(data: dict[str, SplitData]) -> None:
    train, val = data["train"], data["val"]
    one, none = train.labels.take(slice(1)), val.labels.take(slice(0))
    with pytest.raises(HeadError, match="emd has 1 training photographs"):
        NeuralHead("emd", QUICK).fit(train.X[:1], one, val.X, val.labels, seed=0)
    with pytest.raises(HeadError, match=r"emd has 0 validation photographs\. Extract a val"):
        NeuralHead("emd", QUICK).fit(train.X, train.labels, val.X[:0], none, seed=0)
