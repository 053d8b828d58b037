"""From scores to probabilities of being beautiful: Platt's method. Numpy only.

What decodes the outputs of a head takes `xp`, numpy or keras.ops, as in `heads.data.distributions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cache.types import FloatArray
from heads.data.labels import BoolArray

NEWTON_STEPS = 100
HALVINGS = 60


def fit_platt(score: FloatArray, beautiful: BoolArray) -> tuple[float, float]:
    """Return (a, b) so that sigmoid(a score + b) is the probability of being beautiful.

    Platt, "Probabilistic Outputs for Support Vector Machines" (1999): logistic regression on one
    score, with the targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0; his A and B
    are -a and -b. Where the score is constant, a = 0 and the probability is the mean target. Where
    there is one class only, or the score falls with being beautiful, as it can among few
    photographs, no slope can be learned: a = 1 / (standard deviation of the score), so that the
    order of the scores is kept, and b makes the mean probability the mean target;
    `calibration_note` says so in words.

    Args:
        score: (n,) float64, of photographs that the head was not trained on.
        beautiful: (n,) bool.
    """
    target = _platt_targets(beautiful)
    middle, width = float(np.mean(score)), float(np.std(score))
    if np.ptp(score) == 0:
        return 0.0, float(np.log(target.mean() / (1 - target.mean())))
    unit = (score - middle) / width
    slope, offset = _rising_line(unit, beautiful) or (1.0, _offset(unit, float(target.mean())))
    return slope / width, offset - slope * middle / width


def platt_probability(score: Any, a: float, b: float, xp: Any = np) -> Any:
    """Return sigmoid(a score + b), (n,) in [0, 1]."""
    return sigmoid(a * score + b, xp)


def calibration_note(score: FloatArray, beautiful: BoolArray) -> str:
    """Return what must be said of `fit_platt` on these (n,) scores and labels; mostly ''."""
    n = len(beautiful)
    if beautiful.all() == beautiful.any():
        kind = "beautiful" if beautiful.any() else "not beautiful"
        return (
            f"All {n} validation photographs are {kind}: p_beautiful keeps the order of the "
            "scores and is no calibrated probability. Choose another --threshold or add "
            "validation photographs."
        )
    if np.ptp(score) and _rising_line((score - np.mean(score)) / np.std(score), beautiful) is None:
        return (
            f"Among the {n} validation photographs the beautiful ones do not have the higher "
            "scores: p_beautiful keeps the order of the scores and is no calibrated probability. "
            "Add validation photographs."
        )
    return ""


def sigmoid(values: Any, xp: Any = np) -> Any:
    """Return 1 / (1 + exp(-values)) without overflow; Keras has an operation for it."""
    return np.exp(-np.logaddexp(0.0, -values)) if xp is np else xp.sigmoid(values)


def _platt_targets(beautiful: BoolArray) -> FloatArray:
    n1 = int(np.count_nonzero(beautiful))
    return np.where(beautiful, (n1 + 1) / (n1 + 2), 1 / (len(beautiful) - n1 + 2))


def _rising_line(x: FloatArray, beautiful: BoolArray) -> tuple[float, float] | None:
    """Return slope and offset of Platt's line; None with one class, or if it does not rise."""
    if beautiful.all() == beautiful.any():
        return None
    slope, offset = _logistic_line(x, _platt_targets(beautiful))
    return (slope, offset) if slope > 0 else None


def _logistic_line(x: FloatArray, target: FloatArray) -> tuple[float, float]:
    """Minimise cross-entropy over slope and offset by Newton steps with backtracking.

    After Lin, Lin and Weng, "A Note on Platt's Probabilistic Outputs" (2007): log(1 + exp) never
    overflows, and a small ridge keeps the Hessian regular.
    """
    design = np.stack([x, np.ones_like(x)], axis=1)
    line = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    loss = _cross_entropy(design @ line, target)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ line)
        gradient = design.T @ (p - target)
        hessian = (design.T * (p * (1 - p))) @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10 and _cross_entropy(design @ (line - size * step), target) > loss:
            size /= 2
        line = line - size * step
        loss = _cross_entropy(design @ line, target)
        if np.abs(gradient).max() < 1e-9 * len(x):
            break
    return float(line[0]), float(line[1])


def _cross_entropy(logits: FloatArray, target: FloatArray) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - target * logits))


def _offset(x: FloatArray, target: float) -> float:
    """Halve an interval until the mean of sigmoid(x + offset) is `target`; it rises throughout."""
    logit = float(np.log(target / (1 - target)))
    lo, hi = logit - float(x.max()), logit - float(x.min())
    for _ in range(HALVINGS):
        offset = (lo + hi) / 2
        if float(sigmoid(x + offset).mean()) < target:
            lo = offset
        else:
            hi = offset
    return (lo + hi) / 2
