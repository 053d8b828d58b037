"""Labels: what is read off votes and means."""

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cache.errors import LabelError
from cache.types import Scale
from heads.data.predictions import Prediction, predicted_label
from heads.errors import HeadError
from heads.metrics.reliability import ceiling
from tests.heads.made import compared, labels_of_means, labels_of_votes, random_labels


def test_an_exact_tie_with_the_threshold_is_not_beautiful():
    votes = [[1, 0, 1], [0, 3, 0], [1, 0, 2], [2, 0, 1]]
    assert labels_of_votes(votes, threshold="2").beautiful.tolist() == [False, False, True, False]


def test_a_decimal_threshold_is_compared_without_rounding():
    # 21 votes of 2 and 10 * 21 - 21 of 1 give a mean of 1.1, which no float64 is.
    votes = [[189, 21], [188, 22], [190, 20]]
    assert labels_of_votes(votes, threshold="1.1").beautiful.tolist() == [False, True, False]


@given(
    arrays(np.int32, (4, 5), elements=st.integers(1, 1000)),
    st.decimals(1, 5, places=3, allow_nan=False),
)
def test_beautiful_agrees_with_exact_fractions(votes, threshold):
    truth = [
        Fraction(sum(k * int(c) for k, c in enumerate(row, 1)), int(row.sum()))
        > Fraction(str(threshold))
        for row in votes
    ]
    assert labels_of_votes(votes, threshold=str(threshold)).beautiful.tolist() == truth


def test_means_are_compared_with_the_threshold_as_they_were_written():
    labels = labels_of_means([5.1, 5.2, 5.0], threshold="5.1")
    assert labels.beautiful.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "threshold",
    [
        "2.2092391304347827",  # as Python prints it, a little more
        "2.2092391304347826",  # a little less
        "2.209239130434782608695",
        "2.2092391304347826086956521739130434782608695652173913043478",
        "1e-300",
        "9" * 300,
    ],
)
@pytest.mark.parametrize("times", [1, 1000, 2_000_000])
def test_a_threshold_of_any_digits_is_compared_without_bound(threshold, times):
    # Their means are 813 / 368 = 2.20923913043478260869..., a vote less and a vote more.
    votes = [[70, 196, 57, 45], [71, 195, 57, 45], [70, 195, 58, 45]]
    counts = np.array(votes) * times
    truth = [
        Fraction(sum(k * c for k, c in enumerate(row, 1)), sum(row)) > Fraction(threshold)
        for row in counts.tolist()
    ]
    assert labels_of_votes(counts, threshold=threshold).beautiful.tolist() == truth


def test_no_photograph_is_above_any_threshold():
    empty = random_labels(3).take(slice(0, 0))
    for threshold in ("5", "2.2092391304347827", "9" * 30):
        assert replace(empty, threshold=threshold).beautiful.tolist() == []


@pytest.mark.parametrize(
    ("mean", "threshold", "above"),
    [
        (0.1 + 0.2, "0.3", True),
        (0.3, "0.3", False),
        (0.1, "0.1", False),
        (0.7, "0.7", False),
        (2.2092391304347827, "2.2092391304347827", False),
        (2.2092391304347827, "2.20923913043478269999", True),
        (2.2092391304347827, "2.20923913043478270001", False),
        (0.0, "-1e-300", True),
        (0.0, "1e-300", False),
        (5e-324, "4e-324", True),
        (5e-324, "5e-324", False),
        (1.0, "1e399", False),
        (1.0, "-1e398", True),
    ],
)
def test_a_mean_is_compared_as_the_decimal_that_it_prints(mean, threshold, above):
    labels = labels_of_means([mean], threshold, Scale(-1, 1))
    assert labels.beautiful.tolist() == [above]
    prediction = Prediction(np.array([mean]), np.array([0.5]))
    assert predicted_label(prediction, threshold).tolist() == [above]


@given(st.floats(-5, 5), st.decimals(-5, 5, places=17))
def test_means_and_thresholds_agree_with_exact_decimals(mean, threshold):
    for text in (f"{threshold:f}", repr(mean)):
        if "e" not in text:
            labels = labels_of_means([mean], text, Scale(-5, 5))
            assert labels.beautiful.tolist() == [Decimal(repr(mean)) > Decimal(text)]


@pytest.mark.parametrize("size", [1, 10**3, 10**5, 10**7, 49_999_999])
def test_deviations_of_many_votes_are_the_exact_quotient(size):
    votes = np.array([[0, 3, 1, 0, 2, 4, 0, 1, 0, 9], [0, 0, 0, 0, 0, 20, 0, 0, 0, 0]]) * size
    for row, std in zip(votes.tolist(), labels_of_votes(votes).std.tolist(), strict=True):
        n, total = sum(row), sum(k * c for k, c in enumerate(row, 1))
        squares = sum(k * k * c for k, c in enumerate(row, 1))
        assert std == math.sqrt((n * squares - total * total) / n**2)


@pytest.mark.parametrize("row", [[2**31 - 1, 0], [999_999_999, 1], [-1, 3]])
def test_votes_that_nobody_gave_or_that_are_too_many_are_refused(row):
    said = "at most 999,999,999 in all; 'photo1' has " + ", ".join(map(str, row))
    with pytest.raises(LabelError, match=said):
        labels_of_votes([[1, 1], row])


def test_as_many_votes_as_are_taken_have_a_deviation_and_a_ceiling():
    half = 499_999_999
    labels = labels_of_votes([[half, half + 1], [half + 1, half], [half, 0]], threshold="1.5")
    np.testing.assert_allclose(labels.std, [0.5, 0.5, 0], atol=1e-12)
    assert labels.beautiful.tolist() == [True, False, False]
    assert ceiling(labels, seed=0) is not None


def test_distributions_and_deviations_follow_from_the_votes():
    labels = labels_of_votes([[1, 0, 3], [0, 2, 0]])
    np.testing.assert_allclose(labels.distribution, [[0.25, 0, 0.75], [0, 1, 0]])
    np.testing.assert_allclose(labels.std, [np.std([1, 3, 3, 3]), 0], atol=1e-15)
    assert labels.n_votes.tolist() == [4, 2]
    assert labels.levels == 3


def test_labels_with_means_only_have_no_distribution():
    labels = labels_of_means([2.0, 3.0])
    assert labels.levels == 0
    with pytest.raises(HeadError, match=r"has means only.*vote counts r1\.\.rK.*such as ridge"):
        _ = labels.distribution
    with pytest.raises(HeadError, match="has means only"):
        _ = labels.std


def test_taking_rows_takes_every_column():
    labels = random_labels(6, challenge=np.arange(6, dtype=np.int32), group=list("aabbcc"))
    part = labels.take(np.array([4, 1]))
    assert part.image_id.tolist() == ["photo4", "photo1"]
    assert part.group.tolist() == ["c", "a"]
    assert part.challenge.tolist() == [4, 1]
    np.testing.assert_array_equal(part.votes, labels.votes[[4, 1]])
    np.testing.assert_array_equal(part.mean, labels.mean[[4, 1]])
    assert labels_of_means([1, 2, 3]).take(slice(0, 2)).votes is None


@pytest.mark.parametrize(
    "threshold", ["five", "", "1/0", "1/2", "nan", "inf", "5_0", " 5", "５", "5,0", "1e9999"]
)
def test_a_threshold_that_is_no_number_is_refused(threshold):
    with pytest.raises(
        HeadError, match=f"threshold of beautiful is {threshold!r}, expected a decimal number"
    ):
        labels_of_means([1.0, 2.0], threshold=threshold)


def test_a_soft_label_is_the_share_of_votes_above_the_threshold():
    votes = [[1, 2, 3, 4], [0, 0, 0, 5], [2, 2, 0, 0]]
    assert labels_of_votes(votes, threshold="2").share_above.tolist() == [0.7, 1, 0]
    assert labels_of_votes(votes, threshold="2.5").share_above.tolist() == [0.7, 1, 0]
    assert labels_of_votes(votes, threshold="3").share_above.tolist() == [0.4, 1, 0]
    hard = labels_of_votes(votes, threshold="2.5").without_votes()
    assert hard.votes is None
    assert hard.share_above.tolist() == [1, 1, 0]


def test_the_middle_is_the_log_odds_of_a_photograph_whose_mean_is_the_threshold():
    # Of 40 votes so many for 1 and 4: means from 1.3 to 3.7, and 20 votes above at 2.5.
    votes = np.array([[40 - n, 0, 0, n] for n in range(4, 37)])
    assert labels_of_votes(votes, threshold="2.5").middle_logit == pytest.approx(0, abs=1e-9)
    higher = labels_of_votes(votes, threshold="3.25").middle_logit
    assert higher == pytest.approx(np.log(30.5 / 10.5), abs=0.1)
    assert labels_of_votes(votes).without_votes().middle_logit == 0


def test_rows_take_the_comparisons_of_two_of_them_along():
    labels = compared([(0, 1), (3, 1), (3, 4), (4, 3)], 5)
    assert labels.take(np.array([4, 3, 1])).pairs.tolist() == [[1, 2], [1, 0], [0, 1]]
    assert labels.take(slice(0, 2)).pairs.tolist() == [[0, 1]]
    assert labels.take(np.arange(5) == 0).pairs.shape == (0, 2)
    assert random_labels(3).take(slice(2)).pairs is None


def test_tables_below_each_other_keep_their_comparisons():
    one, other = compared([(0, 1)], 2), compared([(2, 0), (1, 2)], 3)
    assert type(one).concat([one, other]).pairs.tolist() == [[0, 1], [4, 2], [3, 4]]
    assert type(one).concat([random_labels(2), random_labels(3)]).pairs is None


def test_photographs_that_were_compared_alone_have_no_means():
    labels = compared([(0, 1)], 2)
    assert labels.pairs_alone
    assert not labels.has_means
    assert not random_labels(2).pairs_alone
