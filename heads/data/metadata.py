"""What a cache knows of photographs besides their pixels and their votes. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cache.store import FeatureCache
from cache.types import FloatArray, IntArray

# Of the last axis, in this order; 0 where it is not known. Tags and challenge are AVA's.
WIDTH, HEIGHT, BYTES, TAGS, CHALLENGE = 0, 1, 2, slice(3, 5), 5
COLUMNS = 6


def metadata_of(cache: FeatureCache, rows: IntArray) -> FloatArray:
    """Return (n, 1, 6) float64 of some rows of a cache.

    Width and height in pixels, bytes of the file, two tags, the challenge: shaped as features of
    one view, so that heads are given these or those.
    """
    labels, n = cache.labels, cache.n_rows
    tags: npt.NDArray[np.int32] = np.zeros((n, 2), np.int32)
    columns = [
        cache.size,
        np.maximum(cache.facts.size_bytes, 0)[:, None],
        tags if labels.tags is None else labels.tags,
        (tags[:, 0] if labels.challenge is None else labels.challenge)[:, None],
    ]
    return np.concatenate(columns, axis=1, dtype=np.float64)[rows, None]
