"""A trained run, ready to say something of new features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heads.data.distributions import distribution_std
from heads.data.features import Float32Array
from heads.data.predictions import Prediction, predicted_label
from heads.errors import RunError
from heads.metrics.conformal import bounded
from heads.models.base import Head
from heads.runs.checksums import note_unlisted
from heads.runs.config import RunConfig
from heads.runs.files import anything, load_head, read_config
from heads.runs.reference import Reference, read_reference

# Heads answer so many photographs at once, never fewer: products of matrices of other sizes round
# otherwise, by 1e-6 of a score and so 0.3 of a percentile.
ROWS = 256


@dataclass(frozen=True)
class Opinion:
    """What one run says of one photograph.

    `score` is on the scale of the run's data; `std` the standard deviation of the predicted
    votes, None for a head without distributions; `p_beautiful` in [0, 1]; `percentile`, 0 to 100,
    among the run's own scores of its training photographs; `beautiful` the label. People's mean
    lies from `lo` to `hi` 90 times of 100; None where the run does not know that.
    """

    score: float
    std: float | None
    p_beautiful: float
    percentile: float
    beautiful: bool
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained head ready to score."""

    path: Path
    config: RunConfig
    head: Head
    reference: Reference

    def opinions(self, features: Float32Array) -> list[Opinion]:
        """Score (n, V, D) features; what is said of one does not depend on the others."""
        prediction = predicted_alone(self.head, features)
        prediction = bounded(prediction, self.reference.intervals)
        stds: Sequence[float | None] = [None] * len(features)
        lo = hi = stds
        if prediction.distribution is not None:
            stds = distribution_std(prediction.distribution).tolist()
        if prediction.margin is not None and np.isfinite(prediction.margin).all():
            scale = self.reference.scale
            ends = prediction.score - prediction.margin, prediction.score + prediction.margin
            lo, hi = (np.clip(end, scale.lo, scale.hi).tolist() for end in ends)
        columns = (
            prediction.score.tolist(),
            stds,
            prediction.p_beautiful.tolist(),
            self.reference.percentile(prediction.score).tolist(),
            predicted_label(prediction, self.reference.threshold).tolist(),
            lo,
            hi,
        )
        return [Opinion(*values) for values in zip(*columns, strict=True)]


def predicted_alone(head: Head, features: Float32Array) -> Prediction:
    """Predict from (n, V, D) features, n above 0, so that no answer depends on the others.

    `ROWS` at once, the last block filled up with its own.
    """
    blocks = [features[start : start + ROWS] for start in range(0, len(features), ROWS)]
    return Prediction.concat(
        [
            head.predict(block[np.arange(ROWS) % len(block)]).take(slice(len(block)))
            for block in blocks
        ]
    )


def load_run(path: Path) -> LoadedRun:
    """Load a run's head and what its scores are held against; no code is run from its files.

    Raises:
        RunError: no run, or a damaged one.
    """
    run = LoadedRun(path, read_config(path), load_head(path), read_reference(path))
    _check_ratings(run)
    note_unlisted(path)
    return run


def _check_ratings(run: LoadedRun) -> None:
    """Refuse a head whose distributions are over other ratings than those of the run's scale."""
    scale = run.reference.scale
    shares = run.head.predict(anything(run.head, run.config.extractor)).distribution
    if shares is not None and (scale.lo, scale.hi) != (1, shares.shape[1]):
        raise RunError(
            f"{run.path} is damaged: its model predicts {shares.shape[1]} ratings, its scale is "
            f"{scale.lo:g} to {scale.hi:g}. Train the head again with --overwrite."
        )
