"""What a head says of photographs, and what is read off it: the label, the score of a probability.

Owns the meaning of a predicted label. Numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.text import shown
from cache.types import FloatArray, Scale
from heads.data.labels import BoolArray, above
from heads.errors import HeadError

COLUMNS = ("score", "p_beautiful", "distribution", "margin", "apart")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a head says of n photographs.

    `score` (n,) float64 on the data's scale; `p_beautiful` (n,) float64 in [0, 1]; `distribution`
    (n, K) float64 whose rows sum to 1, or None. `ranking_only`: the score is a probability in
    disguise, so errors on the scale mean nothing. `label_by_p`: the label follows `p_beautiful`
    although the score is on the scale (see `predicted_label`). `margin` (n,) float64 is how far
    the mean lies from the score at most, 90 times of 100, and `apart` (n,) by how much a difference
    of two scores of one group misses that of the means; infinite where val did not tell, None where
    it was not asked (`heads.metrics.conformal`).

    Raises:
        HeadError: the columns differ in length, or hold NaN or infinity.
    """

    score: FloatArray
    p_beautiful: FloatArray
    distribution: FloatArray | None = None
    ranking_only: bool = False
    label_by_p: bool = False
    margin: FloatArray | None = None
    apart: FloatArray | None = None

    def __post_init__(self) -> None:
        columns = self._columns()
        lengths = sorted({len(c) for c in columns.values()})
        if len(lengths) != 1:
            raise HeadError(f"The columns of a prediction need one length; got {shown(lengths)}.")
        finite = ("score", "p_beautiful", "distribution")
        if not all(np.isfinite(c).all() for name, c in columns.items() if name in finite):
            raise HeadError(
                "A head predicted NaN or infinity: its training diverged or its features are "
                "damaged. Check them with `cache verify` and lower --lr."
            )

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: npt.NDArray[Any] | slice) -> Prediction:
        """Return the predictions of some rows (indices, mask or slice)."""
        chosen: dict[str, Any] = {name: each[rows] for name, each in self._columns().items()}
        return replace(self, **chosen)

    @classmethod
    def concat(cls, parts: Sequence[Prediction]) -> Prediction:
        """Put predictions of one head below each other."""
        columns = [part._columns() for part in parts]
        shared = [name for name in columns[0] if all(name in each for each in columns)]
        joined: dict[str, Any] = {
            name: np.concatenate([each[name] for each in columns]) for name in shared
        }
        return replace(parts[0], **joined)

    def _columns(self) -> dict[str, Any]:
        """Return the columns that are there, by name."""
        every = {name: getattr(self, name) for name in COLUMNS}
        return {name: values for name, values in every.items() if values is not None}


def predicted_label(prediction: Prediction, threshold: str) -> BoolArray:
    """Return (n,) bool, whether a head calls each photograph beautiful: the one place it is said.

    A score on the data's scale is compared with the threshold of beautiful, as the truth is;
    where the score only ranks, or the head says so, the probability is compared with 1/2.
    """
    if prediction.ranking_only or prediction.label_by_p:
        return prediction.p_beautiful > 0.5
    return above(prediction.score, threshold)


def ranking_score(p_beautiful: FloatArray, scale: Scale) -> FloatArray:
    """Return lo + p (hi - lo): a probability dressed as a score, good for ranking only."""
    return scale.lo + p_beautiful * (scale.hi - scale.lo)
