"""Heads that are not in the project: what somebody would write."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.neighbors import KNeighborsRegressor

from heads import own_head
from heads.data.features import mean_of_views
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.models.base import About


class NearestHead:
    """The mean of the most similar photograph."""

    about = About("nearest", "the mean of the most similar photograph")

    def fit(self, X: Any, labels: Any, X_val: Any, labels_val: Any, *, seed: int) -> list[Any]:
        self.known_, self.means_ = mean_of_views(X), labels.mean
        return []

    def predict(self, X: Any) -> Prediction:
        if X.shape[2] != self.known_.shape[1]:
            raise HeadError("another number of features")
        away = ((mean_of_views(X)[:, None] - self.known_) ** 2).sum(axis=2)
        score = self.means_[away.argmin(axis=1)]
        return Prediction(score=score, p_beautiful=1 / (1 + np.exp(4 - score)))

    def state(self) -> Any:
        return {"known": self.known_, "means": self.means_}, {}

    @classmethod
    def from_state(cls, arrays: Any, values: Any) -> Self:
        head = cls()
        head.known_, head.means_ = arrays["known"], arrays["means"]
        return head


class Forgetful(NearestHead):
    """Breaks the contract: it comes back with other answers."""

    about = About("forgetful", "")

    def state(self) -> Any:
        return {"known": self.known_, "means": self.means_[::-1].copy()}, {}


class Broken(RegressorMixin, BaseEstimator):
    """Raises when it is trained."""

    def fit(self, X: Any, y: Any) -> Self:
        raise ValueError("no idea\nwhat to do")


class Shift(RegressorMixin, BaseEstimator):
    """Is not scikit-learn's: skops would need to trust it."""

    def fit(self, X: Any, y: Any) -> Self:
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return self.mean_ + X[:, 0]


def make_knn() -> Any:
    return own_head(KNeighborsRegressor(20), learns="distribution")


def make_named() -> Any:
    return own_head(KNeighborsRegressor(5), name="five")


def make_nothing() -> Any:
    raise ValueError("nothing to make")


def layer_norm(n_features: int, n_outputs: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((n_features,)),
            keras.layers.LayerNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(n_outputs, activation="softmax"),
        ]
    )


def logits(n_features: int, n_outputs: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((n_features,)), keras.layers.Dense(n_outputs)])
