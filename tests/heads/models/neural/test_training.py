"""The training loop: compiled and neutral passes agree, seeds decide, memory is respected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.labels import mean_of_votes
from heads.data.features import StoredRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.data.splits import SplitData, load_splits
from heads.errors import HeadError
from heads.models.neural.dropout import dropouts
from heads.models.neural.epochs import Learner, Pass, neutral_epoch, tensorflow_epoch
from heads.models.neural.head import SEED_STEP, NeuralHead
from heads.models.neural.inputs import Photographs, Standardiser, standardiser
from heads.models.neural.network import LOSSES, Shape, build_body, trained_weights
from heads.models.neural.settings import NetworkSettings, blog, tuned
from heads.models.neural.training import Blocks, Training, draw_pass, make_optimizer

QUICK = replace(
    tuned("emd"), hidden=(), input_dropout=0.2, batch_size=32, epochs=6, cross_entropy=0.0
)


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
) -> tuple[NeuralHead, list[dict[str, float]]]:
    """Train a head on a planted cache."""
    head = NeuralHead(name, settings)
    train, val = data["train"], data["val"]
    return head, head.fit(train.X, train.labels, val.X, val.labels, seed=seed)


def predicted(head: NeuralHead, data: dict[str, SplitData]) -> Prediction:
    """Predict test."""
    return head.predict(data["test"].X)


def learner(settings: NetworkSettings, n: int, n_features: int) -> Learner:
    """Return a learner of three outputs, random start."""
    body = build_body(replace(settings, start="random"), Shape(n_features, 3, "softmax"), seed=3)
    optimizer = make_optimizer(settings, n)
    optimizer.build(body.trainable_variables)
    return Learner(body, optimizer, LOSSES["emd"], dropouts(settings, n_features), settings)


def training(X: np.ndarray, targets: np.ndarray, *, mean_only: bool = False) -> Training:
    """Return a training whose figures nobody looks at."""
    photographs = Photographs(X, mean_only=mean_only)
    scaler = Standardiser.identity(X.shape[2])
    return Training(photographs, scaler, targets, 10**9, on_train=dict, on_val=dict, label="emd")


@pytest.mark.parametrize(("optimizer", "n_views"), [("adamw", 3), ("adam", 1), ("sgd", 1)])
def test_the_compiled_pass_equals_the_neutral_one(optimizer: str, n_views: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((50, n_views, 6)).astype(np.float16)
    targets = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    settings = NetworkSettings(
        optimizer=optimizer, lr=0.01, batch_size=16, input_dropout=0.5, l2=0.05
    )
    settings = replace(settings, hidden=(8, 4), dropout=0.5, precision="float32")
    weights = []
    for make in (tensorflow_epoch, neutral_epoch):
        student = learner(settings, 50, 6)
        epoch, order = make(student), np.random.default_rng(1)
        whole = training(X, targets)
        for _ in range(3):
            epoch(whole.photographs.whole(), targets, draw_pass(student, whole, 50, order))
        weights.append(trained_weights(student.body))
    start = trained_weights(learner(settings, 50, 6).body)
    for compiled, neutral, first in zip(*weights, start, strict=True):
        np.testing.assert_allclose(compiled, neutral, atol=2e-6)
        assert np.abs(compiled - first).max() > 1e-3


def test_bfloat16_learns_what_float32_does_to_its_digits(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, hidden=(8,), dropout=0.5)
    heads = [fitted(data, replace(settings, precision=name))[0] for name in ("float32", "bfloat16")]
    full, reduced = (predicted(head, data).score for head in heads)
    assert not np.array_equal(full, reduced)
    assert np.abs(reduced - full).mean() < 0.1 * np.std(full)
    assert np.corrcoef(reduced, full)[0, 1] > 0.999
    assert [head.state()[1]["precision"] for head in heads] == ["float32", "bfloat16"]
    assert {str(weight.dtype) for weight in heads[1].model_.get_weights()} == {"float32"}


def test_a_pass_sees_every_photograph_once_in_a_random_view() -> None:
    settings = NetworkSettings(batch_size=8, lr=0.1, input_dropout=0.5, dropout=0.0, epochs=1)
    student = learner(settings, 100, 6)
    whole = training(np.zeros((100, 4, 6), np.float16), np.zeros((100, 3), np.float32))
    order: Pass = draw_pass(student, whole, 100, np.random.default_rng(0))
    assert sorted(order.photos.tolist()) == list(range(100))
    np.testing.assert_array_equal(order.rows // 4, order.photos)
    assert set((order.rows % 4).tolist()) == {0, 1, 2, 3}
    inputs, hidden = order.kept
    assert inputs.shape == (13, 3)
    assert hidden.shape == (13, student.dropouts[1].n_blocks)


def test_the_same_seed_gives_the_same_numbers_and_another_others(
    data: dict[str, SplitData],
) -> None:
    settings = replace(QUICK, hidden=(8,), dropout=0.3)
    runs = [fitted(data, settings, seed=seed) for seed in (1, 1, 2)]
    assert runs[0][1] == runs[1][1]
    scores = [predicted(head, data).score for head, _ in runs]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_features_beyond_the_memory_stream_to_a_like_result(data: dict[str, SplitData]) -> None:
    resident, _ = fitted(data)
    X = data["train"].X
    tight = StoredRows(X[:], memory_bytes=X.nbytes // 2)
    streamed, _ = fitted(data | {"train": replace(data["train"], X=tight)})
    a, b = predicted(resident, data).score, predicted(streamed, data).score
    assert not np.array_equal(a, b)
    assert np.corrcoef(a, b)[0, 1] > 0.99


@pytest.mark.parametrize("budget", [1, 130, 517, 2000])
def test_streamed_blocks_make_as_many_steps_as_the_schedule_counts(
    data: dict[str, SplitData], budget: int
) -> None:
    X, size = data["train"].X, 7
    photographs = Photographs(X, mean_only=False)
    targets = np.zeros((len(X), 1), np.float32)
    memory = budget * photographs.nbytes // len(X)
    scaler = standardiser(photographs, QUICK)
    training = Training(photographs, scaler, targets, memory, dict, dict, "emd")
    with Blocks(training, size, "float32") as blocks:
        rows = [len(y) for _, y in blocks.shuffled(np.random.default_rng(0))]
    assert sum(rows) == len(X)
    assert sum(-(-n // size) for n in rows) == -(-len(X) // size)


def test_the_history_has_a_row_an_epoch_with_both_splits(data: dict[str, SplitData]) -> None:
    head, history = fitted(data)
    names = ["epoch"]
    names += [f"{split}_{x}" for x in ("loss", "mse", "emd_r2") for split in ("train", "val")]
    assert [list(row) for row in history] == [names] * len(history)
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert head.best_epoch_ == len(history) == QUICK.epochs


def test_training_stops_early_and_keeps_the_best_epoch(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, lr=0.05, schedule="constant", epochs=50, patience=3)
    head, history = fitted(data, settings)
    assert 0 < head.best_epoch_ == len(history) - 3
    val = data["val"]
    gap = np.cumsum(head.predict(val.X).distribution - val.labels.distribution, axis=1)
    best = min(row["val_loss"] for row in history)
    assert np.mean(gap**2) == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("patience", [None, 1])
def test_a_head_that_never_beats_its_start_is_not_published_as_the_constant(
    data: dict[str, SplitData], patience: int | None
) -> None:
    train, val = data["train"], data["val"]
    strange = replace_votes(val.labels, val.labels.votes[:, ::-1])
    settings = replace(QUICK, patience=patience)
    head = NeuralHead("emd", settings)
    history = head.fit(train.X, train.labels, val.X, strange, seed=0)
    start = np.cumsum(train.labels.distribution.mean(axis=0) - strange.distribution, axis=1)
    assert min(row["val_loss"] for row in history) > np.mean(start**2)
    assert head.best_epoch_ >= 1
    assert np.std(predicted(head, data).score) > 0.1


def replace_votes(labels: Labels, votes: np.ndarray) -> Labels:
    """Return labels with other votes."""
    return replace(labels, votes=votes, mean=mean_of_votes(votes))


def test_an_ensemble_is_the_mean_of_networks_that_differ(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, hidden=(4,), dropout=0.0, epochs=2, ensemble=1)
    first, _ = fitted(data, settings)
    both, history = fitted(data, replace(settings, ensemble=2))
    second, _ = fitted(data, settings, seed=SEED_STEP)
    means = (predicted(first, data).distribution + predicted(second, data).distribution) / 2
    np.testing.assert_allclose(predicted(both, data).distribution, means, rtol=1e-4)
    assert len(history) == 2
    assert not np.array_equal(predicted(first, data).score, predicted(second, data).score)


def test_layers_of_other_widths_than_the_features_are_refused(data: dict[str, SplitData]) -> None:
    with pytest.raises(HeadError, match=r"widths \[5, 6\] sum to 11.*32 features\. Leave"):
        fitted(data, replace(QUICK, layer_widths=(5, 6)))


def test_a_loss_that_is_no_longer_finite_is_said_with_a_remedy(
    data: dict[str, SplitData],
) -> None:
    settings = replace(
        QUICK, optimizer="sgd", lr=1e30, schedule="constant", hidden=(4,), dropout=0.0
    )
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
    _, cured = fitted(data, replace(QUICK, epochs=3))
    assert cured[0]["val_loss"] < np.mean(floor**2)
    assert cured[0]["val_loss"] < history[0]["val_loss"]


@pytest.mark.parametrize("name", ["emd", "binary"])
def test_the_blogs_settings_train_and_have_no_standardisation_inside(
    data: dict[str, SplitData], name: str
) -> None:
    head, _ = fitted(data, replace(blog(name), epochs=3), name)
    assert [layer.__class__.__name__ for layer in head.model_.layers] == ["InputLayer", "Dense"]


def test_too_few_photographs_are_refused(data: dict[str, SplitData]) -> None:
    train, val = data["train"], data["val"]
    one, none = train.labels.take(slice(1)), val.labels.take(slice(0))
    with pytest.raises(HeadError, match="emd has 1 training photographs"):
        NeuralHead("emd", QUICK).fit(train.X[:1], one, val.X, val.labels, seed=0)
    with pytest.raises(HeadError, match=r"emd has 0 validation photographs\. Extract a val"):
        NeuralHead("emd", QUICK).fit(train.X, train.labels, val.X[:0], none, seed=0)
