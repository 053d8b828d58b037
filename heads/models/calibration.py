"""From scores to probabilities of being beautiful: Platt's method, held at the threshold.

Numpy and scipy. What decodes the outputs of a head takes `xp`, numpy or keras.ops, as in
`heads.data.distributions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq

from cache.types import FloatArray
from heads.data.labels import BoolArray

# Photographs below which a note says on how few a calibration rests.
FEW = 100


def calibrate(
    score: FloatArray, beautiful: BoolArray, middle: float
) -> tuple[tuple[float, float], str]:
    """Return (a, b) so that sigmoid(a score + b) is the probability of being beautiful, and a note.

    Platt, "Probabilistic Outputs for Support Vector Machines" (1999): logistic regression on one
    score, with the targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0; his A and B
    are -a and -b. Unlike his, the line is held at `middle`, where the probability is 1/2:
    b = -a middle. So a label and its probability never contradict each other, and a few photographs
    suffice, since only the slope is learned.

    Where the score is no higher for the beautiful ones, as it can be among few photographs, no
    slope can be learned: a = 1 / (root mean square of score - middle), so that the order of the
    scores is kept. The note says so, or that there are few photographs; mostly it is ''.

    Args:
        score: (n,) float64, of photographs that the head was not trained on.
        beautiful: (n,) bool.
        middle: the threshold, for a score on the data's scale.
    """
    away = score - middle
    width = float(np.sqrt(np.mean(away**2))) or 1.0
    slope = _slope(away / width, beautiful)
    a = (slope or 1.0) / width
    return (a, -a * middle), _note(beautiful, rising=slope is not None)


def platt_probability(score: Any, a: float, b: float, xp: Any = np) -> Any:
    """Return sigmoid(a score + b), (n,) in [0, 1]."""
    return sigmoid(a * score + b, xp)


def sigmoid(values: Any, xp: Any = np) -> Any:
    """Return 1 / (1 + exp(-values)) without overflow; Keras has an operation for it."""
    return np.exp(-np.logaddexp(0.0, -values)) if xp is np else xp.sigmoid(values)


def _slope(x: FloatArray, beautiful: BoolArray) -> float | None:
    """Return the a that minimises the cross-entropy of sigmoid(a x); None if it is not above 0.

    The cross-entropy is convex in a, and Platt's targets, which are off 0 and 1, see to it that its
    derivative rises to above 0.
    """
    n1 = int(np.count_nonzero(beautiful))
    target = np.where(beautiful, (n1 + 1) / (n1 + 2), 1 / (len(beautiful) - n1 + 2))

    def derivative(a: float) -> float:
        return float(np.mean(x * (sigmoid(a * x) - target)))

    if not derivative(0.0) < 0:
        return None
    most = 1.0
    while derivative(most) < 0:
        most *= 2
    return float(brentq(derivative, 0.0, most, xtol=1e-10))


def _note(beautiful: BoolArray, *, rising: bool) -> str:
    n = len(beautiful)
    if beautiful.all() == beautiful.any():
        kind = "beautiful" if beautiful.any() else "not beautiful"
        return (
            f"All {n} photographs that probabilities could be learned from are {kind}: "
            "p_beautiful keeps the order of the scores and is no calibrated probability. Choose "
            "another --threshold or add photographs."
        )
    if not rising:
        return (
            f"Among the {n} photographs that probabilities could be learned from the beautiful "
            "ones do not have the higher scores: p_beautiful keeps the order of the scores and is "
            "no calibrated probability. Add photographs."
        )
    if n < FEW:
        return f"p_beautiful is calibrated on {n} photographs: its slope is a rough one."
    return ""
