"""Means, deviations and distances of distributions, and the nearest distribution to any point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from heads.data.distributions import (
    distribution_mean,
    distribution_std,
    emd_r2,
    project_onto_simplex,
)


def test_mean_and_deviation_of_a_distribution_are_those_of_its_votes():
    rng = np.random.default_rng(0)
    votes = rng.integers(1, 9, (5, 4))
    drawn = [np.repeat([1, 2, 3, 4], row) for row in votes]
    shares = votes / votes.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(distribution_mean(shares), [row.mean() for row in drawn])
    np.testing.assert_allclose(distribution_std(shares), [row.std() for row in drawn])


POINTS = arrays(np.float64, (3, 6), elements=st.floats(-1e6, 1e6, allow_nan=False))


@given(POINTS)
def test_the_projection_is_a_distribution(points):
    projected = project_onto_simplex(points)
    assert (projected >= 0).all()
    np.testing.assert_allclose(projected.sum(axis=1), 1, atol=1e-12)


@given(POINTS)
def test_no_distribution_is_nearer_than_the_projection(points):
    # The nearest point of a convex set is the one p with (v - p)'(q - p) <= 0 for each q in it;
    # for the simplex it is enough to look at its corners.
    projected = project_onto_simplex(points)
    away = points - projected
    towards_corners = away - np.sum(away * projected, axis=1, keepdims=True)
    assert (towards_corners <= 1e-9 * (1 + np.abs(points).max())).all()


def test_a_distribution_is_its_own_projection_and_a_far_point_goes_to_a_corner():
    points = np.array([[0.2, 0.3, 0.5], [1e17, 0.0, 2.0], [-5.0, -5.0, -5.0]])
    expected = [[0.2, 0.3, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(project_onto_simplex(points), expected, atol=1e-15)


def test_the_distance_of_neighbours_is_wassersteins_over_the_root_of_the_levels():
    # Between all on one rating and all on the next, one gap of the CDFs is 1, the others are 0.
    ends = np.eye(5)[[1, 2]]
    assert wasserstein_distance([2], [3]) == 1
    assert emd_r2(ends[:1], ends[1:]) == pytest.approx([np.sqrt(1 / 5)])


@pytest.mark.parametrize("function", [distribution_mean, project_onto_simplex])
def test_tensors_give_what_arrays_give(function):
    ops = pytest.importorskip("keras").ops
    points = np.random.default_rng(0).normal(0.1, 0.3, (200, 10))
    points[0], points[1, 3:6] = 0.25, 0.7
    given = ops.convert_to_tensor(points.astype(np.float32))
    tensors = ops.convert_to_numpy(function(given, ops))
    assert tensors.dtype == np.float32
    np.testing.assert_allclose(tensors, function(points), atol=1e-6)
