"""Logistic regression of beautiful, and how such a model is fitted. Numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize

from cache.types import FloatArray, IntArray, Scale
from heads.data.features import FeatureRows, Float32Array, roots_of_views
from heads.data.labels import BoolArray, Labels
from heads.data.predictions import ranking_score
from heads.errors import UnsuitableLabelsError
from heads.models.base import About, Answers, Arrays, History, Values, need_photographs
from heads.models.calibration import platt_probability, sigmoid
from heads.models.linear import (
    GROUPS,
    VAL,
    LinearHead,
    LinearModel,
    PenaltyChoice,
    feature_moments,
    groups_of,
)
from heads.models.neural.settings import LEFT_OUT, ClosedFormSettings

# Mean log-loss + penalty / 2 |w|^2: scikit-learn's C is 1 / (n penalty). Strongest first: each fit
# starts from the one before, and the walk ends where photographs left out grow worse.
LOGISTIC_PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
MAX_ITERATIONS = 300
# The largest slope of the loss that is taken for none, as by scikit-learn.
TOLERANCE = 1e-4
# The penalty is chosen on so many folds of at most so many photographs. What suits n of them falls
# as 1 / n: n penalty is one over the variance of a prior, which more photographs do not move.
FOLDS, MOST_CHOSEN_ON = 5, 10_000


class LogisticHead(LinearHead):
    """Logistic regression of beautiful on standardised roots of features.

    Where there are votes it learns soft labels, the share of votes above the threshold. The penalty
    has the lowest log-loss on groups of train left out, or val. The score is the probability on the
    scale: good for ranking only. Holds the mean of the views of all training photographs in memory.
    """

    about = About(
        "logistic",
        "beautiful or not, logistic regression",
        ranking_only=True,
        linear_output="log-odds of being beautiful",
    )
    tuned = ClosedFormSettings(labels="soft", penalty=LEFT_OUT)
    chosen_by = "cross-entropy (nats)"
    learns = ("scale", "platt")

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Choose and calibrate on what is left out, see `_parts`; no draws from the seed.

        Raises:
            HeadError: train holds one class only, or there are too few photographs.
        """
        need_photographs(self.about, labels, labels_val)
        _need_two_classes(labels)
        self.scale_ = (labels.scale.lo, labels.scale.hi)
        n = min(len(labels), MOST_CHOSEN_ON)
        some, roots = labels.take(slice(n)), roots_of_views(X[:n])
        parts = _parts(roots, some, roots_of_views(X_val), labels_val)
        told = Labels.concat([part.labels for part in parts])
        loss = partial(_log_loss, share=told.share_above)
        self.choice_, log_odds = choose(parts, loss, GROUPS if len(parts) > 1 else VAL)
        self._calibrate(log_odds, told, some.middle_logit)
        fit = _fit(roots_of_views(X), labels)
        self.model_ = fit.model(self.choice_.penalty * n / len(labels))
        self.note_ = f"{self.note_} {fit.note}".strip()
        return []

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Return the calibrated probabilities of log-odds (n, 1)."""
        p_beautiful = platt_probability(outputs[:, 0], *self.platt_, xp)
        return {
            "score": ranking_score(p_beautiful, Scale(*self.scale_)),
            "p_beautiful": p_beautiful,
        }

    @classmethod
    def from_state(cls, arrays: Arrays, values: Values) -> Self:
        """Rebuild a fitted head; the log-odds of earlier versions were not calibrated."""
        return super().from_state(arrays, {"platt": (1.0, 0.0), **values})


@dataclass(frozen=True, eq=False)
class Part:
    """Photographs left out, their roots (m, D) and labels, and the fit to others."""

    roots: Float32Array
    labels: Labels
    fit: Fit


def _parts(
    roots: Float32Array, labels: Labels, roots_val: Float32Array, labels_val: Labels
) -> list[Part]:
    """Leave out folds of groups in turn; else val (see `choose_ridge`).

    That is where there are no groups, or where without one of the folds there is one class only.
    """
    cluster = groups_of(labels)
    folds = [] if cluster is None else deal(cluster)
    if not folds or not all(_both_classes(labels.take(~held)) for held in folds):
        return [Part(roots_val, labels_val, _fit(roots, labels))]
    return [
        Part(roots[held], labels.take(held), _fit(roots[~held], labels.take(~held)))
        for held in folds
    ]


def deal(cluster: IntArray) -> list[BoolArray]:
    """Return for each fold of whole clusters (n,) which photographs are in it."""
    n = int(cluster.max()) + 1
    fold = (np.random.default_rng(0).permutation(n) % min(FOLDS, n))[cluster]
    return [fold == k for k in range(min(FOLDS, n))]


def choose(
    parts: Sequence[Part], loss: Callable[[FloatArray], float], on: str
) -> tuple[PenaltyChoice, FloatArray]:
    """Return the choice of penalty, and the log-odds at it of the parts' photographs.

    `loss` takes the log-odds of all parts, one below the other; `on` is as in `PenaltyChoice`.
    """
    losses: list[float] = []
    best = np.empty(0)
    for penalty in LOGISTIC_PENALTIES:
        log_odds = np.concatenate([part.fit.outputs(part.roots, penalty) for part in parts])
        losses.append(loss(log_odds))
        if losses[-1] > min(losses):
            break
        best = log_odds
    return PenaltyChoice.lowest(LOGISTIC_PENALTIES[: len(losses)], losses, on), best


class Fit:
    """A linear model of some photographs' roots (n, D), for one penalty after the other.

    What is minimised is a loss of the log-odds (n,) + penalty / 2 |w|^2, w being of standardised
    roots. `loss` gives n times its slopes (n,) too.
    """

    def __init__(
        self, roots: Float32Array, loss: Callable[[FloatArray], tuple[float, FloatArray]]
    ) -> None:
        self._roots, self._of_log_odds = roots, loss
        self._moments = feature_moments(roots)
        self._weights = np.zeros(roots.shape[1] + 1)
        self.cut_short = False

    def model(self, penalty: float) -> LinearModel:
        """Fit by L-BFGS (Liu and Nocedal, 1989), starting from the weights before."""
        limits = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0}
        found = minimize(self._loss, self._weights, penalty, "L-BFGS-B", jac=True, options=limits)
        self._weights, self.cut_short = found.x, found.status == 1
        return self._model(found.x)

    @property
    def note(self) -> str:
        """What must be said of the last fit; mostly ''."""
        if not self.cut_short:
            return ""
        return f"The solver was stopped after {MAX_ITERATIONS} iterations, before it had converged."

    def outputs(self, roots: Float32Array, penalty: float) -> FloatArray:
        """Fit, and return the log-odds (n,) of other photographs."""
        return _log_odds(self.model(penalty), roots)

    def _model(self, weights: FloatArray) -> LinearModel:
        """Return the model of weights (D + 1,) of standardised roots, the last of them the bias."""
        return self._moments.raw_model(weights[:-1, None], weights[-1:])

    def _loss(self, weights: FloatArray, penalty: float) -> tuple[float, FloatArray]:
        """Return the loss + penalty / 2 |w|^2, and its gradient (D + 1,).

        The roots are standardised in passing, so that no copy of them is made.
        """
        n, kernel = len(self._roots), weights[:-1]
        loss, slope = self._of_log_odds(_log_odds(self._model(weights), self._roots))
        away = slope.astype(np.float32)
        total = away.sum(dtype=np.float64)
        slopes = (away @ self._roots - total * self._moments.mean) / self._moments.deviation
        loss += penalty / 2 * float(kernel @ kernel)
        return loss, np.append(slopes / n + penalty * kernel, total / n)


def _fit(roots: Float32Array, labels: Labels) -> Fit:
    """Return the logistic regression of some photographs.

    Its loss is that of scikit-learn's `LogisticRegression` on photographs that count twice, as
    beautiful with the weight of their soft label and as not with the rest, divided by n.
    """
    share = labels.share_above
    return Fit(roots, lambda log_odds: (_log_loss(log_odds, share), sigmoid(log_odds) - share))


def _log_odds(model: LinearModel, roots: Float32Array) -> FloatArray:
    return np.asarray(roots @ model.kernel + model.bias)[:, 0]


def _log_loss(log_odds: FloatArray, share: FloatArray) -> float:
    return float(np.mean(np.logaddexp(0.0, log_odds) - share * log_odds))


def _both_classes(labels: Labels) -> bool:
    return bool(labels.share_above.max() > 0 and labels.share_above.min() < 1)


def _need_two_classes(labels: Labels) -> None:
    if not _both_classes(labels):
        kind = "beautiful" if labels.share_above.max() else "not beautiful"
        raise UnsuitableLabelsError(
            f"The head logistic needs both classes, and all {len(labels)} training photographs "
            f"are {kind}. Choose another --threshold, or train ridge instead."
        )
