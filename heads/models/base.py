"""What every head can do, and how features come to it: the mean of a photograph's views.

Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from heads.data.labels import Labels, Prediction

Float32Array = npt.NDArray[np.float32]

# One row an epoch: `epoch` and what was measured in it. Empty for heads in closed form.
History = list[dict[str, float]]

BLOCK_BYTES = 64 * 2**20


class FeatureRows(Protocol):
    """(n, V, D) features, float16 or float32: an array, a memory-map, or rows read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, V, D)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> npt.NDArray[Any]: ...


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


def view_mean_blocks(X: FeatureRows) -> Iterator[tuple[slice, Float32Array]]:
    """Yield (rows, mean of the views (rows, D) float32), about 64 MiB of float32 at a time."""
    n, views, width = X.shape
    rows_a_block = max(1, BLOCK_BYTES // (4 * views * width))
    for start in range(0, n, rows_a_block):
        rows = slice(start, min(start + rows_a_block, n))
        block = np.asarray(X[rows])
        if views == 1:
            yield rows, block[:, 0].astype(np.float32)
        else:
            yield rows, block.mean(axis=1, dtype=np.float32)


def mean_of_views(X: FeatureRows) -> Float32Array:
    """Return the mean over the views, (n, D) float32, of (n, V, D) float16 or float32."""
    means = np.empty((X.shape[0], X.shape[2]), np.float32)
    for rows, block in view_mean_blocks(X):
        means[rows] = block
    return means
