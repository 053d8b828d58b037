"""How far people agree with each other: the ceiling of what any head can reach. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray
from heads.data.distributions import ratings
from heads.data.labels import Labels
from heads.metrics.choosing import Choices, rates
from heads.metrics.weighted import spearman

HALVINGS = 10


@dataclass(frozen=True)
class Reliability:
    """How far the votes of one half of the people predict those of the other half.

    `srcc` and `plcc` are the reliabilities of the mean of all votes; the ceilings are the
    correlations with these means that a head which knows the true means would reach.
    """

    srcc: float
    plcc: float
    srcc_ceiling: float
    plcc_ceiling: float
    n_photos: int


def ceiling(labels: Labels, seed: int) -> Reliability | None:
    """Estimate from random halves of each photograph's votes how good any head can get.

    With r the correlation between the halves' means (mean over 10 splits), the mean of twice as
    many votes has the reliability R = 2 r / (1 + r) (Spearman 1910; Brown 1910), and true means
    correlate with it by sqrt(R) (attenuation, Spearman 1904). For ranks this is an approximation.
    A correlation below 0 counts as 0. None for mean-only labels, and for fewer than two photographs
    with two votes, which do not tell it.
    """
    if labels.votes is None or np.count_nonzero(labels.n_votes >= 2) < 2:
        return None
    votes = labels.votes[labels.n_votes >= 2]
    rng = np.random.default_rng(seed)
    halves = [_half_means(votes, rng) for _ in range(HALVINGS)]
    srcc = _step_up([spearman(a, b) for a, b in halves])
    plcc = _step_up([_pearson(a, b) for a, b in halves])
    return Reliability(srcc, plcc, math.sqrt(srcc), math.sqrt(plcc), len(votes))


@dataclass(frozen=True)
class ChoiceCeiling:
    """What there is to choose, and how well one half of the people chooses as the other half does.

    `n_groups` of two or more photographs with `n_pairs` pairs, of which `n_told` have an order that
    the votes tell. `metrics` are those of choosing, of one half's means measured by the other's;
    None for labels that are no votes, or one vote.
    """

    n_groups: int
    n_pairs: int
    n_told: int
    metrics: dict[str, float] | None


def choice_ceiling(labels: Labels, seed: int) -> ChoiceCeiling | None:
    """Measure random halves of each photograph's votes by one another; None without groups.

    Means over 10 splits. Heads are measured by all votes, which are less noisy than a half, so that
    this lies a little below what could be reached.
    """
    choices = Choices.of(labels)
    if choices is None:
        return None
    told = sum(len(first) for first, _ in choices.pairs())
    facts = len(choices.starts), choices.n_pairs, told
    votes = None if labels.votes is None else labels.votes[choices.rows]
    if votes is None or (votes.sum(axis=1) < 2).any():
        return ChoiceCeiling(*facts, None)
    rng, once = np.random.default_rng(seed), np.ones((len(choices.starts), 1))
    halves = [rates(choices.sums(*_half_means(votes, rng)), once) for _ in range(HALVINGS)]
    means = {name: float(np.mean([half[name] for half in halves])) for name in halves[0]}
    return ChoiceCeiling(*facts, means)


def _half_means(
    votes: npt.NDArray[np.int32], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw half of each row's votes without replacement; return both halves' means (n,).

    Rating by rating: of the votes left, so many belong to this rating and so many are still wanted
    (the multivariate hypergeometric distribution as a chain of plain ones).
    """
    left = votes.sum(axis=1, dtype=np.int64)
    wanted = left // 2
    half = np.empty(votes.shape, np.int64)
    for k, here in enumerate(votes.T.astype(np.int64)):
        half[:, k] = rng.hypergeometric(here, left - here, wanted)
        left, wanted = left - here, wanted - half[:, k]
    levels = ratings(votes.shape[1])
    rest = votes - half
    return half @ levels / half.sum(axis=1), rest @ levels / rest.sum(axis=1)


def _pearson(x: FloatArray, y: FloatArray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _step_up(correlations: list[float]) -> float:
    r = max(float(np.mean(np.nan_to_num(correlations, nan=0.0))), 0.0)
    return 2 * r / (1 + r)
