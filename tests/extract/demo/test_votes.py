"""Simulated votes follow the quality."""

from __future__ import annotations

import numpy as np
import pytest

from extract.demo import votes as demo_votes


def means(votes: np.ndarray) -> np.ndarray:
    return votes @ np.arange(1, 11) / votes.sum(axis=1)


def test_better_quality_never_gets_lower_votes_on_average() -> None:
    rng = np.random.default_rng(0)
    votes = demo_votes.cast_votes(np.repeat([3.0, 5.0, 7.0], 50), rng)
    mean = means(votes).reshape(3, 50).mean(axis=1)
    assert mean == pytest.approx([3.0, 5.0, 7.0], abs=0.2)
