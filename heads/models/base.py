"""What every head can do. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy.typing as npt

from heads.data.features import FeatureRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction

# One row an epoch: `epoch` and what was measured in it. Empty for heads in closed form.
History = list[dict[str, float]]


class Head(Protocol):
    """Learns labels from features, predicts, and is saved as plain arrays and JSON values.

    A constructor stores its settings; what is learned ends in `_`.
    """

    name: str

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Learn from (n, V, D) features and n labels; choose and calibrate on val.

        Raises:
            HeadError: these labels cannot train this head.
        """
        ...

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from (n, V, D) features."""
        ...

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return what was learned, arrays and JSON values: enough to predict."""
        ...

    @classmethod
    def from_state(
        cls, settings: Any, arrays: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Any]
    ) -> Self:
        """Rebuild a fitted head from its settings and `state()`."""
        ...
