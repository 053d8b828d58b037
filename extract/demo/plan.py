"""What the demo set holds, row by row, drawn from one seed before any picture is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extract.demo.pictures import SCENES, Scene, Shot, draw_shot
from extract.demo.votes import cast_votes, latent_quality

PER_MISSING, PER_BROKEN, MAX_BROKEN = 100, 250, 6


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of a demo set.

    `shots` N, `votes` (N, 10); `missing` rows get no photograph, `broken` rows a damaged one.
    """

    shots: tuple[Shot, ...]
    votes: npt.NDArray[np.int32]
    missing: frozenset[int]
    broken: tuple[int, ...]

    def scene(self, row: int) -> Scene:
        """Return the scene that a row's photograph is a crop of."""
        return SCENES[self.shots[row].scene]

    def file(self, row: int) -> str:
        """Return the name of a row's photograph."""
        return f"{self.scene(row).name}-{row + 1:05d}.jpg"


def make_plan(photographs: int, seed: int) -> Plan:
    """Draw a whole set; equal arguments give an equal plan."""
    rng_rows, rng_shots, rng_votes = np.random.default_rng(seed).spawn(3)
    shots = tuple(draw_shot(rng_shots) for _ in range(photographs))
    bad = [int(row) for row in rng_rows.permutation(photographs)]
    n_missing = photographs // PER_MISSING
    n_broken = min(MAX_BROKEN, photographs // PER_BROKEN)
    return Plan(
        shots=shots,
        votes=cast_votes(latent_quality(shots, rng_votes), rng_votes),
        missing=frozenset(bad[:n_missing]),
        broken=tuple(bad[n_missing : n_missing + n_broken]),
    )
