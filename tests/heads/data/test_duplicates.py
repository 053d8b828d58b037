"""Copies of a photograph under another name are found by their features, and only those."""

from __future__ import annotations

import numpy as np
import pytest

from heads.data import duplicates
from heads.data.duplicates import NEARLY_EQUAL, find_duplicates
from heads.data.features import JoinedRows, StoredRows


def rows_of(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Return (n, 1, width) float16 features about a common mean, as a network gives."""
    dice = np.random.default_rng(seed)
    return (2 + dice.standard_normal((n, 1, width))).astype(np.float16)


def copies(rows: np.ndarray, cosine: float, seed: int = 1) -> np.ndarray:
    """Return rows that have about this cosine with the given ones, less the mean."""
    noise = np.random.default_rng(seed).standard_normal(rows.shape)
    away = rows.astype(np.float64) - 2
    return (2 + cosine * away + np.sqrt(1 - cosine**2) * noise).astype(np.float16)


def test_near_copies_in_another_part_are_found_with_their_twins() -> None:
    train, others = rows_of(3000, 64), rows_of(400, 64, seed=9)
    X = np.concatenate([train, others, copies(train[100:200], 0.98)])
    part = np.repeat([0, 1], [3000, 500])
    found = find_duplicates(X, part)
    np.testing.assert_array_equal(found.rows, [*range(100, 200), *range(3400, 3500)])
    np.testing.assert_array_equal(found.twins, [*range(3400, 3500), *range(100, 200)])
    assert (found.cosines > 0.95).all()
    of_test = found.among(part == 1)
    np.testing.assert_array_equal(of_test.rows, range(3400, 3500))


def test_nearly_all_are_found_down_to_the_least_cosine() -> None:
    train = rows_of(20_000, 256)
    X = np.concatenate([train, copies(train[:500], NEARLY_EQUAL + 0.03)])
    part = np.repeat([0, 1], [20_000, 500])
    found = find_duplicates(X, part).among(part == 1)
    right = found.twins == found.rows - 20_000
    assert right.all()
    assert len(found) >= 490


def test_copies_within_one_part_are_none() -> None:
    rows = rows_of(50, 64)
    assert len(find_duplicates(np.concatenate([rows, rows]), np.zeros(100, np.int64))) == 0


def test_a_copy_is_found_beside_a_hundred_other_copies_of_it() -> None:
    rows = rows_of(200, 64)
    X = np.concatenate([rows, np.repeat(rows[:1], 100, axis=0), np.repeat(rows[:1], 30, axis=0)])
    part = np.repeat([0, 1], [300, 30])
    found = find_duplicates(X, part)
    np.testing.assert_array_equal(found.rows, [0, *range(200, 330)])
    assert (found.cosines == 1).all()


def test_of_thousands_that_show_one_scene_few_are_compared_and_all_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []
    measured = duplicates._cosines

    def counting(X: object, mean: object, pairs: np.ndarray) -> np.ndarray:
        compared.append(len(pairs))
        return measured(X, mean, pairs)  # type: ignore[arg-type]

    monkeypatch.setattr(duplicates, "_cosines", counting)
    scene = copies(np.repeat(rows_of(1, 64), 1000, axis=0), 0.99)
    X = np.concatenate([rows_of(5000, 64, seed=3), scene])
    part = np.tile([0, 1], 3000)
    found = find_duplicates(X, part)
    np.testing.assert_array_equal(found.rows, range(5000, 6000))
    assert compared[0] <= 4000


def test_of_few_features_equal_ones_alone_count() -> None:
    rows = rows_of(500, 4)
    X = np.concatenate([rows, rows_of(500, 4, seed=3), rows[:2]])
    part = np.repeat([0, 1], [500, 502])
    np.testing.assert_array_equal(find_duplicates(X, part).among(part == 1).rows, [1000, 1001])


@pytest.mark.parametrize("n", [1, 2])
def test_hardly_any_photographs_and_constant_features_do_no_harm(n: int) -> None:
    X = np.full((n, 2, 32), 3, np.float16)
    found = find_duplicates(X, np.arange(n))
    assert len(found) == (0 if n == 1 else 2)


def test_rows_that_lie_on_the_disk_give_the_same() -> None:
    train = rows_of(300, 64)
    test = np.concatenate([rows_of(30, 64, seed=5), copies(train[7:9], 0.99)])
    part = np.repeat([0, 1], [300, 32])
    held = find_duplicates(np.concatenate([train, test]), part)
    parts = [StoredRows(train, memory_bytes=1), StoredRows(test, memory_bytes=1)]
    joined = find_duplicates(JoinedRows(parts), part)
    np.testing.assert_array_equal(joined.rows, held.rows)
    np.testing.assert_array_equal(joined.twins, [330, 331, 7, 8])
