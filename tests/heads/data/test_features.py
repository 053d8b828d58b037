"""Rows of features: read when sliced, held if the budget allows it, their views averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heads.data.features import (
    JoinedRows,
    StoredRows,
    mean_of_views,
    memory_budget,
    roots_of_views,
    signed_root,
    view_mean_blocks,
)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("views", [1, 3])
def test_the_mean_of_views_is_taken_in_float32_block_by_block(dtype, views, monkeypatch):
    monkeypatch.setattr("heads.data.features.BLOCK_BYTES", 4 * views * 5 * 4)
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


# --- rows -----------------------------------------------------------------------------------------


def features(n: int = 9, views: int = 3, width: int = 4) -> np.ndarray:
    return np.arange(n * views * width, dtype=np.float16).reshape(n, views, width)


PARTS = [features(4), features(0), features(5) + 500]
ROWS = np.array([8, 0, 3, 4, 4])
MADE = {
    "all": (StoredRows(features()), features()),
    "some rows": (StoredRows(features(), ROWS), features()[ROWS]),
    "joined": (JoinedRows(PARTS), np.concatenate(PARTS)),
    "joined rows, views and columns": (
        JoinedRows(PARTS, ROWS, slice(0, 1), slice(1, 3)),
        np.concatenate(PARTS)[ROWS, :1, 1:3],
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_rows_read_like_the_array_that_they_stand_for(kind: str) -> None:
    rows, array = MADE[kind]
    assert (rows.shape, rows.dtype, rows.nbytes) == (array.shape, array.dtype, array.nbytes)
    assert (len(rows), rows.ndim) == (len(array), 3)
    for index in (slice(None), slice(1, 3), slice(0, 0), slice(0, 5, 2), np.array([4, 0])):
        np.testing.assert_array_equal(rows[index], array[index])
    np.testing.assert_array_equal(np.asarray(rows), array)


def test_all_rows_of_an_array_are_read_without_a_copy() -> None:
    array = features()
    assert np.shares_memory(StoredRows(array)[2:5], array)


def test_rows_are_held_if_they_fit_and_keep_their_budget() -> None:
    array = features()
    for budget, fits in ((array.nbytes, True), (array.nbytes - 1, False)):
        rows = JoinedRows([StoredRows(array, memory_bytes=budget)])
        held = rows.held()
        assert isinstance(held, StoredRows) == fits
        assert memory_budget(held) == memory_budget(rows.take(ROWS)) == budget
        np.testing.assert_array_equal(held[:], array)


def test_rows_of_rows_are_those_of_the_whole() -> None:
    rows = JoinedRows(PARTS, ROWS).take(np.array([2, 0]))
    np.testing.assert_array_equal(rows[:], np.concatenate(PARTS)[[3, 8]])


def test_the_budget_is_half_of_the_machines_memory_where_none_is_given() -> None:
    assert memory_budget(features()) == memory_budget(StoredRows(features()))
    text = Path("/proc/meminfo").read_text().split()
    assert memory_budget(features()) == pytest.approx(int(text[1]) * 1024 / 2, rel=1e-3)


def test_roots_of_views_are_those_of_their_means_block_by_block(monkeypatch):
    X = np.random.default_rng(0).standard_normal((10, 2, 5)).astype(np.float16)
    expected = signed_root(mean_of_views(X))
    monkeypatch.setattr("heads.data.features.BLOCK_BYTES", 4 * 2 * 5 * 4)
    np.testing.assert_array_equal(roots_of_views(X), expected)
