"""Floors that know of photographs what a folder's listing says, and look at none. Numpy only.

What they are given in place of features is described in `heads.data.metadata`.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from cache.types import FloatArray, IntArray
from heads.data.features import FeatureRows, Float32Array
from heads.data.labels import Labels
from heads.data.metadata import BYTES, CHALLENGE, HEIGHT, TAGS, WIDTH
from heads.data.predictions import Prediction
from heads.errors import UnsuitableLabelsError
from heads.models.base import About, Arrays, History, State, Values, need_means, need_photographs
from heads.models.neural.settings import ClosedFormSettings
from heads.models.ridge import RidgeHead


class MetadataHead(RidgeHead):
    """Ridge regression of the mean score on size, shape, bytes a pixel and tags.

    What it gains on the constant head, others may owe to the same: to sizes of prints, to cameras,
    to how hard files were compressed. `tags_` (T,) are those of train.
    """

    about = About(
        "metadata",
        "the mean score of size, shape, bytes a pixel and tags, ridge regression",
        looks_at_photographs=False,
        looks_at_metadata=True,
        needs_means=True,
    )

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit (n, 1, 6) metadata as `RidgeHead` fits features.

        Raises:
            HeadError: size or bytes are not known, or too few photographs in train or val.
        """
        tags = np.unique(X[:][:, 0, TAGS])
        self.tags_ = tags[tags > 0]
        given = self._columns(X), self._columns(X_val)
        return super().fit(given[0], labels, given[1], labels_val, seed=seed)

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from (n, 1, 6) metadata. Raises HeadError where size or bytes are not known."""
        return super().predict(self._columns(X))

    def _columns(self, X: FeatureRows) -> Float32Array:
        """Return (n, 1, 4 + T) of (n, 1, 6) metadata.

        All are positive, so that the linear models' signed root draws in the large ones.
        """
        known = X[:][:, 0]
        width, height, n_bytes = (known[:, each] for each in (WIDTH, HEIGHT, BYTES))
        unknown = int(np.count_nonzero((known[:, [WIDTH, HEIGHT, BYTES]] < 1).any(axis=1)))
        if unknown:
            raise UnsuitableLabelsError(
                f"The head {self.about.name} is not possible: the cache holds no width, height or "
                f"bytes of {unknown:,} of {len(known):,} photographs. `extract` notes them; "
                "`cache import` does not know them."
            )
        pixels = width * height
        shape = np.stack([pixels, width / height, height / width, n_bytes / pixels], axis=1)
        tagged = (known[:, TAGS, None] == self.tags_).any(axis=1)
        return np.concatenate([shape, tagged], axis=1, dtype=np.float32)[:, None]

    def state(self) -> State:
        """Return what every linear head has, and the tags."""
        arrays, values = super().state()
        return {**arrays, "tags": self.tags_}, values

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head."""
        head = super().from_state(arrays, values)
        head.tags_ = arrays["tags"]
        return head


class ChallengeMeanHead:
    """What is said of a photograph is what was said of others in its challenge, on average.

    Each average is drawn towards that of all photographs, the more the fewer there are and the less
    challenges differ. Photographs of challenges that train lacks get the average of all. `answers_`
    (C + 1, 2 or 2 + K) holds score, `p_beautiful` and distribution of all and of each of
    `challenges_` (C,). The label follows `p_beautiful`, as the constant head's does.
    """

    about = About(
        "challenge-mean",
        "the mean of the photograph's challenge, drawn towards that of all",
        looks_at_photographs=False,
        looks_at_metadata=True,
        needs_means=True,
    )
    tuned = ClosedFormSettings()
    challenges_: FloatArray
    answers_: FloatArray

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Average the labels of each challenge; X is (n, 1, 6) metadata.

        Raises:
            HeadError: too few photographs, no challenges, or none of val's is one of train's.
        """
        need_photographs(self.about, labels)
        need_means(self.about, labels)
        challenge = X[:][:, 0, CHALLENGE]
        known = challenge > 0
        self._need_challenges(challenge[known], X_val[:][:, 0, CHALLENGE])
        answers = np.stack([labels.mean, labels.beautiful], axis=1)
        if labels.votes is not None:
            answers = np.concatenate([answers, labels.distribution], axis=1)
        overall = answers.mean(axis=0)
        self.challenges_, number, sizes = np.unique(
            challenge[known], return_inverse=True, return_counts=True
        )
        sums = [np.bincount(number, column) for column in answers[known].T]
        averages = np.stack(sums, axis=1) / sizes[:, None]
        weight = shrinkage(answers[known, 0], number)[:, None]
        self.answers_ = np.concatenate([overall[None], overall + weight * (averages - overall)])
        return []

    def _need_challenges(self, of_train: FloatArray, of_val: FloatArray) -> None:
        if not len(of_train):
            reason = "the cache holds no challenges"
        elif not np.isin(of_val, of_train).any():
            reason = (
                "no photograph of val is of a challenge that train has, so it says one thing of all"
            )
        else:
            return
        raise UnsuitableLabelsError(f"The head {self.about.name} is not possible: {reason}.")

    def predict(self, X: FeatureRows) -> Prediction:
        """Look up the challenges of (n, 1, 6) metadata."""
        challenge, known = X[:][:, 0, CHALLENGE], self.challenges_
        place = np.searchsorted(known, challenge).clip(max=len(known) - 1)
        answers = self.answers_[np.where(known[place] == challenge, place + 1, 0)]
        return Prediction(
            score=answers[:, 0],
            p_beautiful=answers[:, 1],
            distribution=answers[:, 2:] if answers.shape[1] > 2 else None,
            label_by_p=True,
        )

    def state(self) -> State:
        """Return the challenges and what is said of each."""
        return {"challenges": self.challenges_, "answers": self.answers_}, {}

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head."""
        head = cls()
        head.challenges_, head.answers_ = arrays["challenges"], arrays["answers"]
        return head


def shrinkage(values: FloatArray, number: IntArray) -> FloatArray:
    """Return how far each group's average is to be believed, (G,) in [0, 1].

    With n_g photographs in group g it is n_g / (n_g + within / between), where the variance between
    groups is what their averages differ by beyond the variance within: the best linear predictor
    and the analysis-of-variance estimators of Searle, Casella and McCulloch, "Variance Components"
    (1992), sections 3.6 and 7.2.

    Args:
        values: (n,) float64.
        number: (n,) the group of each, 0 to G - 1, all there.
    """
    sizes = np.bincount(number)
    n, groups = len(values), len(sizes)
    if not 1 < groups < n:
        return np.zeros(groups)
    averages = np.bincount(number, values) / sizes
    within = float(np.sum((values - averages[number]) ** 2)) / (n - groups)
    among = float(sizes @ (averages - values.mean()) ** 2) / (groups - 1)
    between = (among - within) / ((n - sizes @ sizes / n) / (groups - 1))
    if between <= 0:
        return np.zeros(groups)
    return np.asarray(sizes * between / (sizes * between + within))
