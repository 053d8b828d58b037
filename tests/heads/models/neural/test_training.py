"""The training loop: seeds decide, memory is respected, the history says what happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cache.labels import mean_of_votes
from heads.data.labels import Labels
from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.models.neural.inputs import Photographs, standardiser
from heads.models.neural.network import Network
from heads.models.neural.settings import BLOG, NetworkSettings
from heads.models.neural.tasks import DistributionTask
from heads.models.neural.training import TrainingData, draw_order
from heads.models.registry import make_head
from tests.heads.made import with_budget
from tests.heads.models.neural.trained import QUICK, fitted, predicted, training_data


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
    resolved, targets = settings.resolve(100, (6,)), np.zeros((100, 3), np.float32)
    network = Network.build(DistributionTask(3), targets, resolved, 6, seed=3)
    data = training_data(np.zeros((100, 4, 6), np.float16), targets, resolved)
    rows, photos, kept = draw_order(network, data, 100, np.random.default_rng(0))
    assert sorted(photos.tolist()) == list(range(100))
    np.testing.assert_array_equal(rows // 4, photos)
    assert set((rows % 4).tolist()) == {0, 1, 2, 3}
    inputs, hidden = kept
    assert inputs.shape == (13, 3)
    assert hidden.shape == (13, network.dropouts[1].n_blocks)


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
    streamed, _ = fitted(with_budget(data, data["train"].X.nbytes // 2))
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
    settings = replace(QUICK, batch_size=size).resolve(len(X), (X.shape[2],))
    training = TrainingData(
        photographs, standardiser(photographs, QUICK), targets, settings, memory
    )
    rows = [len(y) for _, y in training.blocks(np.random.default_rng(0))]
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
    head = make_head("emd", settings)
    history = head.fit(train.X, train.labels, val.X, strange, seed=0)
    start = np.cumsum(train.labels.distribution.mean(axis=0) - strange.distribution, axis=1)
    assert min(row["val_loss"] for row in history) > np.mean(start**2)
    assert head.best_epoch_ >= 1
    assert np.std(predicted(head, data).score) > 0.1


def replace_votes(labels: Labels, votes: np.ndarray) -> Labels:
    """Return labels with other votes."""
    return replace(labels, votes=votes, mean=mean_of_votes(votes))


def test_a_loss_that_is_no_longer_finite_is_said_with_a_remedy(
    data: dict[str, SplitData],
) -> None:
    settings = replace(
        QUICK, optimizer="sgd", lr=1e30, schedule="constant", hidden=(4,), dropout=0.0
    )
    with pytest.raises(HeadError, match=r"head emd diverged.*--lr 1e\+30\. Try a tenth"):
        fitted(data, settings)


def test_the_cured_start_beats_the_blogs(data: dict[str, SplitData]) -> None:
    val = data["val"].labels
    floor = np.cumsum(val.distribution - val.distribution.mean(axis=0), axis=1)
    _, history = fitted(data, replace(BLOG, epochs=3))
    _, cured = fitted(data, replace(QUICK, epochs=3))
    assert cured[0]["val_loss"] < np.mean(floor**2)
    assert cured[0]["val_loss"] < history[0]["val_loss"]
