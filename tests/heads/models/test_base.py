"""The mean of the views, in blocks."""

import numpy as np
import pytest

from heads.models.base import mean_of_views, view_mean_blocks


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("views", [1, 3])
def test_the_mean_of_views_is_taken_in_float32_block_by_block(dtype, views, monkeypatch):
    monkeypatch.setattr("heads.models.base.BLOCK_BYTES", 4 * views * 5 * 4)
    X = np.random.default_rng(0).random((10, views, 5)).astype(dtype)
    means = mean_of_views(X)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, X.astype(np.float64).mean(axis=1), rtol=1e-6)
    assert [rows.stop - rows.start for rows, _ in view_mean_blocks(X)] == [4, 4, 2]


def test_rows_that_can_only_be_sliced_are_enough():
    class Rows:
        shape = (6, 2, 3)

        def __getitem__(self, index):
            return np.arange(36.0, dtype=np.float32).reshape(self.shape)[index]

    assert mean_of_views(Rows())[0].tolist() == [1.5, 2.5, 3.5]


def test_large_half_precision_numbers_do_not_overflow_in_the_mean():
    X = np.full((2, 4, 3), 60_000, np.float16)
    assert np.isfinite(mean_of_views(X)).all()


def test_no_photographs_have_no_means():
    assert mean_of_views(np.zeros((0, 2, 3), np.float16)).shape == (0, 3)
