"""What every head can do. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from heads.data.features import FeatureRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.errors import HeadError, UnsuitableLabelsError

if TYPE_CHECKING:
    from heads.data.splits import SplitData

Arrays = Mapping[str, npt.NDArray[Any]]
Values = Mapping[str, Any]
State = tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]

# One row an epoch: `epoch` and what was measured in it. Empty for heads in closed form.
History = list[dict[str, float]]

# `score` (n,), `p_beautiful` (n,) and, from some heads, `distribution` (n, K), as in a Prediction:
# arrays, or tensors of Keras.
Answers = dict[str, Any]


@dataclass(frozen=True)
class About:
    """What a head's class says of it.

    `needs_votes`: it cannot learn from mean-only labels. `needs_means`: nor from labels of 0 or 1,
    of which it would learn a mean that nobody gave. `learns_pairs`: it can from comparisons alone.
    `ranking_only`: its score is a probability on the scale. A head that neither
    `looks_at_photographs` nor, in their features' place, `looks_at_metadata` says the same of all.
    `linear_output` says in words what its last function is applied to, where that is linear in the
    features; '' elsewhere. `linear_rival` is the linear head that learns the same as this network,
    against which it is measured.
    """

    name: str
    summary: str
    needs_votes: bool = False
    needs_means: bool = False
    learns_pairs: bool = False
    looks_at_photographs: bool = True
    looks_at_metadata: bool = False
    ranking_only: bool = False
    linear_output: str = ""
    linear_rival: str = ""

    @property
    def constant(self) -> bool:
        """Whether it says the same of every photograph."""
        return not (self.looks_at_photographs or self.looks_at_metadata)

    def given(self, part: SplitData) -> FeatureRows:
        """Return what the head is given of a split: features, or metadata (n, 1, 6) float64."""
        return part.metadata if self.looks_at_metadata else part.X


class Head(Protocol):
    """Learns labels from features, predicts, and is saved as plain arrays and JSON values.

    What is learned ends in `_`. A head in closed form is made without arguments and has a class
    method `from_state(arrays, values)` that rebuilds it from `state()`; how a network comes back
    is in `heads.models.neural.head`.
    """

    about: About

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Learn from (n, V, D) features and n labels; choose and calibrate on val.

        Raises:
            HeadError: these labels cannot train this head.
        """
        ...

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from (n, V, D) features."""
        ...

    def state(self) -> State:
        """Return what was learned, arrays and JSON values: enough to predict."""
        ...


class LookingHead(Head, Protocol):
    """A head that looks at photographs: a model of their features, and what its outputs mean.

    `model_` is a `LinearModel` or a Keras model.
    """

    model_: Any

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Turn the model's outputs (n, width) into answers.

        `xp` is numpy, for arrays in float64, or keras.ops, for the tensors of an exported model.
        """
        ...


def suits(about: About, labels: Labels) -> bool:
    """Whether a head can learn from such labels."""
    if labels.pairs_alone:
        return about.learns_pairs
    has_votes = labels.votes is not None
    return (has_votes or not about.needs_votes) and (labels.has_means or not about.needs_means)


def need_means(about: About, labels: Labels) -> None:
    """Raise UnsuitableLabelsError where a head needs means and the labels are 0 or 1."""
    if about.needs_means and not labels.has_means:
        raise UnsuitableLabelsError(
            f"The head {about.name} learns mean scores, and the labels are 0 or 1. Train logistic, "
            "binary or a classifier of your own."
        )


def need_photographs(about: About, labels: Labels, labels_val: Labels | None = None) -> None:
    """Raise HeadError for fewer than two photographs of train, or none of val where it is given.

    And UnsuitableLabelsError for comparisons alone where the head cannot learn from them.
    """
    if labels.pairs_alone and not about.learns_pairs:
        raise UnsuitableLabelsError(
            f"The head {about.name} learns votes, means or labels, and of these photographs there "
            "are comparisons alone. Train pairs."
        )
    if len(labels) < 2:
        raise HeadError(
            f"The head {about.name} needs at least 2 training photographs; got {len(labels)}. "
            "Add photographs or raise --limit."
        )
    if labels_val is not None and not len(labels_val):
        raise HeadError(
            f"The head {about.name} chooses or calibrates on validation photographs, and there are "
            "none. Make a val split (--val-fraction above 0)."
        )
