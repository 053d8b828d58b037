"""Near copies are put together, chains of them are not, and what is alone stays alone."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from heads.data import near
from heads.data.near import NEAR, near_groups


def at_angles(*degrees: float) -> np.ndarray:
    """Rows (n, 2) of any length that stand at these angles."""
    turned = np.radians(degrees)
    return (
        np.stack([np.cos(turned), np.sin(turned)], axis=1) * np.arange(1, len(degrees) + 1)[:, None]
    )


def test_near_copies_are_one_group_and_groups_are_numbered_by_their_first_members() -> None:
    assert near_groups(at_angles(0, 90, 5, 180, 92, 8)).tolist() == [0, 1, 0, 2, 1, 0]


def test_a_chain_is_no_group_where_its_ends_are_apart() -> None:
    limit = float(np.degrees(np.arccos(NEAR)))
    found = near_groups(at_angles(*(0.4 * limit * np.arange(9))))
    for group in np.unique(found):
        members = np.flatnonzero(found == group)
        assert 0.4 * limit * np.ptp(members) <= limit
    assert 3 <= len(np.unique(found)) <= 5


def scattered(seed: int, noise: float) -> np.ndarray:
    """Rows (60, 8): 12 things, five of each, some way apart."""
    dice = np.random.default_rng(seed)
    things = np.repeat(dice.standard_normal((12, 8)), 5, axis=0)
    return things + noise * dice.standard_normal(things.shape)


@pytest.mark.parametrize("seed", range(5))
def test_where_things_lie_apart_groups_are_those_of_complete_linkage(seed: int) -> None:
    rows = scattered(seed, 0.1)
    theirs = fcluster(linkage(rows, "complete", "cosine"), 1 - NEAR, "distance")
    ours = near_groups(rows.astype(np.float32))
    np.testing.assert_array_equal(ours[:, None] == ours, theirs[:, None] == theirs)
    assert len(np.unique(ours)) < 60


@pytest.mark.parametrize("seed", range(5))
def test_all_of_a_group_are_near_and_no_two_groups_could_be_one(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scattered(seed, 0.4)
    monkeypatch.setattr(near, "CELLS", 7 * len(rows))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found, close = near_groups(rows), rows @ rows.T >= NEAR - 1e-9
    groups = [np.flatnonzero(found == group) for group in np.unique(found)]
    assert 12 < len(groups) < 60
    assert all(close[np.ix_(group, group)].all() for group in groups)
    for one, other in itertools.combinations(groups, 2):
        assert not close[np.ix_(one, other)].all()


def test_equal_features_are_together_and_empty_ones_alone() -> None:
    rows = np.concatenate([np.ones((30, 4)), np.zeros((2, 4))]).astype(np.float16)
    assert near_groups(rows).tolist() == [0] * 30 + [1, 2]
    assert near_groups(rows[:0]).shape == (0,)


def test_a_long_burst_takes_memory_by_its_photographs_and_not_by_their_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near, "CELLS", 1 << 16)
    rows = np.ones((3000, 4)) + 0.01 * np.random.default_rng(0).standard_normal((3000, 4))
    tracemalloc.start()
    found = near_groups(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not found.any()
    assert peak < 8e6  # a byte for each pair would be 9e6
