"""The contract suite for heads of one's own: good ones pass it, bad ones are told why not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from heads.data.predictions import Prediction
from heads.models.base import About
from heads.models.registry import HEADS
from heads.testing import check_head
from tests.heads.models.own.heads_of_tests import Forgetful, NearestHead, make_knn

# `pairs` needs groups or comparisons.
DIRECT = [n for n, e in HEADS.items() if not (e.neural or e.about.looks_at_metadata)]
DIRECT.remove("pairs")


@pytest.mark.parametrize("head", [*DIRECT, NearestHead, NearestHead(), make_knn])
def test_our_heads_and_good_ones_pass(head: object) -> None:
    check_head(head)


class OffScale(NearestHead):
    about = About("off-scale", "")

    def predict(self, X: object) -> Prediction:
        right = super().predict(X)
        return Prediction(score=right.score + 9, p_beautiful=right.p_beautiful)


class Careless(NearestHead):
    about = About("careless", "")

    def predict(self, X: object) -> Prediction:
        return super().predict(np.pad(X[:], ((0, 0), (0, 0), (0, 24 - X.shape[2]))))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Forgetful, "it says the same after it was saved and loaded"),
        (OffScale, r"score lies within 1\.\.7"),
        (Careless, "another number of features is refused with a HeadError"),
    ],
)
def test_a_bad_head_is_told_what_was_expected(head: object, said: str) -> None:
    with pytest.raises(AssertionError, match=f"Expected: {said}"):
        check_head(head)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_head_that_learns_nothing_is_told_so() -> None:
    with pytest.raises(AssertionError, match="its SRCC on planted data is above"):
        check_head(DummyRegressor())
