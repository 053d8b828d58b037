"""Floors that know what lists of photographs say, on labels that follow from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from heads.data.labels import Labels
from heads.data.metadata import BYTES, CHALLENGE, COLUMNS, HEIGHT, TAGS, WIDTH
from heads.errors import UnsuitableLabelsError
from heads.models.metadata import ChallengeMeanHead, MetadataHead, shrinkage
from tests.heads.made import labels_of_means, labels_of_votes

SIZES = {WIDTH: 640.0, HEIGHT: 480.0, BYTES: 100_000.0}


def metadata(n: int, **columns: object) -> np.ndarray:
    """Return (n, 1, 6) metadata of equal photographs, but for the columns that are given."""
    known = np.zeros((n, 1, COLUMNS))
    places = {"width": WIDTH, "height": HEIGHT, "bytes": BYTES, "tag": TAGS.start}
    for column, value in SIZES.items():
        known[:, 0, column] = value
    for name, values in columns.items():
        known[:, 0, places.get(name, CHALLENGE)] = values
    return known


def fitted(head: MetadataHead | ChallengeMeanHead, X: np.ndarray, labels: Labels) -> np.ndarray:
    """Fit and return the scores of the same photographs."""
    head.fit(X, labels, X, labels, seed=0)
    return head.predict(X).score


@pytest.mark.parametrize("column", ["width", "height", "bytes"])
def test_metadata_ranks_by_size_shape_and_bytes(column: str) -> None:
    values = np.random.default_rng(0).uniform(300, 3000, 200)
    score = fitted(MetadataHead(), metadata(200, **{column: values}), labels_of_means(values / 300))
    assert spearmanr(score, values).statistic > 0.99


def test_metadata_knows_tags_and_says_nothing_for_those_that_train_lacks() -> None:
    tag = np.arange(200) % 4
    X, head = metadata(200, tag=tag), MetadataHead()
    score = fitted(head, X, labels_of_means(4 + 2.0 * (tag == 3)))
    np.testing.assert_allclose(score, 4 + 2 * (tag == 3), atol=0.02)
    assert head.tags_.tolist() == [1, 2, 3]
    strange, untagged = head.predict(metadata(2, tag=[9, 0])).score
    assert strange == untagged


def test_metadata_that_never_differs_gives_the_mean() -> None:
    score = fitted(MetadataHead(), metadata(5), labels_of_means([1.0, 2, 3, 4, 5]))
    np.testing.assert_allclose(score, 3)


@pytest.mark.parametrize("column", ["width", "height", "bytes"])
def test_metadata_steps_aside_where_the_cache_does_not_hold_it(column: str) -> None:
    labels, head = labels_of_means(np.linspace(1, 9, 20)), MetadataHead()
    X, lacking = metadata(20), metadata(20, **{column: np.arange(20)})
    words = r"head metadata is not possible: .* no width, height or bytes of 1 of 20 photographs"
    with pytest.raises(UnsuitableLabelsError, match=words):
        fitted(head, lacking, labels)
    fitted(head, X, labels)
    with pytest.raises(UnsuitableLabelsError, match=words):
        head.predict(lacking)


# --- the mean of the challenge --------------------------------------------------------------------

CHALLENGES = np.array([7, 7, 7, 7, 20, 20, 20, 3, 3])
VOTES = np.array([[1, 2, 9], [2, 1, 9], [0, 4, 8], [1, 1, 10], [9, 2, 1], [8, 4, 0], [9, 1, 2]])
VOTES = np.vstack([VOTES, [[4, 4, 4], [5, 3, 4]]])


def by_hand(values: np.ndarray) -> np.ndarray:
    """Return each challenge's average of values (9,), shrunk, as the formulas are written."""
    groups = [values[c == CHALLENGES] for c in (3, 7, 20)]
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (9 - 3)
    among = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups) / (3 - 1)
    between = (among - within) / ((9 - (4 + 16 + 9) / 9) / (3 - 1))
    return np.array([len(g) / (len(g) + within / between) for g in groups])


def test_a_challenge_is_believed_by_its_size_and_by_how_much_challenges_differ() -> None:
    labels = labels_of_votes(VOTES, "2")
    number = np.searchsorted([3, 7, 20], CHALLENGES)
    weight = shrinkage(labels.mean, number)
    np.testing.assert_allclose(weight, by_hand(labels.mean))
    assert 0 < weight[0] < weight[2] < weight[1] < 1


def test_shrinkage_finds_the_variances_that_values_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(2000), rng.integers(1, 20, 2000))
    values = rng.normal(5, 0.6, 2000)[number] + rng.normal(0, 1.5, len(number))
    sizes = np.bincount(number)
    expected = sizes / (sizes + 1.5**2 / 0.6**2)
    np.testing.assert_allclose(shrinkage(values, number), expected, atol=0.03)


@pytest.mark.parametrize(
    ("values", "number"),
    [([1.0, 2, 3], [0, 0, 0]), ([1.0, 2, 3], [0, 1, 2]), ([1.0, 9, 9, 1], [0, 0, 1, 1])],
)
def test_nothing_is_believed_where_challenges_do_not_differ_or_it_cannot_be_told(
    values: list[float], number: list[int]
) -> None:
    assert (shrinkage(np.array(values), np.array(number)) == 0).all()


def test_everything_is_believed_where_a_challenge_is_of_one_mind() -> None:
    assert (shrinkage(np.array([1.0, 1, 9, 9]), np.array([0, 0, 1, 1])) == 1).all()


def test_a_photograph_gets_the_mean_of_its_challenge_and_strange_ones_that_of_all() -> None:
    labels, head = labels_of_votes(VOTES, "2"), ChallengeMeanHead()
    fitted(head, metadata(9, challenge=CHALLENGES), labels)
    asked = head.predict(metadata(5, challenge=[20, 3, 0, 8, 999]))
    overall, weight = labels.mean.mean(), by_hand(labels.mean)
    of_20, of_3 = labels.mean[4:7].mean(), labels.mean[7:].mean()
    expected = [overall + weight[2] * (of_20 - overall), overall + weight[0] * (of_3 - overall)]
    np.testing.assert_allclose(asked.score, [*expected, overall, overall, overall])
    assert asked.distribution is not None
    np.testing.assert_allclose(asked.distribution @ [1, 2, 3], asked.score)
    np.testing.assert_allclose(asked.distribution.sum(axis=1), 1)
    assert asked.p_beautiful[0] < asked.p_beautiful[2] == pytest.approx(labels.beautiful.mean())
    assert asked.label_by_p


def test_photographs_of_no_challenge_count_for_the_mean_of_all_alone() -> None:
    known, head = np.array([1, 1, 2, 2, 0, 0]), ChallengeMeanHead()
    fitted(head, metadata(6, challenge=known), labels_of_means([2.0, 2, 4, 4, 9, 9]))
    assert head.challenges_.tolist() == [1, 2]
    np.testing.assert_allclose(head.answers_[:, 0], [5, 2, 4])


def test_challenge_mean_steps_aside_without_challenges() -> None:
    with pytest.raises(
        UnsuitableLabelsError,
        match=r"head challenge-mean is not possible: the cache holds no challenges\.",
    ):
        fitted(ChallengeMeanHead(), metadata(9), labels_of_votes(VOTES, "2"))


def test_challenge_mean_steps_aside_where_splits_do_not_share_challenges() -> None:
    labels, X = labels_of_votes(VOTES, "2"), metadata(9, challenge=CHALLENGES)
    with pytest.raises(
        UnsuitableLabelsError,
        match=r"no photograph of val is of a challenge that train has, so it says one thing of all",
    ):
        ChallengeMeanHead().fit(X, labels, metadata(9, challenge=5), labels, seed=0)
