"""Features as a network trains on them: blocks of rows, and what standardises them. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from heads.head import mean_of_views

BLOCK_ROWS = 8192
# Deviations below this share of the median one are raised to it: a feature that is almost always
# zero would otherwise stand at hundreds of deviations in the few photographs that have it.
SMALLEST_DEVIATION = 0.01

FloatArray32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and deviation (D,) float32 of each feature on train."""

    mean: FloatArray32
    deviation: FloatArray32

    def apply(self, features: npt.NDArray[Any]) -> FloatArray32:
        """Return (features - mean) / deviation, float32."""
        return (features.astype(np.float32) - self.mean) / self.deviation

    @classmethod
    def identity(cls, n_features: int) -> Standardiser:
        """Return the one that changes nothing."""
        return cls(np.zeros(n_features, np.float32), np.ones(n_features, np.float32))


@dataclass(frozen=True, eq=False)
class Photographs:
    """Features (n, V, D) as a network trains on them: all views, or their mean as the only one."""

    X: Any
    mean_only: bool

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_views(self) -> int:
        """Rows that one photograph takes in a block."""
        return 1 if self.mean_only else int(self.X.shape[1])

    @property
    def nbytes(self) -> int:
        """Size of all blocks in bytes."""
        return len(self) * self.n_views * int(self.X.shape[2]) * self.X.dtype.itemsize

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


def standardiser(photographs: Photographs) -> Standardiser:
    """Measure each feature's mean and deviation, block by block, in float64 sums."""
    total: Any = 0.0
    squares: Any = 0.0
    for start, stop in spans(len(photographs), BLOCK_ROWS):
        # Sums of 8,192 values below some tens keep six digits in float32.
        block = photographs.block(start, stop).astype(np.float32)
        total = total + block.sum(axis=0, dtype=np.float64)
        squares = squares + np.einsum("nd,nd->d", block, block).astype(np.float64)
    rows = len(photographs) * photographs.n_views
    mean = total / rows
    deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0.0))
    floor = SMALLEST_DEVIATION * float(np.median(deviation))
    deviation = np.maximum(deviation, floor) if floor > 0 else np.where(deviation > 0, deviation, 1)
    return Standardiser(mean.astype(np.float32), deviation.astype(np.float32))
