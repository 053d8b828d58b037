"""What a run's scores are compared with: scale, threshold, and its scores of its own training set.

Kept in the run as `yardstick.json`, so that new photographs are scored without any cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import LabelError
from cache.text import shown
from cache.types import FloatArray, Scale, decimal_number
from heads.data.splits import SplitData
from heads.errors import RunError
from heads.models.base import Head
from heads.runs.files import read_json
from heads.runs.kinds import check_kinds

FILE = "yardstick.json"
# So many training photographs, evenly taken, are scored; so many of their scores are kept: a
# percentile is then right to about a third of a point.
SCORED, KEPT = 20_000, 2001
KINDS = {"scale": tuple[float, float], "threshold": str, "train_scores": list[float]}


@dataclass(frozen=True, eq=False)
class Reference:
    """The data's scale, the decimal `threshold` of beautiful, and training scores in rising order.

    `train_scores` is (m,) float64, m at most 2001: what the head itself says of photographs that
    it was trained on, at even steps of their order.
    """

    scale: Scale
    threshold: str
    train_scores: FloatArray

    @classmethod
    def of(cls, head: Head, train: SplitData) -> Reference:
        """Score the training photographs of a trained head."""
        step = -(-len(train) // SCORED)
        scores = np.sort(head.predict(np.asarray(head.about.given(train)[::step])).score)
        kept = np.linspace(0, len(scores) - 1, min(len(scores), KEPT)).round().astype(int)
        return cls(train.labels.scale, train.labels.threshold, scores[kept])

    def percentile(self, score: FloatArray) -> FloatArray:
        """Return what share of training scores lies below each score (n,), 0 to 100.

        Equal scores count by half, so that a constant head puts every photograph at 50.
        """
        below = np.searchsorted(self.train_scores, score, "left")
        up_to = np.searchsorted(self.train_scores, score, "right")
        return 50.0 * (below + up_to) / len(self.train_scores)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "scale": [self.scale.lo, self.scale.hi],
            "threshold": self.threshold,
            "train_scores": self.train_scores.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reference:
        """Rebuild from `to_dict`. Raises KeyError or ValueError for what is missing or wrong."""
        check_kinds(values, KINDS)
        scores = np.array(values["train_scores"], np.float64)
        if not len(scores) or (np.diff(scores) < 0).any():
            raise ValueError("train_scores need to be numbers in rising order")
        decimal_number(values["threshold"])
        return cls(Scale(*values["scale"]), values["threshold"], scores)


def read_reference(run: Path) -> Reference:
    """Read a run's reference distribution.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return Reference.from_dict(read_json(run / FILE))
    except (KeyError, ValueError, LabelError) as error:
        raise RunError(
            f"{run / FILE} is damaged: {shown(error)}. Train the head again with --overwrite."
        ) from error
