"""pairs.csv: comparisons alone and beside labels, what is refused, groups, and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import LabelError
from cache.schema import FileFacts
from extract.labels.pairs import pairs_within, put_pairs, read_pairs_alone
from extract.labels.records import FolderLabels
from extract.labels.sources import read_labels
from extract.labels.splits import SplitSettings, make_manifests


def read(tmp_path: Path, *rows: str, head: str = "winner,loser") -> FolderLabels:
    (tmp_path / "pairs.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    return read_pairs_alone(tmp_path)


def test_comparisons_alone_name_photographs_and_no_means(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "7.png"):
        (tmp_path / "images" / name).touch()
    labels = read(tmp_path, "a.jpg,7", "7,a.jpg", "a.jpg,7", "gone.jpg,a.jpg")
    assert labels.table.image_id.tolist() == ["a.jpg", "7", "gone.jpg"]
    assert labels.table.path.tolist() == ["images/a.jpg", "images/7.png", "gone.jpg"]
    assert labels.pairs == [("a.jpg", "7"), ("7", "a.jpg"), ("a.jpg", "7"), ("gone.jpg", "a.jpg")]
    assert labels.table.pairs_alone
    assert (str(labels.table.scale), labels.table.threshold) == ("0..1", "0.5")
    assert labels.bad.count == 0


def test_bad_comparisons_are_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    labels = read(
        tmp_path,
        *("a.jpg,a.jpg,", "a.jpg,,", "a.jpg,b.jpg,x", "b.jpg,c.jpg,y"),
        *("images/a.jpg,d.jpg,", "a.jpg,b.jpg"),
        head="winner,loser,group",
    )
    assert labels.bad.first == [
        (2, "'a.jpg' is compared with itself"),
        (3, "no loser"),
        (7, "another number of fields than the first line: 2 instead of 3"),
        (5, "the group of 'b.jpg' is 'y', and 'x' in line 4"),
        (6, "'images/a.jpg' stands in an earlier row, line 4 as 'a.jpg'; keep one of the two"),
    ]
    assert labels.pairs == [("a.jpg", "b.jpg")]


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        (
            "winner,file",
            "a,b",
            "needs the columns `winner` and `loser`, one row a comparison; there is no loser. Its "
            "first line names: 'winner', 'file'.",
        ),
        (
            "Winner,loser",
            "a,b",
            ": column 1 is named 'Winner', which looks like `winner`. Name it so, or otherwise if "
            "it is something else.",
        ),
        (
            "winner,loser",
            "a,a",
            "holds no valid row. pairs.csv: 1 bad row passed over (line 2: 'a' is compared with "
            "itself).",
        ),
        ("winner,loser", "", "holds no valid row. Below its first line there is nothing."),
    ],
)
def test_tables_that_hold_no_comparisons_are_refused(
    tmp_path: Path, head: str, row: str, message: str
) -> None:
    with pytest.raises(LabelError) as caught:
        read(tmp_path, row, head=head)
    assert str(caught.value).removeprefix(str(tmp_path / "pairs.csv")).lstrip(" ") == message


def test_a_column_of_groups_names_what_belongs_together(tmp_path: Path) -> None:
    labels = read(tmp_path, "a,b,x,me", "c,d,,you", "b,e,,me", head="winner,loser,group,rater")
    assert dict(zip(labels.table.image_id, labels.table.group, strict=True)) == {
        **{"a": "x", "b": "x", "c": "", "d": "", "e": ""}
    }
    assert labels.remarks == (
        "pairs.csv: 3 comparisons of 5 photographs. 1 groups are named.",
        "pairs.csv: columns that are not used: 'rater'.",
    )


def test_photographs_that_small_chains_of_comparisons_connect_are_a_group(tmp_path: Path) -> None:
    rows = [f"{item}{one},{item}{one - 1}" for item in "abcdefghij" for one in (1, 2)]
    labels = read(tmp_path, *rows)
    names = zip(labels.table.image_id.tolist(), labels.table.group.tolist(), strict=True)
    assert all(group == f"{name[0]}0" for name, group in names)
    assert labels.remarks == (
        "pairs.csv: 20 comparisons of 30 photographs. What they connect, 10 groups, stays "
        "together; a column `group` names others.",
    )


def test_a_tournament_of_all_photographs_leaves_each_by_itself(tmp_path: Path) -> None:
    labels = read(tmp_path, *(f"p{k},p{k + 1}" for k in range(29)))
    assert set(labels.table.group.tolist()) == {""}
    assert labels.remarks == (
        "pairs.csv: 29 comparisons of 30 photographs. They connect 30 of them, so each photograph "
        "is split by itself; name what belongs together in a column `group`.",
    )


def test_comparisons_beside_labels_are_of_labelled_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2\na.jpg,1,2\nb.jpg,3,4\n")
    (tmp_path / "pairs.csv").write_text("winner,loser\na.jpg,b.jpg\na.jpg,c.jpg\nb.jpg,b.jpg\n")
    labels = read_labels(tmp_path)
    assert labels.pairs == [("a.jpg", "b.jpg")]
    assert labels.table.votes.tolist() == [[1, 2], [3, 4]]
    assert set(labels.files) == {"labels.csv", "labels-note.txt", "pairs.csv"}
    assert capsys.readouterr().err == (
        "pairs.csv: 2 bad rows passed over (line 4: 'b.jpg' is compared with itself; line 3: "
        "'c.jpg': no such photograph in the labels).\n"
        "pairs.csv: 1 comparisons beside the labels.\n"
    )


def test_comparisons_of_any_name_are_known_by_their_columns(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2\na.jpg,1,2\n")
    (tmp_path / "mine.csv").write_text("winner,loser\na.jpg,b.jpg\n")
    labels = read_labels(tmp_path, "mine.csv")
    assert (len(labels), labels.pairs) == (2, [("a.jpg", "b.jpg")])
    assert read_labels(tmp_path).pairs is None


def test_comparisons_across_splits_are_named_counted_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = read(tmp_path, *(f"p{k},p{k + 1}" for k in range(39)))
    nothing = FileFacts(np.zeros(40, np.int64), np.zeros(40, np.int64))
    made = make_manifests(labels, nothing, ("train", "val", "test"), SplitSettings())
    within = [pairs_within(labels, manifest) for manifest, _ in made]
    n_across = 39 - sum(map(len, within))
    assert n_across > 0
    said = f"pairs.csv: {n_across} of 39 comparisons join two splits and are not used: 'p"
    assert said in capsys.readouterr().err
    for pairs, (manifest, _) in zip(within, made, strict=True):
        assert set(manifest.labels.image_id).issuperset(name for pair in pairs for name in pair)


def test_a_split_without_comparisons_loses_those_of_before(tmp_path: Path) -> None:
    put_pairs(tmp_path, "train", [("a", "b")])
    assert (tmp_path / "train.pairs.csv").read_text() == "winner,loser\na,b\n"
    put_pairs(tmp_path, "train", None)
    assert not (tmp_path / "train.pairs.csv").exists()
