"""Blocks of features and their standardisation."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from heads.models.neural.inputs import Photographs, Standardiser, layer_gains, spans, standardiser
from heads.models.neural.settings import NetworkSettings

PLAIN = NetworkSettings(transform="none")


def test_blocks_hold_all_views_or_their_mean() -> None:
    X = np.arange(24, dtype=np.float16).reshape(3, 2, 4)
    every, mean = Photographs(X, mean_only=False), Photographs(X, mean_only=True)
    np.testing.assert_array_equal(every.block(1, 3), X[1:].reshape(4, 4))
    np.testing.assert_array_equal(mean.block(1, 3), X[1:].mean(axis=1))
    np.testing.assert_array_equal(mean.whole(), X.mean(axis=1))
    assert (every.nbytes, mean.nbytes) == (48, 24)
    assert np.shares_memory(every.whole(), X)


@pytest.mark.parametrize("mean_only", [False, True])
def test_standardisation_equals_numpys_over_all_rows(mean_only: bool) -> None:
    rng = np.random.default_rng(0)
    X = (rng.random((20_000, 2, 3)) * 6).astype(np.float16)
    flat = X.mean(axis=1, dtype=np.float32) if mean_only else X.reshape(-1, 3).astype(np.float64)
    measured = standardiser(Photographs(X, mean_only=mean_only), PLAIN)
    np.testing.assert_allclose(measured.mean, flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(measured.deviation, flat.std(axis=0), rtol=1e-3)


def test_features_that_hardly_vary_are_not_blown_up() -> None:
    X = np.random.default_rng(0).standard_normal((1000, 1, 5))
    X[:, 0, 3] = 2.0
    X[:, 0, 4] *= 1e-6
    measured = standardiser(Photographs(X.astype(np.float32), mean_only=False), PLAIN)
    np.testing.assert_allclose(measured.deviation[3:], 0.01, rtol=0.1)
    dead = standardiser(Photographs(np.full((10, 1, 2), 3.0, np.float32), mean_only=False), PLAIN)
    np.testing.assert_array_equal(dead.deviation, [1, 1])


@pytest.mark.parametrize(("n", "size", "count"), [(0, 3, 0), (3, 3, 1), (7, 3, 3)])
def test_spans_cover_every_row_once(n: int, size: int, count: int) -> None:
    pieces = spans(n, size)
    assert len(pieces) == count
    rows = [row for start, stop in pieces for row in range(start, stop)]
    assert rows == list(range(n))


def test_standardised_features_have_mean_0_and_deviation_1_after_the_root() -> None:
    X = np.random.default_rng(1).gamma(0.5, 2, (5000, 1, 3)) - 0.3
    photographs = Photographs(X.astype(np.float32), mean_only=False)
    measured = standardiser(photographs, NetworkSettings())
    values = measured.apply(photographs.whole())
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-3)
    root = np.sign(X[:, 0]) * np.sqrt(np.abs(X[:, 0]))
    np.testing.assert_allclose(values, (root - root.mean(0)) / root.std(0), atol=1e-3)
    np.testing.assert_array_equal(measured.stored(photographs.whole(), np.float32), values)


def test_standardised_features_are_stored_in_the_type_asked_for() -> None:
    X = np.random.default_rng(1).random((10, 3)).astype(np.float16)
    scaler = Standardiser(np.ones(3, np.float32), np.full(3, 2, np.float32))
    for dtype, digits in ((np.float16, 11), (ml_dtypes.bfloat16, 8)):
        stored = scaler.stored(X, dtype)
        assert stored.dtype == dtype
        np.testing.assert_allclose(stored.astype(float), (X - 1.0) / 2, rtol=0.5**digits)
    assert Standardiser.identity(3).stored(X, np.float16) is X
    assert Standardiser.identity(3).stored(X, ml_dtypes.bfloat16).dtype == ml_dtypes.bfloat16


def test_a_layer_counts_by_the_fourth_root_of_its_width() -> None:
    gains = layer_gains((16, 81), 97)
    assert gains[0] / gains[-1] == pytest.approx(81**0.25 / 16**0.25)
    assert np.mean(gains**2) == pytest.approx(1)
    X = np.random.default_rng(1).standard_normal((500, 1, 5)).astype(np.float32)
    photographs = Photographs(X, mean_only=False)
    one, two = (
        standardiser(photographs, replace(PLAIN, layer_widths=widths)) for widths in ((), (1, 4))
    )
    np.testing.assert_allclose(one.deviation / two.deviation, layer_gains((1, 4), 5), rtol=1e-6)
