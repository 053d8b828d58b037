"""Small networks that train in a moment."""

from __future__ import annotations

import numpy as np

from heads.data.predictions import Prediction
from heads.data.splits import SplitData
from heads.models.base import Head
from heads.models.neural.inputs import Photographs, Standardiser
from heads.models.neural.settings import NetworkSettings, ResolvedSettings
from heads.models.neural.training import TrainingData
from heads.models.registry import make_head

QUICK = NetworkSettings(hidden=(), input_dropout=0.2, batch_size=32, epochs=6, cross_entropy=0.0)


def fitted(
    data: dict[str, SplitData],
    settings: NetworkSettings = QUICK,
    name: str = "emd",
    seed: int = 0,
) -> tuple[Head, list[dict[str, float]]]:
    """Train a head on a planted cache."""
    head = make_head(name, settings)
    train, val = data["train"], data["val"]
    return head, head.fit(train.X, train.labels, val.X, val.labels, seed=seed)


def predicted(head: Head, data: dict[str, SplitData]) -> Prediction:
    """Predict test."""
    return head.predict(data["test"].X)


def training_data(X: np.ndarray, targets: np.ndarray, settings: ResolvedSettings) -> TrainingData:
    """Return data of all views, as they are, that fit into memory."""
    scaler = Standardiser.identity(X.shape[2])
    return TrainingData(Photographs(X, mean_only=False), scaler, targets, settings, 10**9)
