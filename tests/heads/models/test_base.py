"""What every head asks of its photographs before it learns."""

from __future__ import annotations

import pytest

from cache.types import Scale
from heads.errors import HeadError
from heads.models.base import need_means, need_photographs, suits
from heads.models.registry import HEADS
from tests.heads.made import compared, labels_of_means, random_labels


def test_two_photographs_of_train_and_one_of_val_suffice() -> None:
    need_photographs(HEADS["emd"].about, random_labels(2))
    need_photographs(HEADS["emd"].about, random_labels(2), random_labels(1))


def test_too_few_photographs_are_refused_with_a_remedy() -> None:
    with pytest.raises(
        HeadError, match=r"emd needs at least 2 training photographs; got 1\..*--limit"
    ):
        need_photographs(HEADS["emd"].about, random_labels(1))
    with pytest.raises(HeadError, match=r"emd chooses or calibrates .*none\. .*--val-fraction"):
        need_photographs(HEADS["emd"].about, random_labels(2), random_labels(2).take(slice(0)))


def test_labels_of_0_and_1_suit_heads_of_labels_alone() -> None:
    picked = labels_of_means([0, 1, 1], "0.5", Scale(0, 1))
    means = labels_of_means([0, 0.5, 1], "0.5", Scale(0, 1))
    suiting = {name for name, entry in HEADS.items() if suits(entry.about, picked)}
    assert suiting == {"constant", "logistic", "binary", "pairs"}
    assert suits(HEADS["ridge"].about, means)
    need_means(HEADS["ridge"].about, means)
    with pytest.raises(HeadError) as caught:
        need_means(HEADS["ridge"].about, picked)
    assert str(caught.value) == (
        "The head ridge learns mean scores, and the labels are 0 or 1. Train logistic, binary or "
        "a classifier of your own."
    )
    with pytest.raises(HeadError, match=r"are 0 or 1, and distributions .* use logistic or binary"):
        picked.need_votes()


def test_comparisons_alone_suit_the_head_of_pairs_and_the_floor() -> None:
    labels = compared([(0, 1), (1, 2)], 3)
    assert {name for name, entry in HEADS.items() if suits(entry.about, labels)} == {
        "constant",
        "pairs",
    }
    need_photographs(HEADS["pairs"].about, labels)
    with pytest.raises(HeadError) as caught:
        need_photographs(HEADS["ridge"].about, labels)
    assert str(caught.value) == (
        "The head ridge learns votes, means or labels, and of these photographs there are "
        "comparisons alone. Train pairs."
    )
