"""What the demo set holds, row by row, drawn from one seed before any picture is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extract.demo.pictures import SCENES, Shot, draw_shot
from extract.demo.votes import cast_votes, latent_quality
from extract.labels.splits import VAL_FRACTION_OF_OFFICIAL, SplitSettings, hash_fractions

PER_CHALLENGE, PER_MISSING, PER_BROKEN, MAX_BROKEN = 75, 100, 250, 6
TRAIN_SHARE_IN_VAL = 0.18
# 5 % of the ids hash into val, about 25 % of the rows want one of these.
IDS_PER_ROW = 12


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of a demo set.

    `image_id` (N,), `shots` N, `votes` (N, 10), `challenge` (N,) from 1; `missing` rows get no
    photograph, `broken` rows a damaged one.
    """

    image_id: npt.NDArray[np.int64]
    shots: tuple[Shot, ...]
    votes: npt.NDArray[np.int32]
    challenge: npt.NDArray[np.int64]
    missing: frozenset[int]
    broken: tuple[int, ...]


def make_plan(photographs: int, seed: int) -> Plan:
    """Draw a whole set; equal arguments give an equal plan."""
    rng_rows, rng_shots, rng_votes = np.random.default_rng(seed).spawn(3)
    challenge = rng_rows.permutation(np.arange(photographs) // PER_CHALLENGE + 1)
    shots = tuple(draw_shot(rng_shots) for _ in range(photographs))
    bad = [int(row) for row in rng_rows.permutation(photographs)]
    n_missing = photographs // PER_MISSING
    n_broken = min(MAX_BROKEN, photographs // PER_BROKEN)
    return Plan(
        image_id=_draw_ids(shots, rng_rows),
        shots=shots,
        votes=cast_votes(latent_quality(shots, challenge, rng_votes), rng_votes),
        challenge=challenge,
        missing=frozenset(bad[:n_missing]),
        broken=tuple(bad[n_missing : n_missing + n_broken]),
    )


def _draw_ids(shots: Sequence[Shot], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw (N,) different ids of which just those meant for val hash into the default val part.

    Val is all of the val scenes and a share of the training scenes' crops: penalties and epochs
    chosen on strange scenes alone would be as good as constant, and on known ones alone too bold.
    """
    scenes = np.array([SCENES[shot.scene].split for shot in shots])
    from_train = (scenes == "train") & (rng.random(len(shots)) < TRAIN_SHARE_IN_VAL)
    wants_val = (scenes == "val") | from_train
    drawn = rng.choice(np.arange(1000, 960_000), size=IDS_PER_ROW * len(shots), replace=False)
    fractions = hash_fractions(SplitSettings().seed, drawn.astype(str))
    in_val = fractions < VAL_FRACTION_OF_OFFICIAL
    ids = np.empty(len(shots), dtype=np.int64)
    ids[wants_val] = drawn[in_val][: wants_val.sum()]
    ids[~wants_val] = drawn[~in_val][: (~wants_val).sum()]
    return ids
