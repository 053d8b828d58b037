"""Distributions over the ratings 1..K: mean, standard deviation, distance, projection. Numpy only.

What decodes the outputs of a head takes `xp`, numpy or keras.ops, and computes the same of arrays
in float64 and, in an exported model, of tensors in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray


def ratings(levels: int, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Return the ratings 1..K as (K,)."""
    return np.arange(1, levels + 1, dtype=dtype)


def distribution_mean(distribution: Any, xp: Any = np) -> Any:
    """Return the mean rating (n,) of distributions (n, K) over the ratings 1..K."""
    dtype = np.float64 if xp is np else np.float32
    return xp.matmul(distribution, ratings(distribution.shape[1], dtype))


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
    squared: FloatArray = np.mean(gap**2, axis=1)
    return np.sqrt(squared)


def centred_log_shares(votes: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """Return the logarithms of shares less their mean over the ratings, (n, K), of (n, K) counts.

    The centred log-ratio of Aitchison, "The Statistical Analysis of Compositional Data" (1982).
    Half a vote is added to every rating, since a share of nobody has no logarithm (Jeffreys, 1946).
    """
    logs = np.log(votes + 0.5)
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def softmax(logits: Any, xp: Any = np) -> Any:
    """Return the distributions (n, K) that have these logarithms (n, K), up to a constant a row."""
    powers = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return powers / xp.sum(powers, axis=1, keepdims=True)


def project_onto_simplex(points: Any, xp: Any = np) -> Any:
    """Return the nearest distribution, in squared distance, to each row of (n, K).

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient Projections onto the l1-Ball for
    Learning in High Dimensions" (ICML 2008), figure 1. The nearest point is max(v - theta, 0);
    with u the values in falling order, rho is the last j with u_j > (sum_{i<=j} u_i - 1) / j, and
    theta is that quotient at rho. Adding one number to a whole row does not change its nearest
    point, so the largest value is first made 0: no digits are lost far from the simplex.
    """
    moved = points - xp.max(points, axis=1, keepdims=True)
    theta = _theta(moved) if xp is np else _theta_without_sorting(moved, xp)
    return xp.maximum(moved - theta, 0.0)


def _theta(moved: FloatArray) -> FloatArray:
    falling = -np.sort(-moved, axis=1)
    theta: FloatArray = (np.cumsum(falling, axis=1) - 1.0) / ratings(moved.shape[1])
    rho = np.count_nonzero(falling > theta, axis=1) - 1
    return np.take_along_axis(theta, rho[:, None], axis=1)


def _theta_without_sorting(moved: Any, xp: Any) -> Any:
    """Return the same theta, which is also the largest of all quotients; of K^2 values a row.

    The small runtimes of exported models cannot sort.
    """
    # (n, j, i): whether value i is at least value j
    above = xp.cast(xp.expand_dims(moved, 1) >= xp.expand_dims(moved, 2), moved.dtype)
    sums = xp.sum(above * xp.expand_dims(moved, 1), axis=2)
    return xp.max((sums - 1.0) / xp.sum(above, axis=2), axis=1, keepdims=True)
