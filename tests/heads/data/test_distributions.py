"""Distributions over ratings against their votes, scipy, and the geometry of the simplex."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from heads.data.distributions import (
    distribution_mean,
    distribution_std,
    emd,
    project_onto_simplex,
)


def test_mean_and_deviation_of_a_distribution_are_those_of_its_votes():
    rng = np.random.default_rng(0)
    votes = rng.integers(1, 9, (5, 4))
    drawn = [np.repeat([1, 2, 3, 4], row) for row in votes]
    shares = votes / votes.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(distribution_mean(shares), [row.mean() for row in drawn])
    np.testing.assert_allclose(distribution_std(shares), [row.std() for row in drawn])


def test_the_distance_with_r_1_is_wassersteins_over_k():
    a, b = np.random.default_rng(0).dirichlet(np.ones(6), (2, 4))
    ratings = np.arange(6)
    expected = [
        stats.wasserstein_distance(ratings, ratings, p, q) / 6 for p, q in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(emd(a, b, r=1), expected, rtol=1e-12)


@pytest.mark.parametrize(("r", "expected"), [(1, [0.75, 0.25, 0]), (2, [0.75**0.5, 0.5, 0])])
def test_distances_of_distributions_worked_by_hand(r, expected):
    corners = np.eye(4)
    distances = emd(corners[[0, 1, 3]], corners[[3, 2, 3]], r=r)
    np.testing.assert_allclose(distances, expected)


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


@pytest.mark.parametrize("function", [distribution_mean, project_onto_simplex])
def test_tensors_give_what_arrays_give(function):
    ops = pytest.importorskip("keras").ops
    points = np.random.default_rng(0).normal(0.1, 0.3, (200, 10))
    points[0], points[1, 3:6] = 0.25, 0.7
    given = ops.convert_to_tensor(points.astype(np.float32))
    tensors = ops.convert_to_numpy(function(given, ops))
    assert tensors.dtype == np.float32
    np.testing.assert_allclose(tensors, function(points), atol=1e-6)
