"""Distances between distributions as losses, against scipy and by hand."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

keras = pytest.importorskip("keras")

from heads.models.neural.losses import absolute_emd, squared_emd  # noqa: E402

RATINGS = np.arange(1, 6)


def pairs(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true, predicted = rng.dirichlet(np.ones(5), (2, n)).astype(np.float32)
    return true, predicted


def numbers(values: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def test_the_absolute_distance_is_wasserstein_divided_by_the_levels():
    true, predicted = pairs()
    truth = [
        wasserstein_distance(RATINGS, RATINGS, a, b) / 5
        for a, b in zip(true, predicted, strict=True)
    ]
    np.testing.assert_allclose(numbers(absolute_emd(true, predicted)), truth, rtol=1e-5)


def test_the_squared_distance_is_the_mean_squared_gap_of_the_cdfs():
    true, predicted = pairs()
    gap = np.cumsum(true, axis=1) - np.cumsum(predicted, axis=1)
    np.testing.assert_allclose(
        numbers(squared_emd(true, predicted)), np.mean(gap**2, axis=1), rtol=1e-4, atol=1e-7
    )


def test_opposite_ends_are_as_far_apart_as_can_be():
    ends = np.eye(5, dtype=np.float32)[[0, 4]]
    assert numbers(squared_emd(ends[:1], ends[1:])) == pytest.approx([4 / 5])
    assert numbers(absolute_emd(ends[:1], ends[1:])) == pytest.approx([4 / 5])


@pytest.mark.parametrize("distance", [squared_emd, absolute_emd])
def test_a_distribution_is_at_distance_zero_from_itself(distance):
    true, _ = pairs()
    np.testing.assert_array_equal(numbers(distance(true, true)), np.zeros(8))


@pytest.mark.parametrize("distance", [squared_emd, absolute_emd])
def test_the_gradient_at_equality_is_zero_and_not_nan(distance):
    tf = pytest.importorskip("tensorflow")
    true = tf.constant(pairs()[0])
    with tf.GradientTape() as tape:
        tape.watch(true)
        value = distance(tf.stop_gradient(true), true)
    np.testing.assert_array_equal(tape.gradient(value, true).numpy(), np.zeros((8, 5)))
