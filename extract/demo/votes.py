"""The demo set's votes: a stated model of raters, calibrated to AVA's marginal.

The model. A photograph's latent quality is

    z = interest of the scene - 0.3 |subject off the middle| - sum of PENALTY[fault] * severity
        + taste N(0, 0.35)

and is moved and stretched to a mean of 5.40 and a deviation of 0.72, so that the votes come out
like AVA's (mean of means 5.39, variance 0.54, 70 % above 5). Each rater of a pool of 600 has a bias
N(0, 0.5) and a noise of 0.9 to 1.6; 80 to 250 of them see a photograph, and each gives the number
of thresholds 1.5, 2.5, ..., 9.5 below quality + bias + noise * N(0, 1), plus one. Taste is in no
picture, so nothing can predict the votes perfectly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from extract.demo.pictures import SCENES, Shot

LEVELS = 10
PENALTY = {
    "blur": 1.3,
    "noise": 1.2,
    "under": 1.2,
    "over": 1.1,
    "blocks": 1.1,
    "tilt": 0.6,
    "cast": 0.8,
    "haze": 0.9,
    "crop": 0.7,
}
QUALITY_MEAN, QUALITY_STD = 5.40, 0.72
TASTE_STD, OFF_CENTRE = 0.35, 0.3
RATERS, BIAS_STD, NOISE_RANGE = 600, 0.5, (0.9, 1.6)
MIN_VOTES, MAX_VOTES = 80, 250
THRESHOLDS = np.arange(1, LEVELS) + 0.5


def latent_quality(shots: Sequence[Shot], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the quality of N shots on the scale 1..10, (N,); `rng` draws taste."""
    raw = np.array([_visible_quality(shot) for shot in shots])
    raw += rng.normal(0, TASTE_STD, size=len(shots))
    quality: npt.NDArray[np.float64] = QUALITY_MEAN + QUALITY_STD * (raw - raw.mean()) / raw.std()
    return quality


def _visible_quality(shot: Shot) -> float:
    penalty = sum(PENALTY[name] * severity for name, severity in shot.faults)
    return SCENES[shot.scene].interest - OFF_CENTRE * float(np.hypot(*shot.shift)) - penalty


def cast_votes(quality: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Let raters vote: (N,) qualities to (N, 10) int32 counts of the ratings 1..10."""
    bias = rng.normal(0, BIAS_STD, size=RATERS)
    noise = rng.uniform(*NOISE_RANGE, size=RATERS)
    votes = np.zeros((len(quality), LEVELS), dtype=np.int32)
    for row, value in enumerate(quality):
        raters = rng.permutation(RATERS)[: rng.integers(MIN_VOTES, MAX_VOTES + 1)]
        felt = value + bias[raters] + noise[raters] * rng.standard_normal(len(raters))
        ratings = np.searchsorted(THRESHOLDS, felt)
        votes[row] = np.bincount(ratings, minlength=LEVELS)
    return votes
