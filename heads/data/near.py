"""Which photographs show the same thing: bursts and copies, by their features. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cache.types import IntArray

# The cosine of features as they are: a mean to be taken off would hang on what else is asked about.
# On OASIS' 379 training photographs, 6 of 71,631 pairs reach it, 5 of them of one theme; of one
# photograph cut twice, 6 % aside and lighter or 10 % nearer, 99 % and more. Themes are
# not found so: another oak is no near copy (tests/benchmarks/RESULTS.md).
NEAR = 0.84
BLOCK = 1024


def near_groups(features: npt.NDArray[np.floating], least: float = NEAR) -> IntArray:
    """Return each photograph's group, (n,) numbers from 0 in the order of first members.

    Pairs are joined from the nearest on, two groups only where all their members are near one
    another: chains of photographs, each a little on from the last, do not make one group.

    Args:
        features: (n, D) of the backbone's last layer, the mean of the views; all pairs are
            compared, in n^2 D multiplications.
        least: the least cosine of near ones.
    """
    rows = features.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    label, members = np.arange(len(rows)), {row: [row] for row in range(len(rows))}
    for one, other in _near_pairs(rows, least).tolist():
        a, b = sorted((label[one], label[other]))
        if a != b and (rows[members[a]] @ rows[members[b]].T >= least).all():
            label[members[b]] = a
            members[a] += members.pop(b)
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def _near_pairs(rows: npt.NDArray[np.float64], least: float) -> IntArray:
    """Return the pairs (m, 2) of rows of length 1 that are near, the nearest first."""
    pairs, cosines = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for start in range(0, len(rows), BLOCK):
        block = np.triu(rows[start : start + BLOCK] @ rows[start:].T, 1)
        at = np.argwhere(block >= max(least, 1e-12))
        pairs.append(at + start)
        cosines.append(block[at[:, 0], at[:, 1]])
    return np.concatenate(pairs)[np.argsort(-np.concatenate(cosines), kind="stable")]
