"""How often a head chooses right among pictures that belong together. Numpy and scipy.

Owns which photographs are such a choice, which pairs of them people put in an order, and the sums
of each group that the metrics `pair_acc`, `best_of_group` and `regret` are ratios of; and
`pair_acc` where comparisons are all that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cache.types import FloatArray, IntArray, TextArray
from heads.data.labels import Labels, clusters
from heads.data.predictions import Prediction

# A pair is ordered by people where its means lie further apart than chance puts equal ones 19 times
# in 20: Welch's test (1947), with the normal quantile.
DISCERNED = 1.96

# Of each metric its numerator and its denominator (G,), one number a group.
Sums = Mapping[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, eq=False)
class Choices:
    """Groups of two or more photographs whose means are not all equal: what there is to choose.

    `rows` (m,) are their row numbers in the labels, group by group; `group` (m,) counts the groups
    from 0, and `starts` (G,) says where each begins. `mean` (m,) are their true means, `error` (m,)
    the squares of these means' standard errors: 0 where votes are unknown, infinite for one vote.
    """

    rows: IntArray
    group: IntArray
    starts: IntArray
    mean: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, labels: Labels) -> Choices | None:
        """Find the groups of n photographs; None where there is none."""
        cluster = belonging(labels)
        order = np.argsort(cluster, kind="stable")
        starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
        mean = labels.mean[order]
        differ = np.maximum.reduceat(mean, starts) > np.minimum.reduceat(mean, starts)
        kept = np.repeat(differ, np.diff(starts, append=len(order)))
        if not kept.any():
            return None
        rows = order[kept]
        starts = np.flatnonzero(np.diff(cluster[rows], prepend=-1))
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
        return cls(rows, group, starts, labels.mean[rows], squared_errors(labels.take(rows)))

    @property
    def sizes(self) -> IntArray:
        """(G,) how many photographs each group has."""
        return np.diff(self.starts, append=len(self.rows))

    @property
    def n_pairs(self) -> int:
        """How many pairs of photographs lie in one group."""
        return int((self.sizes * (self.sizes - 1) // 2).sum())

    def pairs(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield places i, j in `rows` of all pairs that people put in an order, many at once.

        Those whose means differ by more than 1.96 standard errors of the difference, so that ties
        are left out too; of means without votes, all that differ.
        """
        for first, second in pairs_within(self.group):
            gap = np.abs(self.mean[first] - self.mean[second])
            told = gap > DISCERNED * np.sqrt(self.error[first] + self.error[second])
            yield first[told], second[told]

    def sums_of(self, prediction: Prediction) -> Sums:
        """Return the sums of what a head says of all n photographs of the labels."""
        here = prediction.take(self.rows)
        return self.sums(here.score, self.mean, here.apart)

    def sums(self, score: FloatArray, mean: FloatArray, apart: FloatArray | None = None) -> Sums:
        """Return each metric's sums over groups, of scores (m,) measured by means (m,).

        `apart` (m,) is by how much scores must differ to decide a pair, infinite where not known.
        Equal scores are a choice by chance, so a constant gets what chance gets: a pair counts one
        half, and the chosen one is each of the highest with equal probability.
        """
        right, told, known, decided, well = np.zeros((5, len(self.starts)))
        needed = apart if apart is not None else np.full(len(score), np.inf)
        for i, j in self.pairs():
            agree = np.sign(score[i] - score[j]) * np.sign(mean[i] - mean[j])
            sure = np.abs(score[i] - score[j]) > needed[i]
            for total, each in (
                (right, (1 + agree) / 2),
                (told, np.ones(len(i))),
                (known, np.isfinite(needed[i])),
                (decided, sure),
                (well, sure & (agree > 0)),
            ):
                total += np.bincount(self.group[i], each, len(total))
        best = np.maximum.reduceat(mean, self.starts)
        chosen = score == np.maximum.reduceat(score, self.starts)[self.group]
        n_chosen = self._total(chosen)
        once = np.ones(len(self.starts))
        found = {
            "pair_acc": (right, told),
            "best_of_group": (self._total(chosen & (mean == best[self.group])) / n_chosen, once),
            "regret": (best - self._total(chosen * mean) / n_chosen, once),
        }
        if apart is None:
            return found
        return found | {"decided": (decided, known), "decided_acc": (well, decided)}

    def _total(self, values: npt.NDArray[Any]) -> FloatArray:
        return np.add.reduceat(values, self.starts, dtype=np.float64)


def rates(sums: Sums, counts: FloatArray) -> dict[str, FloatArray]:
    """Return each metric (B,), where group g counts counts[g, b] times; NaN for no pair at all."""
    found = {}
    for name, (top, bottom) in sums.items():
        below = bottom @ counts
        nothing = np.full(len(below), np.nan)
        found[name] = np.divide(top @ counts, below, out=nothing, where=below > 0)
    return found


def agreement(score: FloatArray, labels: Labels, counts: FloatArray) -> FloatArray:
    """Return (B,) the share of comparisons whose winner has the higher score; NaN for none at all.

    Equal scores count one half. A comparison counts as often as both its photographs were drawn,
    one by one (Owen, "The Pigeonhole Bootstrap", 2007); within a group, which is drawn whole, as
    often as that.

    Args:
        score: (n,) float64.
        labels: of the same n photographs, with comparisons.
        counts: (n, B) float64, as `heads.metrics.bootstrap.draw_counts` gives them.
    """
    winner, loser = np.empty((2, 0), np.int64) if labels.pairs is None else labels.pairs.T
    right, n = (1 + np.sign(score[winner] - score[loser])) / 2, len(labels)
    cluster = clusters(labels.group)
    together = cluster[winner] == cluster[loser]
    sums: list[FloatArray] = []
    for each in (right, np.ones(len(right))):
        within = np.bincount(winner, each * together, n) @ counts
        across = sparse.csr_array((each * ~together, (winner, loser)), shape=(n, n))
        sums.append(within + (counts * (across @ counts)).sum(axis=0))
    agreed, total = sums
    share: FloatArray = np.divide(agreed, total, out=np.full(len(total), np.nan), where=total > 0)
    return share


def belonging(labels: Labels) -> IntArray:
    """Return (n,) numbers of what belongs together: groups, or challenges where there are none."""
    group: TextArray = labels.group
    if labels.challenge is not None and not (group != "").any():
        group = np.where(labels.challenge > 0, labels.challenge.astype(np.str_), "")
    return clusters(group)


def pairs_within(group: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield places i < j of all pairs of one group, many at once; a group's (m,) lie together."""
    first, step = np.arange(len(group)), 0
    while len(first):
        step += 1
        first = first[: np.searchsorted(first, len(group) - step)]
        first = first[group[first] == group[first + step]]
        yield first, first + step


def squared_errors(labels: Labels) -> FloatArray:
    """Return the square of each mean's standard error: with v the variance of N votes, v / (N - 1).

    v divides by N, so that v N / (N - 1) estimates the variance of people, and v / (N - 1) that of
    the mean.
    """
    if labels.votes is None:
        return np.zeros(len(labels))
    others = labels.n_votes - 1
    unknown = np.full(len(labels), np.inf)
    errors: FloatArray = np.divide(labels.std**2, others, out=unknown, where=others > 0)
    return errors
