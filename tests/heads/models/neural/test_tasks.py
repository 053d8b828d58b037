"""Targets of the neural heads, and scores from their outputs."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from cache.types import Scale
from heads.data.labels import Labels
from heads.errors import HeadError
from heads.models.neural.tasks import (
    BeautifulTask,
    ColumnsTask,
    DistributionTask,
    SignedMeanTask,
    Task,
    UnitMeanTask,
)
from tests.heads.made import labels_of_means, labels_of_votes

TASKS: dict[str, type[Task]] = {
    "emd": DistributionTask,
    "sigmoid": UnitMeanTask,
    "tanh": SignedMeanTask,
    "binary": BeautifulTask,
    "columns": ColumnsTask,
}
VOTES = np.array([[4, 0, 0], [1, 2, 1], [0, 0, 8]], np.int32)


def labels_of(votes: np.ndarray) -> Labels:
    """Return labels on 1..K, beautiful above 2."""
    return labels_of_votes(votes, threshold="2")


def means_only(mean: list[float]) -> Labels:
    """Return mean-only labels on 0..10."""
    return labels_of_means(mean, scale=Scale(0, 10))


def learned(head: str) -> tuple[Task, Labels]:
    """Return a head's task as learned from VOTES."""
    labels = labels_of(VOTES)
    return TASKS[head].learn(labels), labels


@pytest.mark.parametrize("head", ["emd", "sigmoid", "tanh", "columns"])
def test_perfect_outputs_give_the_true_means(head: str) -> None:
    task, labels = learned(head)
    decoded = task.decode(task.encode(labels).astype(np.float64), np)
    np.testing.assert_allclose(decoded["score"], labels.mean, rtol=1e-6)


@pytest.mark.parametrize("head", ["emd", "columns"])
def test_perfect_outputs_give_the_true_distributions(head: str) -> None:
    task, labels = learned(head)
    decoded = task.decode(task.encode(labels).astype(np.float64), np)
    np.testing.assert_allclose(decoded["distribution"], labels.distribution, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "activate"),
    [
        ("emd", lambda x: np.exp(x) / np.exp(x).sum()),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("binary", lambda x: 1 / (1 + np.exp(-x))),
        ("columns", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_the_start_bias_alone_gives_the_mean_target(head: str, activate) -> None:  # type: ignore[no-untyped-def]
    task, labels = learned(head)
    targets = task.encode(labels)
    np.testing.assert_allclose(activate(task.start_bias(targets)), targets.mean(0), atol=2e-4)


@pytest.mark.parametrize("head", list(TASKS))
def test_a_start_bias_is_finite_at_the_end_of_the_range(head: str) -> None:
    labels = labels_of(np.array([[0, 0, 5], [0, 0, 5]], np.int32))
    task = TASKS[head].learn(labels)
    assert np.isfinite(task.start_bias(task.encode(labels))).all()


@pytest.mark.parametrize("head", list(TASKS))
def test_a_task_is_restored_from_its_values(head: str) -> None:
    task, _ = learned(head)
    assert type(task)(**json.loads(json.dumps(asdict(task)))) == task


def test_tanh_scores_are_stretched_to_the_training_means_and_clipped() -> None:
    labels = means_only([2.0, 4.0, 8.0])
    task = TASKS["tanh"].learn(labels).stretched(np.array([[-0.1], [0.1], [0.3]]))
    scores = task.decode(np.array([[-0.1], [0.1], [0.3], [0.9], [-0.9]]), np)["score"]
    np.testing.assert_allclose(scores, [2, 5, 8, 8, 2])


def test_tanh_outputs_that_are_all_equal_score_the_training_mean() -> None:
    labels = means_only([2.0, 8.0])
    task = TASKS["tanh"].learn(labels).stretched(np.array([[0.2], [0.2]]))
    np.testing.assert_array_equal(task.decode(np.array([[0.2]]), np)["score"], [5.0])


def test_columns_without_any_count_give_an_even_distribution() -> None:
    task, _ = learned("columns")
    decoded = task.decode(np.zeros((1, 3)), np)
    np.testing.assert_allclose(decoded["distribution"], [[1 / 3] * 3])
    assert decoded["score"] == pytest.approx([2.0])


def test_a_rating_that_never_varies_keeps_its_count() -> None:
    task = TASKS["columns"].learn(labels_of(np.array([[3, 0], [3, 9]], np.int32)))
    decoded = task.decode(np.array([[0.7, 1.0]]), np)
    np.testing.assert_allclose(decoded["distribution"], [[3 / 12, 9 / 12]])


def test_binary_targets_are_shares_of_votes_above_the_threshold_and_log_odds_come_back() -> None:
    task, labels = learned("binary")
    np.testing.assert_allclose(task.encode(labels)[:, 0], labels.share_above, rtol=1e-6)
    np.testing.assert_array_equal(task.encode(labels.without_votes())[:, 0], [0, 0, 1])
    assert task.about.ranking_only
    odds = task.decode(np.array([[0.0], [0.5], [0.75], [1.0]]), np)["score"]
    np.testing.assert_allclose(odds, [np.log(1e-6), 0, np.log(3), -np.log(1e-6)], rtol=1e-5)
    assert task.middle == labels.middle_logit


@pytest.mark.parametrize("head", ["emd", "columns"])
def test_heads_of_votes_refuse_mean_only_labels_in_clear_words(head: str) -> None:
    with pytest.raises(HeadError, match=r"means only.*vote counts"):
        TASKS[head].learn(means_only([1.0, 2.0]))


def test_tensors_without_range_or_count_are_decoded_as_arrays_are() -> None:
    ops = pytest.importorskip("keras").ops
    flat = SignedMeanTask.learn(means_only([2.0, 8.0])).stretched(np.array([[0.2], [0.2]]))
    for task, outputs in ((flat, [[0.2]]), (ColumnsTask((0, 0, 0), (4, 4, 9)), [[0.0] * 3])):
        arrays = task.decode(np.array(outputs), np)
        tensors = task.decode(ops.convert_to_tensor(np.array(outputs, np.float32)), ops)
        for part, values in arrays.items():
            np.testing.assert_allclose(ops.convert_to_numpy(tensors[part]), values, rtol=1e-6)
