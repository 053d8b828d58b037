"""Rows of features as heads read them: what they offer, how much of them is held, views averaged.

Numpy only.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cache.types import IntArray

Float32Array = npt.NDArray[np.float32]

# Of float32 at a time: what is worked out step by step stays in the processor's cache.
BLOCK_BYTES = 16 * 2**20


class FeatureRows(Protocol):
    """(n, V, D) features, float16 or float32: an array, or rows read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, V, D)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """As they are stored."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | IntArray, /) -> npt.NDArray[Any]: ...


def memory_budget(X: FeatureRows) -> int:
    """Return how many bytes of such features may be held in memory at once.

    What `load_splits` was given, which the rows carry; else, and for arrays, half of the machine's.
    """
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return getattr(X, "memory_bytes", None) or half


class _Rows(ABC):
    """What both kinds of rows share; `one` is the first of n rows, or none of them."""

    ndim = 3

    def __init__(self, n: int, one: npt.NDArray[Any], memory_bytes: int | None) -> None:
        self.shape: tuple[int, ...] = (n, *one.shape[1:])
        self.dtype: np.dtype[Any] = one.dtype
        self.memory_bytes = memory_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all rows as they are stored."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: slice | IntArray, /) -> npt.NDArray[Any]: ...

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def held(self) -> FeatureRows:
        """Return these rows in memory if the budget allows it, else themselves."""
        if self.nbytes > memory_budget(self):
            return self
        return StoredRows(self[:], memory_bytes=self.memory_bytes)


class StoredRows(_Rows):
    """All or some rows of an array or of a file, read only when sliced.

    Indexed on the first axis by a slice or by row numbers. `memory_bytes` is the budget, None for
    half of the machine's memory.
    """

    def __init__(
        self,
        features: FeatureRows,
        rows: IntArray | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._features = features
        self._rows = rows
        n = len(features) if rows is None else len(rows)
        super().__init__(n, self._features[:1], memory_bytes)

    def __getitem__(self, index: slice | IntArray, /) -> npt.NDArray[Any]:
        return self._features[index if self._rows is None else self._rows[index]]


class JoinedRows(_Rows):
    """Some rows of several parts put below each other, with some views and columns of them.

    Indexed as `StoredRows`; the budget is that of the parts.
    """

    def __init__(
        self,
        parts: Sequence[FeatureRows],
        rows: IntArray | None = None,
        views: slice = slice(None),
        columns: slice = slice(None),
    ) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows
        self._views, self._columns = views, columns
        budget = getattr(parts[0], "memory_bytes", None)
        super().__init__(len(self._rows), self._read(self._rows[:1]), budget)

    def __getitem__(self, index: slice | IntArray, /) -> npt.NDArray[Any]:
        return self._read(self._rows[index])

    def take(self, rows: IntArray) -> JoinedRows:
        """Return some of these rows."""
        return JoinedRows(self._parts, self._rows[rows], self._views, self._columns)

    def of_columns(self, columns: slice) -> JoinedRows:
        """Return the same rows with other columns of the parts."""
        return JoinedRows(self._parts, self._rows, self._views, columns)

    def _read(self, rows: IntArray) -> npt.NDArray[Any]:
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        pieces = [
            np.asarray(part[rows[owner == i] - self._starts[i]])[:, self._views, self._columns]
            for i, part in enumerate(self._parts)
        ]
        result = np.concatenate(pieces)
        back = np.argsort(np.argsort(owner, kind="stable"), kind="stable")
        return result if (np.diff(owner) >= 0).all() else result[back]


def signed_root(values: Any, xp: Any = np) -> Any:
    """Return sign(x) sqrt(|x|) of an array, or with `xp` keras.ops of a tensor.

    Pooled activations are skewed, and the root makes them less so (as Perronnin, Sanchez and
    Mensink, "Improving the Fisher Kernel", 2010, section 3.2, do with theirs).
    """
    if xp is not np:
        return xp.sign(values) * xp.sqrt(xp.abs(values))
    root = np.abs(values)
    return np.copysign(np.sqrt(root, out=root), values, out=root)


def view_mean_blocks(X: FeatureRows) -> Iterator[tuple[slice, Float32Array]]:
    """Yield (rows, mean of the views (rows, D) float32), some `BLOCK_BYTES` at a time."""
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


def roots_of_views(X: FeatureRows) -> Float32Array:
    """Return the signed roots of the means over the views, (n, D) float32."""
    roots = np.empty((X.shape[0], X.shape[2]), np.float32)
    for rows, block in view_mean_blocks(X):
        roots[rows] = signed_root(block)
    return roots
