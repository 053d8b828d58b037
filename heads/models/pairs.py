"""Which of two photographs people like better: Bradley-Terry on features. Numpy and scipy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import erf

from cache.types import FloatArray, IntArray, Scale
from heads.data.features import FeatureRows, Float32Array, roots_of_views
from heads.data.labels import Labels
from heads.data.predictions import Prediction, ranking_score
from heads.errors import UnsuitableLabelsError
from heads.metrics.choosing import belonging, pairs_within, squared_errors
from heads.models.base import About, Answers, History, need_photographs
from heads.models.calibration import platt_probability, sigmoid
from heads.models.linear import GROUPS, LinearHead
from heads.models.logistic import MOST_CHOSEN_ON, Fit, Part, choose, deal

# Of pairs within groups so many are enough; each photograph then has the next ones in its group.
MOST_PAIRS = 2**20


class PairsHead(LinearHead):
    """Logistic regression of who wins, on differences of standardised roots, without intercept.

    The log-odds that i is liked better than j are w (x_i - x_j) (Bradley and Terry, 1952; with
    features, Springall, "Response Surface Fitting Using a Generalization of the Bradley-Terry
    Paired Comparison Model", 1973). So one photograph has w (x - mean of train): the log-odds
    against a photograph that is average in every feature.

    It learns comparisons and, where there are votes, means or labels, the pairs within groups. The
    penalty has the lowest log-loss on pairs of photographs left out, whole groups at a time; there
    each photograph has log-odds too. Where there are means, a line through these leads from
    log-odds to the score, clipped to the scale. Else the score is the probability on the scale: of
    0 or 1 labels that of 1, of comparisons alone that of being liked better than the average
    photograph. Holds the mean of the views of all training photographs in memory.
    """

    about = About(
        "pairs",
        "which of two is liked better, Bradley-Terry",
        learns_pairs=True,
        linear_output="log-odds of being liked better than the average of train",
    )
    chosen_by = "cross-entropy of pairs (nats)"
    learns = ("scale", "platt", "line")
    line_: tuple[float, ...]

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Choose and calibrate on what is left out of train; val and the seed are not needed.

        Raises:
            HeadError: there are too few photographs, or no pairs of them in an order.
        """
        need_photographs(self.about, labels)
        n, pairs = min(len(labels), MOST_CHOSEN_ON), Pairs.of(labels)
        self.scale_ = (labels.scale.lo, labels.scale.hi)
        parts = _parts(roots_of_views(X[:n]), labels.take(slice(n)), len(pairs))
        told = Labels.concat([part.labels for part in parts])
        left_out = Pairs.of(told)
        if not len(left_out):
            raise _too_few(len(pairs))
        self.choice_, log_odds = choose(parts, lambda said: left_out.loss(said)[0], GROUPS)
        self._learn_scale(log_odds, told)
        fit = Fit(roots_of_views(X), pairs.loss)
        self.model_ = fit.model(self.choice_.penalty * n / len(labels))
        self.note_ = f"{self.note_} {fit.ended_early}".strip()
        return []

    def _learn_scale(self, log_odds: FloatArray, told: Labels) -> None:
        """Learn from log-odds (m,) of photographs left out what scores and probabilities are."""
        self.line_, self.platt_, self.note_ = (), (1.0, 0.0), ""
        if told.has_means:
            self.line_ = _line(log_odds, told.mean)
            self._calibrate(self._score(log_odds, np), told, float(told.threshold))
        elif not told.pairs_alone:
            self._calibrate(log_odds, told, told.middle_logit)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Turn log-odds (n, 1) into scores and probabilities."""
        if self.line_:
            score = self._score(outputs[:, 0], xp)
            return {"score": score, "p_beautiful": platt_probability(score, *self.platt_, xp)}
        p = platt_probability(outputs[:, 0], *self.platt_, xp)
        return {"score": ranking_score(p, Scale(*self.scale_)), "p_beautiful": p}

    def _score(self, log_odds: Any, xp: Any) -> Any:
        slope, at_zero = self.line_
        return xp.clip(log_odds * slope + at_zero, *self.scale_)

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from (n, V, D) features. Raises HeadError if D differs."""
        return replace(super().predict(X), ranking_only=not self.line_)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of photographs that people put in an order.

    `better` and `worse` (P,) are row numbers, `weight` (P,) float64 is above 0.
    """

    better: IntArray
    worse: IntArray
    weight: FloatArray

    @classmethod
    def of(cls, labels: Labels) -> Pairs:
        """Return the comparisons, and the pairs within groups that votes, means or labels order.

        A comparison is as sure as can be, a pair of votes as surely as its means differ; and each
        weighs that over the root of how many such pairs its group has: a series of thirty has 435.
        """
        first, second = _within(labels)
        ahead = labels.mean[first] > labels.mean[second]
        better, worse = np.where(ahead, first, second), np.where(ahead, second, first)
        winner, loser = np.empty((2, 0), np.int64) if labels.pairs is None else labels.pairs.T
        group = belonging(labels)
        weight = np.concatenate(
            [
                1 / np.sqrt(_many(group, winner, loser)),
                sureness(labels, first, second) / np.sqrt(_many(group, first, second)),
            ]
        )
        told = weight > 0
        both = np.concatenate([winner, better])[told], np.concatenate([loser, worse])[told]
        return cls(*both, weight[told])

    def __len__(self) -> int:
        return len(self.weight)

    def loss(self, log_odds: FloatArray) -> tuple[float, FloatArray]:
        """Return the mean log-loss of log-odds (n,) of photographs, and n times its slopes (n,)."""
        n, share = len(log_odds), self.weight / self.weight.sum()
        gap = log_odds[self.better] - log_odds[self.worse]
        wrong = n * share * sigmoid(-gap)
        slopes: FloatArray = np.bincount(self.worse, wrong, n).astype(np.float64)
        slopes -= np.bincount(self.better, wrong, n)
        return float(share @ np.logaddexp(0.0, -gap)), slopes


def sureness(labels: Labels, first: IntArray, second: IntArray) -> FloatArray:
    """Return how surely the means of two photographs differ, 0 to 1: 2 Phi(|gap| / error) - 1.

    `first` and `second` (P,) are row numbers. Means without votes are taken as they are.
    """
    error = squared_errors(labels)
    gap = np.abs(labels.mean[first] - labels.mean[second])
    width = np.sqrt(2 * (error[first] + error[second]))
    exact = np.where(gap > 0, np.inf, 0.0)
    sure: FloatArray = erf(np.divide(gap, width, out=exact, where=width > 0))
    return sure


def _within(labels: Labels) -> tuple[IntArray, IntArray]:
    """Return row numbers (P,) of pairs within groups; none of photographs without means."""
    nothing = np.empty(0, np.int64)
    found = [(nothing, nothing)]
    if not labels.pairs_alone:
        group = belonging(labels)
        order, total = np.argsort(group, kind="stable"), 0
        for first, second in pairs_within(group[order]):
            found.append((order[first], order[second]))
            total += len(first)
            if total >= MOST_PAIRS:
                break
    first, second = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second


def _many(group: IntArray, one: IntArray, other: IntArray) -> IntArray:
    """Return (P,) how many of the pairs lie in the same group; 1 for photographs of two."""
    together = group[one] == group[other]
    many = np.bincount(group[one[together]], minlength=len(group))
    return np.where(together, many[group[one]], 1)


def _parts(roots: Float32Array, labels: Labels, n_pairs: int) -> list[Part]:
    """Leave out folds of groups in turn; of photographs, where all are in one group or in none.

    Raises UnsuitableLabelsError where the others hold no pair.
    """
    cluster = belonging(labels)
    parts = []
    for held in deal(cluster if cluster.any() else np.arange(len(cluster))):
        pairs = Pairs.of(labels.take(~held))
        if not len(pairs):
            raise _too_few(n_pairs)
        parts.append(Part(roots[held], labels.take(held), Fit(roots[~held], pairs.loss)))
    return parts


def _too_few(n: int) -> UnsuitableLabelsError:
    return UnsuitableLabelsError(
        "The head pairs learns from pairs of training photographs that people put in an order, by "
        "comparing them (pairs.csv) or by votes within a group, and leaves some out to choose its "
        f"penalty; there are {n:,}, which is too few. Add comparisons, or a column `group`."
    )


def _line(log_odds: FloatArray, mean: FloatArray) -> tuple[float, float]:
    """Return slope and value at 0 of the line of least squares through means (m,).

    Where that does not rise, the slope that gives scores the deviation of the means: the order of
    log-odds is what the head has learned.
    """
    deviation = float(log_odds.std()) or 1.0
    slope = float(np.mean((log_odds - log_odds.mean()) * (mean - mean.mean()))) / deviation**2
    if slope <= 0:
        slope = (float(mean.std()) or 1.0) / deviation
    return slope, float(mean.mean() - slope * log_odds.mean())
