"""What is known of a photograph that was scored, and of its place among others."""

from __future__ import annotations

from dataclasses import dataclass

from heads.data.features import Float32Array
from heads.runs.loaded import Opinion


@dataclass(frozen=True, eq=False)
class Scored:
    """One photograph: an opinion of each run, or the reason in words why there is none.

    `features` (1280,) float32, to compare photographs by, are those of the layer `top`, the mean
    of the views; None where it could not be read.
    """

    path: str
    opinions: tuple[Opinion, ...]
    error: str
    features: Float32Array | None


@dataclass(frozen=True, eq=False)
class Ranked:
    """A photograph in its place among all.

    `duplicate_of` is the path of the better photograph that it nearly equals, or ''; `group` its
    item, '' where photographs are not grouped; `group_size` how many pictures of the item were
    scored; `best` whether it is the best of them; `too_close` whether its score is too close to the
    best one's to call, for the best one whether that of any other is; None where that is not known.
    """

    scored: Scored
    duplicate_of: str = ""
    group: str = ""
    group_size: int = 1
    best: bool = True
    too_close: bool | None = None
