"""Distances between distributions of ratings, as losses to train with.

keras.ops only, so that they run on any Keras backend. The same distances as metrics, in numpy, are
in metrics.py.

Source: the earth mover's distance between histograms over equidistant ratings is the r-norm of
the gap between their cumulative distributions (Talebi and Milanfar, "NIMA: Neural Image
Assessment", 2018, equation 1, after Hou, Yu and Samaras, 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

# (true, predicted), both (n, width), to one value a row.
Loss = Callable[[Any, Any], Any]


def squared_emd(true: Any, predicted: Any) -> Any:
    """Return the mean over ratings of the squared CDF gap: the square of EMD with r = 2.

    The root is left out on purpose: its gradient at equality is 0 / 0. Without it the gradient
    vanishes there, and the minimum is the same.

    Args:
        true, predicted: (..., K) distributions whose last axis sums to 1.

    Returns:
        (...) values in [0, 1), one for each photograph.
    """
    return ops.mean(ops.square(_cdf_gap(true, predicted)), axis=-1)


def absolute_emd(true: Any, predicted: Any) -> Any:
    """Return the mean over ratings of the absolute CDF gap: EMD with r = 1.

    Its subgradient at equality is 0. Times K it is the Wasserstein-1 distance in ratings.

    Args:
        true, predicted: (..., K) distributions whose last axis sums to 1.

    Returns:
        (...) values in [0, 1), one for each photograph.
    """
    return ops.mean(ops.abs(_cdf_gap(true, predicted)), axis=-1)


def _cdf_gap(true: Any, predicted: Any) -> Any:
    # The CDF of a difference is the difference of the CDFs, and loses fewer digits.
    # As a product, it and its gradient take a fraction of the time of ops.cumsum.
    ones = ops.ones((true.shape[-1], true.shape[-1]), dtype="float32")
    return ops.matmul(predicted - true, ops.triu(ones))
