"""Comparisons beside a cache: written by ids, read as row numbers, missed where they lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import FormatError
from cache.pairs import pairs_of, pairs_path, write_pairs
from cache.store import open_cache
from tests.helpers import (
    make_features,
    make_manifest,
    make_spec,
    relabelled,
    small_cache,
    write_cache,
)


def written(folder: Path, n: int, **columns: object) -> Path:
    """Write a cache of mean-only labels with some of their columns changed."""
    manifest, spec = relabelled(make_manifest(n, levels=None), **columns), make_spec()
    return write_cache(folder / "train.h5", manifest, spec, make_features(n, spec))


def test_comparisons_come_back_as_rows_of_winner_and_loser(tmp_path: Path) -> None:
    path = small_cache(tmp_path / "train.h5")
    ids = open_cache(path).labels.image_id.tolist()
    assert pairs_of(open_cache(path)) is None
    write_pairs(pairs_path(path), [(ids[3], ids[0]), (ids[0], ids[3]), (ids[3], ids[0])])
    assert (tmp_path / "train.pairs.csv").read_text().splitlines()[0] == "winner,loser"
    assert pairs_of(open_cache(path)).tolist() == [[3, 0], [0, 3], [3, 0]]
    write_pairs(pairs_path(path), [])
    assert pairs_of(open_cache(path)).shape == (0, 2)


def test_names_with_commas_and_quotation_marks_come_back(tmp_path: Path) -> None:
    path = written(tmp_path, 2, image_id=np.array(['a, "b".jpg', "c.jpg"]))
    write_pairs(pairs_path(path), [("c.jpg", 'a, "b".jpg')])
    assert pairs_of(open_cache(path)).tolist() == [[1, 0]]


def test_comparisons_that_a_cache_was_made_with_are_missed(tmp_path: Path) -> None:
    path = written(tmp_path, 3, mean=np.full(3, np.nan))
    assert open_cache(path).labels.pairs_alone
    with pytest.raises(FormatError) as caught:
        pairs_of(open_cache(path))
    assert str(caught.value) == (
        f"{tmp_path / 'train.pairs.csv'} is missing: {path} was made from comparisons, and they "
        "lie there. Copy it along with the cache; `extract --split train` writes it again."
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("winner,loser\nphoto-0000,nobody\n", "no 'nobody'"),
        ("first,second\na,b\n", "no 'winner'"),
        ("winner,loser\na\n", "another number of fields than the first line: 1 instead of 2"),
    ],
)
def test_comparisons_of_another_cache_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = small_cache(tmp_path / "train.h5")
    pairs_path(path).write_text(text)
    with pytest.raises(FormatError) as caught:
        pairs_of(open_cache(path))
    assert str(caught.value) == (
        f"{tmp_path / 'train.pairs.csv'} does not fit {path} ({problem}): each row names two of "
        "its photographs, winner and loser; `extract --split train` writes it again."
    )
