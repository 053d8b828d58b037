"""Features as a network trains on them: blocks of rows, and what standardises them. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.text import shown
from cache.types import FloatArray
from heads.data.features import FeatureRows, mean_of_views, signed_root
from heads.errors import HeadError
from heads.models.linear import SMALLEST_DEVIATION
from heads.models.neural.settings import NetworkSettings

BLOCK_ROWS = 8192

FloatArray32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and deviation (D,) float32 of each feature on train, after the root if there is one.

    `root`: each feature first becomes its `signed_root`.
    """

    mean: FloatArray32
    deviation: FloatArray32
    root: bool = False

    def apply(self, features: npt.NDArray[Any]) -> FloatArray32:
        """Return (features - mean) / deviation of (n, D), float32, after the root."""
        result = features.astype(np.float32)
        if self.root:
            result = signed_root(result)
        result -= self.mean
        result /= self.deviation
        return result

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool(self.root or self.mean.any() or (self.deviation != 1).any())

    def stored(self, features: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return `apply` in another type, block by block: what an epoch gathers."""
        if not self.changes:
            return features.astype(dtype, copy=False)
        result = np.empty(features.shape, dtype)
        for start, stop in spans(len(features), BLOCK_ROWS):
            result[start:stop] = self.apply(features[start:stop])
        return result

    @classmethod
    def identity(cls, n_features: int) -> Standardiser:
        """Return the one that changes nothing."""
        return cls(np.zeros(n_features, np.float32), np.ones(n_features, np.float32))


@dataclass(frozen=True, eq=False)
class Photographs:
    """Features (n, V, D) as a network trains on them: all views, or their mean as the only one."""

    X: FeatureRows
    mean_only: bool

    def __len__(self) -> int:
        return len(self.X)

    @property
    def n_views(self) -> int:
        """Rows that one photograph takes in a block."""
        return 1 if self.mean_only else self.X.shape[1]

    @property
    def nbytes(self) -> int:
        """Size of all blocks in bytes."""
        return len(self) * self.n_views * self.X.shape[2] * self.X.dtype.itemsize

    def block(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return photographs start..stop as ((stop - start) * n_views, D), as stored."""
        part = np.asarray(self.X[start:stop])
        if self.mean_only and part.shape[1] > 1:
            part = mean_of_views(part).astype(part.dtype)
        return part.reshape(-1, part.shape[-1])

    def whole(self) -> npt.NDArray[Any]:
        """Return all photographs as one block, without copying where they are stored so."""
        if not self.mean_only or self.X.shape[1] == 1:
            return self.block(0, len(self))
        return np.concatenate([self.block(a, b) for a, b in spans(len(self), BLOCK_ROWS)])


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """Cut 0..n into runs of `size`, the last one shorter."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def standardiser(photographs: Photographs, settings: NetworkSettings) -> Standardiser:
    """Measure each feature's mean and deviation as the settings ask, in float64 sums.

    Raises:
        HeadError: the layers' widths are not those of the features.
    """
    width = int(photographs.X.shape[2])
    root = settings.transform == "root"
    if not settings.standardise:
        return replace(Standardiser.identity(width), root=root)
    mean, deviation = _moments(photographs, root=root)
    floor = SMALLEST_DEVIATION * float(np.median(deviation))
    deviation = np.maximum(deviation, floor) if floor > 0 else np.where(deviation > 0, deviation, 1)
    deviation = deviation / layer_gains(settings.layer_widths or (width,), width)
    return Standardiser(mean.astype(np.float32), deviation.astype(np.float32), root)


def _moments(photographs: Photographs, *, root: bool) -> tuple[FloatArray, FloatArray]:
    total: Any = 0.0
    squares: Any = 0.0
    for start, stop in spans(len(photographs), BLOCK_ROWS):
        # Sums of 8,192 values below some tens keep six digits in float32.
        block = photographs.block(start, stop).astype(np.float32)
        if root:
            block = signed_root(block)
        total = total + block.sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("nd,nd->d", block, block).astype(np.float64)
    rows = len(photographs) * photographs.n_views
    mean = total / rows
    return mean, np.sqrt(np.maximum(squares / rows - mean**2, 0.0))


def layer_gains(widths: Sequence[int], n_features: int) -> FloatArray:
    """Return (D,) factors width ** -1/4 of each feature's layer, with the mean square 1.

    Between no scaling, where a layer counts by its width, and width ** -1/2, where all layers
    count equally.

    Raises:
        HeadError: the widths do not sum to the number of features.
    """
    if sum(widths) != n_features:
        raise HeadError(
            f"The layers' widths {shown(widths)} sum to {sum(widths)}, and a photograph has "
            f"{n_features} features. Leave layer_widths out of the configuration."
        )
    gains = np.repeat(np.array(widths, np.float64) ** -0.25, widths)
    return np.asarray(gains / np.sqrt(np.mean(gains**2)), np.float64)
