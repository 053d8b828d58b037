"""Heads that learn which of two pictures people like better, as heads of one's own.

    python -m tests.benchmarks.choosing FEATURES OUT    # 5 folds, 3 ways of folding

Bradley and Terry (1952) on differences of features: the chance that i is liked better than j is
sigmoid(w (x_i - x_j)), fitted to pairs of photographs, each weighted by how surely their means
differ. `Within` takes the pairs within groups of train, `Across` pairs of different groups beside
them, in sum of the same weight. `paired_emd` is `emd` with the same loss of the pairs within
groups of each batch added. Scores of the first two only rank. Prints how they choose within groups,
and the paired differences from `emd`. Nothing is asserted: see RESULTS.md.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from heads.data.features import mean_of_views, signed_root
from heads.data.predictions import Prediction
from heads.data.splits import load_splits
from heads.experiments.compare import cross_validate
from heads.experiments.folds import fold_photographs
from heads.metrics.catalogue import CHOOSING
from heads.metrics.choosing import belonging, pairs_within
from heads.models.base import About
from heads.models.linear import feature_moments
from heads.models.pairs import sureness
from heads.report.leaderboard import render

HEADS = (
    "emd",
    "ridge",
    *(f"tests.benchmarks.choosing:{n}" for n in ("Within", "Across", "paired_emd")),
)
PENALTIES = np.logspace(-1.5, 2, 8)
PARTS, STEPS, ACROSS = 4, 30, 6000
# Of the loss of pairs beside that of `emd`, and points of difference in a unit of log-odds.
PAIR_WEIGHT, POINT = 0.02, 0.5


def newton(x: Any, weight: Any, penalty: float) -> Any:
    """Return w (r,) that minimises sum(weight * log(1 + exp(-x w))) + penalty |w|^2 / 2."""
    w = np.zeros(x.shape[1])
    for _ in range(STEPS):
        lost = expit(-x @ w)
        curved = (x * (weight * lost * (1 - lost))[:, None]).T @ x + penalty * np.eye(len(w))
        step = np.linalg.solve(curved, x.T @ (weight * lost) - penalty * w)
        w += step
        if np.abs(step).max() < 1e-6:
            break
    return w


class Within:
    """Learns from the pairs within groups, each group by the root of how many it has."""

    about = About("within", "Bradley-Terry on pairs within groups", ranking_only=True)
    across: ClassVar[int] = 0

    def fit(self, X: Any, labels: Any, X_val: Any, labels_val: Any, *, seed: int) -> list:
        """Fit all penalties, keep the one that orders groups best that are left out."""
        self.scale_, roots = labels.scale, signed_root(mean_of_views(X))
        self.moments_ = feature_moments(roots)
        _, size, axes = np.linalg.svd(self._standard(roots), full_matrices=False)
        self.axes_ = axes[size > 1e-6 * size[0]].T
        places, group = self._standard(roots) @ self.axes_, belonging(labels)
        better, worse, weight = self._pairs(labels, group, np.random.default_rng(seed))
        gaps = places[better] - places[worse]
        part = np.random.default_rng(1).permutation(group.max() + 1)[group] % PARTS
        losses = np.zeros(len(PENALTIES))
        for out in range(PARTS):
            inside = (part[better] != out) & (part[worse] != out)
            tried = (part[better] == out) & (group[better] == group[worse])
            for number, penalty in enumerate(PENALTIES):
                w = newton(gaps[inside], weight[inside], penalty)
                losses[number] += weight[tried] @ np.logaddexp(0, -gaps[tried] @ w)
        self.w_ = newton(gaps, weight, float(PENALTIES[losses.argmin()]))
        return []

    def _standard(self, roots: Any) -> Any:
        return self.moments_.standard(roots).astype(np.float64) / np.sqrt(roots.shape[1])

    def _pairs(self, labels: Any, group: Any, rng: Any) -> tuple[Any, Any, Any]:
        """Return the better and the worse of each pair (m,), and its weight."""
        order = np.argsort(group, kind="stable")
        i, j = (order[np.concatenate(c)] for c in zip(*pairs_within(group[order]), strict=True))
        many = np.bincount(group[i], minlength=group.max() + 1)[group[i]]
        weight = sureness(labels, i, j) / np.sqrt(many)
        if self.across:
            a, b = rng.integers(0, len(labels), (2, self.across))
            a, b = a[group[a] != group[b]], b[group[a] != group[b]]
            weight = np.concatenate([weight * len(a) / weight.sum(), sureness(labels, a, b)])
            i, j = np.concatenate([i, a]), np.concatenate([j, b])
        first = labels.mean[i] > labels.mean[j]
        return np.where(first, i, j), np.where(first, j, i), weight

    def predict(self, X: Any) -> Prediction:
        """Return scores that only rank, as their own probabilities."""
        p = expit(self._standard(signed_root(mean_of_views(X))) @ self.axes_ @ self.w_)
        lo, hi = self.scale_.lo, self.scale_.hi
        return Prediction(lo + (hi - lo) * p, p, ranking_only=True)

    def state(self) -> Any:
        """Keep nothing: folds need no model."""
        return {}, {}

    @classmethod
    def from_state(cls, arrays: Any, values: Any) -> Any:
        """Come back as it was not kept."""
        return cls()


class Across(Within):
    """Learns from the pairs within groups and from as many across them."""

    about = About("across", "Bradley-Terry on pairs within and across groups", ranking_only=True)
    across = ACROSS


def paired_emd() -> Any:
    """Return `emd` with the loss of pairs within groups; Keras is imported here."""
    from heads.models.registry import load_keras

    load_keras()
    import keras.ops as ops
    import tensorflow as tf

    from heads.models.neural import training
    from heads.models.neural.head import NeuralHead
    from heads.models.neural.network import Network
    from heads.models.neural.tasks import DistributionTask

    class Task(DistributionTask):
        about = replace(DistributionTask.about, name="paired-emd", linear_rival="")

        def encode(self, labels: Any) -> Any:
            """Put group, mean and its squared error behind the distribution."""
            error = labels.std**2 / (labels.n_votes - 1)
            more = np.stack([belonging(labels), labels.mean, error], axis=1)
            return np.concatenate([super().encode(labels), more], axis=1).astype(np.float32)

    def with_pairs(plain: Any, k: int) -> Any:
        def loss(true: Any, shares: Any) -> Any:
            score = ops.matmul(shares, ops.arange(1, k + 1, dtype="float32")[:, None])
            group, mean, error = (true[:, k + column, None] for column in range(3))
            gap, said = mean - mean[:, 0], score - score[:, 0]
            sure = ops.erf(ops.abs(gap) / ops.sqrt(2 * (error + error[:, 0]) + 1e-9))
            weight = sure * ops.cast(group == group[:, 0], "float32")
            pairs = weight * ops.softplus(-ops.sign(gap) * said / POINT)
            return plain(true[:, :k], shares) + PAIR_WEIGHT * ops.sum(pairs) / (ops.sum(weight) + 1)

        return loss

    def measured(network: Any) -> Any:
        def evaluate(inputs: Any, targets: Any) -> Any:
            outputs = network.body(inputs)
            return outputs, ops.mean(network.loss(targets, outputs))

        return tf.function(evaluate, reduce_retracing=True)

    class PairedEmd(NeuralHead):
        def __init__(self) -> None:
            super().__init__(Task, Task.tuned)

        def build(self, task: Any, targets: Any, *others: Any) -> Any:
            network = Network.build(task, targets[:, : task.levels], *others)
            return replace(network, loss=with_pairs(network.loss, task.levels))

        def fit(self, *given: Any, seed: int) -> Any:
            ordinary, training.make_evaluate = training.make_evaluate, measured
            try:
                return super().fit(*given, seed=seed)
            finally:
                training.make_evaluate = ordinary

        def state(self) -> Any:
            """Keep nothing: folds need no model."""
            return {}, {}

        @classmethod
        def from_state(cls, arrays: Any, values: Any) -> Any:
            """Come back as it was not kept."""
            return cls()

    PairedEmd.about = Task.about
    return PairedEmd()


def main(features: str, out: str) -> None:
    """Cross-validate the heads and print what they choose."""
    data = load_splits(features)
    done = cross_validate(data, fold_photographs(data, 5, ways=3), HEADS, out)
    print(render(done))
    samples = {entry.head: entry.sample for entry in done.entries}
    emd = samples.pop("emd")
    for head, sample in samples.items():
        gaps = sample.bootstrap.minus(emd.bootstrap)
        parts = ("{} {:+.3f} [{:+.3f}, {:+.3f}]".format(name, *gaps[name]) for name in CHOOSING)
        print(f"{head} - emd:", ", ".join(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
