"""A trained run, ready to say something of new features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heads.data.distributions import distribution_std
from heads.data.features import Float32Array
from heads.data.predictions import predicted_label
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
        return [
            opinion
            for start in range(0, len(features), ROWS)
            for opinion in self._of_block(features[start : start + ROWS])
        ]

    def _of_block(self, features: Float32Array) -> list[Opinion]:
        n, scale = len(features), self.reference.scale
        prediction = self.head.predict(features[np.arange(ROWS) % n])
        prediction = bounded(prediction, self.reference.intervals)
        stds: Sequence[float | None] = [None] * n
        if prediction.distribution is not None:
            stds = distribution_std(prediction.distribution).tolist()[:n]
        lo: Sequence[float | None] = [None] * n
        hi = lo
        if prediction.margin is not None and np.isfinite(prediction.margin).all():
            ends = prediction.score - prediction.margin, prediction.score + prediction.margin
            lo, hi = (np.clip(end, scale.lo, scale.hi).tolist()[:n] for end in ends)
        columns = (
            prediction.score.tolist()[:n],
            stds,
            prediction.p_beautiful.tolist()[:n],
            self.reference.percentile(prediction.score).tolist()[:n],
            predicted_label(prediction, self.reference.threshold).tolist()[:n],
            lo,
            hi,
        )
        return [Opinion(*values) for values in zip(*columns, strict=True)]


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
