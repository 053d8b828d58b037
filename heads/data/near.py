"""Which photographs show the same thing: bursts and copies, by their features. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray, IntArray

# The cosine of features as they are: a mean to be taken off would hang on what else is asked about.
# On OASIS' 379 training photographs, 6 of 71,631 pairs reach it, 5 of them of one theme; of one
# photograph cut twice, 6 % aside and lighter or 10 % nearer, 99 % and more. Themes are
# not found so: another oak is no near copy (tests/benchmarks/RESULTS.md).
NEAR = 0.84
# Cosines that are held at once, 64 MB: those of 2,896 photographs with one another.
CELLS = 1 << 23
BoolArray = npt.NDArray[np.bool_]


def near_groups(features: npt.NDArray[np.floating], least: float = NEAR) -> IntArray:
    """Return each photograph's group, (n,) numbers from 0 in the order of first members.

    Pairs are joined from the nearest on, two groups only where all their members are near one
    another: chains of photographs, each a little on from the last, do not make one group. More than
    `CELLS` allows come in blocks, each joined among itself and with the groups before it, so that
    memory grows with n and not with its square.

    Args:
        features: (n, D) of the backbone's last layer, the mean of the views; all pairs are
            compared, in n^2 D multiplications.
        least: the least cosine of near ones.
    """
    rows = features.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    group, step = np.empty(len(rows), np.int64), max(1, CELLS // max(1, len(rows)))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        nearest, farthest = _by_group(rows[block] @ rows[: block.stop].T, group[:start])
        group[block] = _joined(nearest, farthest >= max(least, 1e-12))
    return group


def _by_group(cosines: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the greatest and the least cosine of b new rows with each group, then among them.

    Args:
        cosines: (b, n + b) with n earlier rows and with themselves.
        group: (n,) of the earlier rows, all numbers from 0 on.
    """
    if not len(group):
        return cosines, cosines
    ordered = cosines[:, np.argsort(group, kind="stable")]
    starts = np.cumsum(np.bincount(group))[:-1]
    among = cosines[:, len(group) :]
    of = ([0, *starts], 1)
    return (
        np.hstack([np.maximum.reduceat(ordered, *of), among]),
        np.hstack([np.minimum.reduceat(ordered, *of), among]),
    )


def _joined(nearest: FloatArray, near: BoolArray) -> IntArray:
    """Return the groups of b new rows, (b,), numbered on from the m that are there already.

    Args:
        nearest: (b, m + b) the greatest cosine with each group, and with each other.
        near: (b, m + b) whether all of the group are near.
    """
    m = near.shape[1] - len(near)
    one, other = np.nonzero(np.triu(near.T, 1 - m))
    order = np.argsort(-nearest[other, one], kind="stable")
    label, members = np.arange(near.shape[1]), [[each] for each in range(near.shape[1])]
    for i, j in zip(one[order].tolist(), (other[order] + m).tolist(), strict=True):
        a, b = sorted((label[i], label[j]))
        # Two groups that were there cannot be one, or they had been joined before.
        if a != b and b >= m and near[np.ix_([each - m for each in members[b]], members[a])].all():
            label[members[b]] = a
            members[a] += members[b]
    return np.unique(np.concatenate([np.arange(m), label[m:]]), return_inverse=True)[1][m:]
