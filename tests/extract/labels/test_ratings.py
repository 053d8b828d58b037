"""ratings.csv: one row a vote, from which the votes of each photograph are counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cache.errors import LabelError
from extract.labels.ratings import read_ratings
from extract.labels.records import FolderLabels
from extract.labels.sources import read_labels


def read(
    tmp_path: Path,
    rows: str,
    head: str = "file,rater,rating",
    scale: tuple[float, float] | None = None,
) -> FolderLabels:
    (tmp_path / "ratings.csv").write_text(f"{head}\n{rows}", encoding="utf-8")
    return read_ratings(tmp_path, scale=scale)


def test_whole_ratings_are_counted_on_a_scale_up_to_the_highest(tmp_path: Path) -> None:
    labels = read(tmp_path, "a.jpg,x,3\nb.jpg,x,1\na.jpg,y,3\na.jpg,z,2\n")
    assert labels.table.image_id.tolist() == ["a.jpg", "b.jpg"]
    assert labels.table.votes.tolist() == [[0, 1, 2], [1, 0, 0]]
    assert labels.table.mean.tolist() == [8 / 3, 1.0]
    assert (str(labels.table.scale), labels.table.threshold) == ("1..3", "2")
    assert labels.remarks == (
        "ratings.csv: 4 ratings of 2 photographs by 3 raters, counted as votes on the scale 1..3, "
        "up to the highest one; --scale LO,HI names another.",
    )


def test_a_given_scale_has_levels_that_nobody_chose(tmp_path: Path) -> None:
    labels = read(tmp_path, "a.jpg,x,3\na.jpg,y,9\n", scale=(1, 5))
    assert labels.table.votes.tolist() == [[0, 0, 1, 0, 0]]
    assert labels.bad.first == [(3, "the rating 9 lies outside 1..5")]


@pytest.mark.parametrize(
    ("ratings", "scale", "mean", "on"),
    [
        (("2.5", "4"), None, 3.25, "2.5..4"),
        (("0", "3"), None, 1.5, "0..3"),
        (("10", "80"), (0.0, 100.0), 45.0, "0..100"),
    ],
)
def test_other_ratings_are_kept_as_means_and_it_is_said(
    tmp_path: Path,
    ratings: tuple[str, str],
    scale: tuple[float, float] | None,
    mean: float,
    on: str,
) -> None:
    labels = read(tmp_path, f"a.jpg,x,{ratings[0]}\na.jpg,y,{ratings[1]}\n", scale=scale)
    assert labels.table.votes is None
    assert (labels.table.mean.tolist(), str(labels.table.scale)) == ([mean], on)
    assert "kept as their means" in labels.remarks[0]
    assert "heads of distributions step aside" in labels.remarks[0]


def test_a_rater_counts_once_and_is_named(tmp_path: Path) -> None:
    labels = read(tmp_path, "a.jpg,x,3\na.jpg,x,1\nb.jpg,x,2\n")
    assert labels.table.votes.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert labels.bad.first == [(3, "the rater 'x' rated 'a.jpg' before, in line 2, which counts")]


def test_rows_that_are_not_right_are_counted_with_their_lines(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        "a.jpg,x,3,g\na.jpg,y,2,h\n,y,2,g\na.jpg,,2,g\na.jpg,z,good,g\n",
        "file,rater,rating,group",
    )
    assert labels.bad.first == [
        (3, "the group of 'a.jpg' is 'h', and 'g' in line 2"),
        (4, "no file"),
        (5, "no rater"),
        (6, "rating is 'good', expected a decimal number in plain digits, such as 5 or 4.5"),
    ]
    assert labels.table.group.tolist() == ["g"]


def test_tables_without_what_is_needed_are_refused(tmp_path: Path) -> None:
    for head, rows, words in (
        ("file,rating", "a.jpg,1\n", "there is no rater. Its first line names: 'file', 'rating'"),
        ("file,rater,rating", "", "Below its first line there is nothing"),
        ("file,rater,rating", "a.jpg,x,1\n", "value with --scale LO,HI"),
        ("file,rater,rating,Group", "a.jpg,x,1,g\n", "which looks like `group`"),
    ):
        with pytest.raises(LabelError, match=words):
            read(tmp_path, rows, head)


def test_the_real_ratings_give_the_counts_that_their_table_gives(oasis: Path) -> None:
    counted = read_labels(oasis, "ratings.csv").table
    assert counted.votes is not None
    assert counted.votes.sum() == 70_574
    table = pd.read_csv(oasis / "ratings.csv").groupby(["file", "rating"]).size()
    expected = table.unstack(fill_value=0).loc[counted.image_id]
    assert (counted.votes == expected.to_numpy()).all()
    # labels.csv counts these raters and others.
    everybody = read_labels(oasis, "labels.csv").table
    rows = {name: row for row, name in enumerate(everybody.image_id.tolist())}
    assert (
        everybody.votes[[rows[name] for name in counted.image_id.tolist()]] >= counted.votes
    ).all()
