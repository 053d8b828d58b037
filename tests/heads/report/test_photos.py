"""Which photographs are shown, and that their thumbnails fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heads.data.predictions import Prediction
from heads.report.photos import BUDGET_BYTES, Album, Picture, choose, examples, mistakes, rated
from tests.heads.made import labels_of_means, noisy_prediction, random_labels


def test_thumbnails_shrink_until_all_of_them_fit() -> None:
    asked = []

    def make(path: Path, pixels: int) -> bytes:
        asked.append(pixels)
        return bytes(pixels * pixels)

    names = [str(k) for k in range(150)]
    album = Album.of(names, {name: Path(name) for name in names}, make)
    assert sorted(set(asked), reverse=True) == [240, 180, 130]
    assert sum(len(jpeg) for _, jpeg in album.embedded) < 4 / 3 * BUDGET_BYTES + 1000


def test_best_and_worst_are_by_score_and_mistakes_by_distance() -> None:
    labels = random_labels(100)
    prediction = noisy_prediction(labels)
    best, worst, overrated, underrated = choose(prediction, labels)
    assert (len(best), len(worst)) == (10, 10)
    assert prediction.score[best[0]] == prediction.score.max()
    assert prediction.score[worst[0]] == prediction.score.min()
    error = prediction.score - labels.mean
    assert overrated[0] == np.argmax(error)
    assert underrated[0] == np.argmin(error)


def test_scores_that_only_rank_are_mistaken_by_their_place() -> None:
    labels = labels_of_means([1.0, 2.0, 3.0, 4.0])
    prediction = Prediction(np.array([9.0, 2.0, 3.0, 4.0]), np.full(4, 0.5), ranking_only=True)
    np.testing.assert_allclose(mistakes(prediction, labels), [0.75, -0.25, -0.25, -0.25])


def test_fewer_photographs_than_places_are_all_shown() -> None:
    labels = random_labels(3)
    best = choose(noisy_prediction(labels), labels)[0]
    assert sorted(best.tolist()) == [0, 1, 2]
    highest, lowest = rated(labels)
    assert highest.tolist() == lowest[::-1].tolist()


def test_examples_are_the_best_the_middle_and_the_worst_distribution() -> None:
    labels = random_labels(51)
    prediction = noisy_prediction(labels)
    gap = np.cumsum(prediction.distribution - labels.distribution, axis=1)
    emd = np.sqrt(np.mean(gap**2, axis=1))
    best, middle, worst = examples(prediction, labels)
    assert (emd[best], emd[middle], emd[worst]) == (emd.min(), np.median(emd), emd.max())
    bare = Prediction(prediction.score, prediction.p_beautiful)
    assert not len(examples(bare, labels))


def test_a_photograph_that_is_gone_refers_to_the_placeholder() -> None:
    album = Album.of(["a", "b"], {"b": Path("b")}, lambda path, _: b"jpeg")
    assert album.missing == 1
    assert album.picture("a") == Picture("photograph a (not found)", "gone")
    assert album.picture("b") == Picture("photograph b", "p1")
    assert list(album.embedded) == [("p1", "anBlZw==")]
