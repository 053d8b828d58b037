"""Labels, predictions and features made of numbers, for tests of stage two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cache.labels import mean_of_votes
from cache.types import Scale
from heads.data.distributions import distribution_mean
from heads.data.features import StoredRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.data.splits import SplitData


def middle(scale: Scale) -> float:
    """Return the middle of a scale."""
    return (scale.lo + scale.hi) / 2


def labels_of_votes(votes: object, threshold: str = "5", **columns: object) -> Labels:
    """Labels of (n, K) votes; `group` and `challenge` may be given."""
    counts = np.asarray(votes, np.int32)
    n, levels = counts.shape
    return Labels(
        image_id=np.array([f"photo{i}" for i in range(n)]),
        path=np.array([f"photo{i}.jpg" for i in range(n)]),
        group=np.asarray(columns.get("group", [""] * n), dtype=np.str_),
        votes=counts,
        mean=mean_of_votes(counts),
        scale=Scale(1, levels),
        threshold=threshold,
        challenge=columns.get("challenge"),
    )


def labels_of_means(means: object, threshold: str = "5", scale: Scale | None = None) -> Labels:
    """Mean-only labels."""
    values = np.asarray(means, np.float64)
    return Labels(
        image_id=np.array([f"photo{i}" for i in range(len(values))]),
        path=np.array([f"photo{i}.jpg" for i in range(len(values))]),
        group=np.full(len(values), ""),
        votes=None,
        mean=values,
        scale=scale or Scale(1, 10),
        threshold=threshold,
    )


def compared(pairs: object, n: int, group: object = None) -> Labels:
    """Labels of n photographs of which comparisons (P, 2) are all that is known."""
    labels = labels_of_means(np.full(n, np.nan), "0.5", Scale(0, 1))
    groups = labels.group if group is None else np.asarray(group, np.str_)
    return replace(labels, pairs=np.asarray(pairs, np.int64).reshape(-1, 2), group=groups)


def random_labels(n: int, levels: int = 10, seed: int = 0, **columns: object) -> Labels:
    """Labels with 5 to 60 votes a photograph and means on both sides of the threshold."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(levels, 1.5), n)
    votes = rng.multinomial(rng.integers(5, 60, n), shares)
    return labels_of_votes(votes, threshold=str((levels + 1) / 2), **columns)


def noisy_prediction(labels: Labels, noise: float = 0.5, seed: int = 1) -> Prediction:
    """Distributions between the true ones and random ones; scores are their means."""
    rng = np.random.default_rng(seed)
    wrong = rng.dirichlet(np.ones(labels.levels), len(labels))
    distribution = (1 - noise) * labels.distribution + noise * wrong
    score = distribution_mean(distribution)
    p_beautiful = 1 / (1 + np.exp(middle(labels.scale) - score))
    return Prediction(score, p_beautiful, distribution)


def with_intervals(prediction: Prediction) -> Prediction:
    """The same prediction with intervals of half a point to either side and more, and a bound."""
    n = len(prediction)
    return replace(prediction, margin=np.linspace(0.5, 1.5, n), apart=np.full(n, 0.1))


def constant_prediction(labels: Labels) -> Prediction:
    """The same distribution for every photograph."""
    n, levels = len(labels), labels.levels
    return Prediction(
        np.full(n, middle(labels.scale)), np.full(n, 0.4), np.full((n, levels), 1 / levels)
    )


def with_budget(data: Mapping[str, SplitData], memory_bytes: int) -> dict[str, SplitData]:
    """Return the splits with another memory budget for train."""
    train = data["train"]
    rows = StoredRows(train.X[:], memory_bytes=memory_bytes)
    return {**data, "train": replace(train, X=rows)}


@dataclass(frozen=True, eq=False)
class Planted:
    """Features (n, V, D) float16 from which labels follow, for train, val and test."""

    X: np.ndarray
    labels: Labels

    def part(self, start: int, stop: int) -> tuple[np.ndarray, Labels]:
        """Features and labels of some rows."""
        return self.X[start:stop], self.labels.take(slice(start, stop))


def planted(n: int, width: int = 12, views: int = 2, levels: int = 7, seed: int = 0) -> Planted:
    """Photographs whose mean rating is linear in their features, plus noise."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(2.0, 0.5, (n, 1, width))
    X = (base + 0.1 * rng.standard_normal((n, views, width))).astype(np.float16)
    signal = (base[:, 0] - 1) @ rng.standard_normal(width) / np.sqrt(width)
    centre = (levels + 1) / 2 + signal + 0.2 * rng.standard_normal(n)
    away = np.arange(1, levels + 1) - centre[:, None]
    shares = np.exp(-(away**2) / 3)
    votes = rng.multinomial(50, shares / shares.sum(axis=1, keepdims=True))
    return Planted(X, labels_of_votes(votes, threshold=str((levels + 1) / 2)))


def means_only(labels: Labels) -> Labels:
    """The same labels without their votes."""
    return replace(labels, votes=None)


def in_groups(labels: Labels, size: int = 2) -> Labels:
    """The same labels with groups of so many photographs, one after the other."""
    names = [f"group{i // size}" for i in range(len(labels))]
    return replace(labels, group=np.array(names, np.str_))


def all_on_one_side(labels: Labels, *, beautiful: bool) -> Labels:
    """The same labels with a threshold that all of them are above, or none."""
    return replace(labels, threshold="0" if beautiful else "7")
