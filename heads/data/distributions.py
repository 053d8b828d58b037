"""Distributions over the ratings 1..K: mean, deviation, the nearest one, and how far two differ.

Numpy only.
"""

from __future__ import annotations

import numpy as np

from cache.types import FloatArray


def ratings(levels: int) -> FloatArray:
    """Return the ratings 1..K as (K,) float64."""
    return np.arange(1, levels + 1, dtype=np.float64)


def distribution_mean(distribution: FloatArray) -> FloatArray:
    """Return the mean rating (n,) of distributions (n, K) over the ratings 1..K."""
    return distribution @ ratings(distribution.shape[1])


def distribution_std(distribution: FloatArray) -> FloatArray:
    """Return the (population) standard deviation (n,) of distributions (n, K) over 1..K."""
    away = ratings(distribution.shape[1]) - distribution_mean(distribution)[:, None]
    variance: FloatArray = np.einsum("nk,nk->n", distribution, away**2)
    return np.sqrt(variance)


def emd(predicted: FloatArray, true: FloatArray, r: int) -> FloatArray:
    """Return the earth mover's distance (n,) between distributions (n, K), for r = 1 or 2.

    The mean of |gap|^r over the ratings, with its r-th root, where gap is that of the cumulative
    distributions: NIMA (Talebi and Milanfar, 2018), equation 1.
    """
    gap = predicted - true
    np.cumsum(gap, axis=1, out=gap)
    if r == 1:
        return np.asarray(np.abs(gap).mean(axis=1))
    return np.sqrt(np.mean(gap**2, axis=1))


def project_onto_simplex(points: FloatArray) -> FloatArray:
    """Return the nearest distribution, in squared distance, to each row of (n, K) float64.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient Projections onto the l1-Ball for
    Learning in High Dimensions" (ICML 2008), figure 1. The nearest point is max(v - theta, 0);
    with u the values in falling order, rho is the last j with u_j > (sum_{i<=j} u_i - 1) / j, and
    theta is that quotient at rho. Adding one number to a whole row does not change its nearest
    point, so the largest value is first made 0: no digits are lost far from the simplex.
    """
    moved = points - points.max(axis=1, keepdims=True)
    falling = -np.sort(-moved, axis=1)
    theta = (np.cumsum(falling, axis=1) - 1.0) / ratings(points.shape[1])
    rho = np.count_nonzero(falling > theta, axis=1) - 1
    nearest: FloatArray = np.maximum(moved - np.take_along_axis(theta, rho[:, None], axis=1), 0.0)
    return nearest
