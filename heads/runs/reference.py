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
from heads.metrics.conformal import LEAST_GROUPS, Intervals
from heads.models.base import Head
from heads.runs.files import INTERVALS_KIND, read_json
from heads.runs.kinds import check_kinds

FILE = "yardstick.json"
# So many training photographs, evenly taken, are scored; so many of their scores are kept: a
# percentile is then right to about a third of a point.
SCORED, KEPT = 20_000, 2001
KINDS = {
    **{"scale": tuple[float, float], "threshold": str, "train_scores": list[float]},
    "intervals": INTERVALS_KIND | None,
}


@dataclass(frozen=True, eq=False)
class Reference:
    """The data's scale, the decimal `threshold` of beautiful, and training scores in rising order.

    `train_scores` is (m,) float64, m at most 2001: what the head itself says of photographs that
    it was trained on, at even steps of their order. `intervals` are those that val told, None where
    scores are not on the scale; `knows_intervals` is False of a run that kept none.
    """

    scale: Scale
    threshold: str
    train_scores: FloatArray
    intervals: Intervals | None = None
    knows_intervals: bool = True

    @classmethod
    def of(cls, head: Head, train: SplitData, intervals: Intervals | None = None) -> Reference:
        """Score the training photographs of a trained head; `intervals` are those of val."""
        step = -(-len(train) // SCORED)
        scores = np.sort(head.predict(np.asarray(head.about.given(train)[::step])).score)
        kept = np.linspace(0, len(scores) - 1, min(len(scores), KEPT)).round().astype(int)
        return cls(train.labels.scale, train.labels.threshold, scores[kept], intervals)

    def percentile(self, score: FloatArray) -> FloatArray:
        """Return what share of training scores lies below each score (n,), 0 to 100.

        Equal scores count by half, so that a constant head puts every photograph at 50.
        """
        below = np.searchsorted(self.train_scores, score, "left")
        up_to = np.searchsorted(self.train_scores, score, "right")
        return 50.0 * (below + up_to) / len(self.train_scores)

    @property
    def difference(self) -> float | None:
        """By how much two scores of one group must differ to be told apart; None: not known."""
        return None if self.intervals is None else self.intervals.difference

    @property
    def why_no_interval(self) -> str:
        """Why scores have no interval; '' where they have one."""
        if not self.knows_intervals:
            return "it is of an earlier version, which kept none. Train it again with --overwrite"
        if self.intervals is None:
            return "its scores only rank"
        enough = self.intervals.score is not None
        return "" if enough else _too_few(self.intervals.n_groups, "groups of photographs")

    @property
    def on_differences(self) -> str:
        """What must be said of `difference`; mostly ''."""
        known = self.intervals
        if known is None or known.difference is None:
            return f"What is too close to call is not known: {self.why_no_interval}"
        if known.n_paired >= LEAST_GROUPS:
            return ""
        return (
            "Pictures are called too close as if they were of different things, more often than "
            "need be: " + _too_few(known.n_paired, "groups with two photographs")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "scale": [self.scale.lo, self.scale.hi],
            "threshold": self.threshold,
            "train_scores": self.train_scores.tolist(),
            "intervals": self.intervals and self.intervals.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reference:
        """Rebuild from `to_dict`. Raises KeyError or ValueError for what is missing or wrong."""
        check_kinds(values, KINDS)
        scores = np.array(values["train_scores"], np.float64)
        if not len(scores) or (np.diff(scores) < 0).any():
            raise ValueError("train_scores need to be numbers in rising order")
        decimal_number(values["threshold"])
        kept = values.get("intervals")
        return cls(
            Scale(*values["scale"]),
            values["threshold"],
            scores,
            None if kept is None else Intervals.from_dict(kept),
            "intervals" in values,
        )


def _too_few(n: int, what: str) -> str:
    return f"its val had {n} {what}, and {LEAST_GROUPS} are the fewest that tell 90 %"


def read_reference(run: Path) -> Reference:
    """Read a run's reference distribution.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return Reference.from_dict(read_json(run / FILE))
    except (KeyError, TypeError, ValueError, LabelError) as error:
        raise RunError(
            f"{run / FILE} is damaged: {shown(error)}. Train the head again with --overwrite."
        ) from error
