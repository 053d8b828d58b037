"""Which photographs a report shows, and their thumbnails, each of them embedded once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.types import FloatArray, IntArray
from heads.data.distributions import emd
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.metrics.weighted import Levels

SHOWN, MISTAKEN, RATED = 10, 5, 5
# Thumbnails are made at the first of these sizes at which all of them together fit the budget:
# base64 makes 3.0 MB of it 4.0 MB, and 5 MB can be mailed nearly everywhere.
SIZES = (240, 180, 130, 90, 60)
BUDGET_BYTES = 3_000_000

Thumbnailer = Callable[[Path, int], bytes | None]


def choose(prediction: Prediction, labels: Labels) -> tuple[IntArray, ...]:
    """Return the rows of a head's photographs worth looking at.

    Those with the highest and with the lowest scores; then the most overrated and the most
    underrated ones, in falling order of the mistake.
    """
    rising = np.argsort(prediction.score, kind="stable")
    error = np.argsort(mistakes(prediction, labels), kind="stable")
    return rising[::-1][:SHOWN], rising[:SHOWN], error[::-1][:MISTAKEN], error[:MISTAKEN]


def mistakes(prediction: Prediction, labels: Labels) -> FloatArray:
    """Return score minus mean (n,); for scores that only rank, the difference of ranks over n."""
    if not prediction.ranking_only:
        return prediction.score - labels.mean
    once = np.ones((len(labels), 1))
    score, mean = (Levels(values).ranks(once)[:, 0] for values in (prediction.score, labels.mean))
    return np.asarray((score - mean) / len(labels))


def rated(labels: Labels) -> tuple[IntArray, IntArray]:
    """Return the rows that people rated highest and lowest."""
    rising = np.argsort(labels.mean, kind="stable")
    return rising[::-1][:RATED], rising[:RATED]


def examples(prediction: Prediction, labels: Labels) -> IntArray:
    """Return the rows with the best, the middle and the worst predicted distribution, by EMD."""
    if prediction.distribution is None or labels.votes is None:
        return np.zeros(0, np.int64)
    order = np.argsort(emd(prediction.distribution, labels.distribution, r=2), kind="stable")
    return np.asarray(order[np.unique([0, len(order) // 2, len(order) - 1])])


@dataclass(frozen=True)
class Picture:
    """A photograph on the page: what stands in its place for whoever cannot see it, and its id."""

    alt: str
    ref: str


class Album:
    """Thumbnails by image id, embedded once each; `picture` refers to what `embedded` holds."""

    def __init__(self, jpegs: Mapping[str, bytes | None]) -> None:
        self._jpegs = jpegs
        self._number = {image_id: k for k, image_id in enumerate(jpegs)}

    @classmethod
    def of(cls, image_ids: Iterable[str], paths: Mapping[str, Path], make: Thumbnailer) -> Album:
        """Make the thumbnails, as large as the budget allows."""
        wanted = list(dict.fromkeys(image_ids))
        for pixels in SIZES:
            jpegs = {name: make(paths[name], pixels) if name in paths else None for name in wanted}
            if sum(len(jpeg) for jpeg in jpegs.values() if jpeg) <= BUDGET_BYTES:
                break
        return cls(jpegs)

    @property
    def missing(self) -> int:
        """How many photographs are gone or unreadable."""
        return sum(jpeg is None for jpeg in self._jpegs.values())

    def picture(self, image_id: str) -> Picture:
        """Return the photograph, or its placeholder."""
        if self._jpegs[image_id] is None:
            return Picture(f"photograph {image_id} (not found)", "gone")
        return Picture(f"photograph {image_id}", f"p{self._number[image_id]}")

    @property
    def embedded(self) -> Iterator[tuple[str, str]]:
        """The id and the JPEG in base64 of every photograph that is there."""
        for image_id, jpeg in self._jpegs.items():
            if jpeg is not None:
                yield self.picture(image_id).ref, base64.b64encode(jpeg).decode("ascii")
