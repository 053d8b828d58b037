"""labels.csv: anybody's photographs, every row looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.errors import LabelError
from extract.labels.csv import read_labels_csv
from extract.labels.records import FolderLabels, file_facts


def read(tmp_path: Path, text: str) -> FolderLabels:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return read_labels_csv(tmp_path)


def test_votes_give_the_scale(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,r1,r2,r3\na.jpg,1,0,2\nb.jpg,0,0,9\n")
    assert labels.table.votes.tolist() == [[1, 0, 2], [0, 0, 9]]
    assert (labels.table.scale.lo, labels.table.scale.hi) == (1.0, 3.0)
    assert labels.table.image_id.tolist() == ["a.jpg", "b.jpg"]
    assert labels.table.mean.tolist() == [7 / 3, 3.0]
    assert labels.split is labels.table.tags is labels.table.challenge is None
    assert labels.table.group.tolist() == ["", ""]


@pytest.mark.parametrize("levels", [2, 20])
def test_two_to_twenty_levels_are_taken(tmp_path: Path, levels: int) -> None:
    names = ",".join(f"r{k}" for k in range(1, levels + 1))
    labels = read(tmp_path, f"file,{names}\na.jpg" + ",1" * levels + "\n")
    assert labels.table.scale.hi == levels


def test_means_bring_their_scale(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,mean,scale_min,scale_max\na.jpg,-1.5,-2,2\nb.jpg,2,-2,2\n")
    assert labels.table.votes is None
    assert labels.table.mean.tolist() == [-1.5, 2.0]
    assert (labels.table.scale.lo, labels.table.scale.hi) == (-2.0, 2.0)


def test_groups_and_splits_are_kept(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,group,split,r1,r2\na.jpg, A ,train,1,1\nb.jpg,,test,1,1\n")
    assert labels.table.group.tolist() == ["A", ""]
    assert labels.split is not None
    assert labels.split.tolist() == ["train", "test"]


def test_columns_may_stand_in_any_order_and_others_are_passed_over(tmp_path: Path) -> None:
    labels = read(tmp_path, "note,r2,file,r1\nx,5,a.jpg,4\n")
    assert labels.table.votes.tolist() == [[4, 5]]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    labels = read(tmp_path, "\ufefffile,r1,r2\r\na.jpg,1,2\r\n")
    assert labels.table.image_id.tolist() == ["a.jpg"]


def test_names_of_any_language_are_kept(tmp_path: Path) -> None:
    labels = read(tmp_path, 'file,r1,r2\n"März, 雪.jpg",1,2\n')
    assert labels.table.image_id.tolist() == ["März, 雪.jpg"]


EXPECTED = "expected a whole number of votes in plain digits, at most 2147483647"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (",g,train,1,1", "no file"),
        ("a.jpg,g,train,1,1", "a.jpg stands in an earlier row, line 2"),
        ("b.jpg,g,dev,1,1", "split is 'dev', expected train, val or test"),
        ("b.jpg,g,,1,1", "split is ''"),
        ("b.jpg,g,train,0,0", "no votes"),
        ("b.jpg,g,train,1.5,1", f"r1 is '1.5', {EXPECTED}"),
        ("b.jpg,g,train,5.0,1", f"r1 is '5.0', {EXPECTED}"),
        ("b.jpg,g,train,-1,1", f"r1 is '-1', {EXPECTED}"),
        ("b.jpg,g,train,+5,1", f"r1 is '+5', {EXPECTED}"),
        ("b.jpg,g,train,1_000,1", f"r1 is '1_000', {EXPECTED}"),
        ("b.jpg,g,train, 5 ,1", f"r1 is ' 5 ', {EXPECTED}"),
        ("b.jpg,g,train,٣,1", f"r1 is '٣', {EXPECTED}"),
        ("b.jpg,g,train,²,1", f"r1 is '²', {EXPECTED}"),
        ("b.jpg,g,train,2147483648,1", f"r1 is '2147483648', {EXPECTED}"),
        ("b.jpg,g,train,,1", f"r1 is '', {EXPECTED}"),
        ("b.jpg,g,train,many,1", f"r1 is 'many', {EXPECTED}"),
        ("b.jpg,g,train,nan,1", f"r1 is 'nan', {EXPECTED}"),
        ("b.jpg,g,train,1", "another number of fields than the first line"),
        ("b.jpg,g,train,1,1,1", "another number of fields than the first line"),
        ("b\0.jpg,g,train,1,1", "file holds a NUL character"),
    ],
)
def test_a_bad_row_is_counted_with_its_line_and_reason(
    tmp_path: Path, bad: str, reason: str
) -> None:
    text = f"file,group,split,r1,r2\na.jpg,g,train,1,1\n{bad}\nc.jpg,g,test,1,1\n"
    labels = read(tmp_path, text)
    assert labels.table.image_id.tolist() == ["a.jpg", "c.jpg"]
    assert labels.bad.count == 1
    line, found = labels.bad.first[0]
    assert line == 3
    assert reason in found


@pytest.mark.parametrize(
    ("mean", "reason"),
    [
        ("", "mean is '', expected a number"),
        ("many", "mean is 'many', expected a number"),
        ("nan", "mean is nan, expected a finite number"),
    ],
)
def test_a_mean_that_is_no_number_is_a_bad_row(tmp_path: Path, mean: str, reason: str) -> None:
    text = f"file,mean,scale_min,scale_max\na.jpg,{mean},1,5\nb.jpg,5,1,5\n"
    labels = read(tmp_path, text)
    assert labels.table.image_id.tolist() == ["b.jpg"]
    assert labels.bad.first == [(2, reason)]


def test_a_mean_outside_its_scale_is_a_bad_row(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,mean,scale_min,scale_max\na.jpg,6,1,5\nb.jpg,5,1,5\n")
    assert labels.table.image_id.tolist() == ["b.jpg"]
    assert labels.bad.first == [(2, "the mean 6 lies outside 1..5")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"needs a column `file` .* or `image_id`; it has: nothing"),
        ("name,r1,r2\nx,1,1\n", r"needs a column `file`.*it has: name, r1, r2"),
        ("file\na.jpg\n", "needs vote counts r1..rK, or `mean` with `scale_min` and `scale_max`"),
        ("file,mean\na.jpg,3\n", "needs vote counts r1..rK, or `mean`"),
        ("file,r1\na.jpg,3\n", "votes need 2 to 20 columns"),
        ("file,r1,r3\na.jpg,3,3\n", "the columns r1..r2 have gaps"),
        ("file," + ",".join(f"r{k}" for k in range(1, 22)) + "\n", "votes need 2 to 20 columns"),
        ("file,r1,r2\n", r"holds no valid row\. labels.csv: 0 bad rows"),
        ("file,r1,r2\na.jpg,x,1\n", r"holds no valid row\. labels.csv: 1 bad row passed over"),
        (
            "file,mean,scale_min,scale_max\na,1,0,5\nb,1,0,9\n",
            r"every row needs the same scale_min and scale_max; there are \[\(0.0, 5.0\), ",
        ),
        ("file,mean,scale_min,scale_max\na,1,1,1\n", "A scale needs finite bounds lo < hi"),
        ("file,r1,r2\n" + "x" * 200_000 + ",1,1\n", "is not a table of comma-separated values"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read(tmp_path, text)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,r1,r2\nMärz.jpg,1,1\n".encode("latin-1"))
    with pytest.raises(LabelError, match=r"labels.csv is not UTF-8 text .* Save it as UTF-8"):
        read_labels_csv(tmp_path)


# --- where the photographs lie -------------------------------------------------------------------


def place(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_file_is_looked_for_as_given_and_then_below_images(tmp_path: Path) -> None:
    place(tmp_path, "a.jpg", "images/a.jpg", "images/b.jpg", "sub/c.jpg")
    labels = read(tmp_path, "file,r1,r2\na.jpg,1,1\nb.jpg,1,1\nsub/c.jpg,1,1\nd.jpg,1,1\n")
    assert labels.table.path.tolist() == ["a.jpg", "images/b.jpg", "sub/c.jpg", "d.jpg"]


@pytest.mark.parametrize(
    "second", ["images/a.jpg", "./a.jpg", "images/../images/a.jpg", "{}/a.jpg"]
)
def test_two_spellings_of_one_file_are_one_photograph(tmp_path: Path, second: str) -> None:
    place(tmp_path, "images/a.jpg", "images/b.jpg")
    name = second.format(tmp_path / "images")
    labels = read(tmp_path, f"file,r1,r2\na.jpg,1,1\nb.jpg,1,1\n{name},2,2\n")
    assert labels.table.image_id.tolist() == ["a.jpg", "b.jpg"]
    assert labels.bad.summary(labels.source) == (
        f"labels.csv: 1 bad row passed over (line 4: {name} stands in an earlier row, line 2 as "
        "a.jpg; keep one of the two)."
    )


def test_the_same_name_in_two_folders_is_two_photographs(tmp_path: Path) -> None:
    place(tmp_path, "a.jpg", "images/a.jpg", "sub/a.jpg")
    labels = read(tmp_path, "file,r1,r2\na.jpg,1,1\nimages/a.jpg,1,1\nsub/a.jpg,1,1\n")
    assert labels.table.path.tolist() == ["a.jpg", "images/a.jpg", "sub/a.jpg"]
    assert labels.bad.count == 0


def test_a_linked_folder_is_the_folder_and_a_linked_file_a_file_of_its_own(tmp_path: Path) -> None:
    place(tmp_path, "images/a.jpg")
    (tmp_path / "linked").symlink_to("images")
    (tmp_path / "images" / "b.jpg").symlink_to("a.jpg")
    labels = read(tmp_path, "file,r1,r2\na.jpg,1,1\nlinked/a.jpg,1,1\nb.jpg,1,1\n")
    assert labels.table.image_id.tolist() == ["a.jpg", "b.jpg"]
    assert [line for line, _ in labels.bad.first] == [3]


def test_an_id_that_stands_twice_is_a_bad_row(tmp_path: Path) -> None:
    labels = read(tmp_path, "image_id,r1,r2\none,1,1\ntwo,1,1\none,1,2\n")
    assert labels.table.image_id.tolist() == ["one", "two"]
    assert labels.bad.first == [(4, "one stands in an earlier row, line 2")]


def test_an_absolute_file_is_found(tmp_path: Path) -> None:
    place(tmp_path / "elsewhere", "a.jpg")
    path = tmp_path / "elsewhere" / "a.jpg"
    labels = read(tmp_path, f"file,r1,r2\n{path},1,1\n")
    assert file_facts(tmp_path, labels.table.path).size_bytes.tolist() == [1]


def test_an_id_is_looked_for_with_every_ending(tmp_path: Path) -> None:
    place(tmp_path, "images/one.PNG", "images/images/two.jpeg")
    labels = read(tmp_path, "image_id,r1,r2\none,1,1\ntwo,1,1\nthree,1,1\n")
    assert labels.table.image_id.tolist() == ["one", "two", "three"]
    assert labels.table.path.tolist() == [
        "images/one.PNG",
        "images/images/two.jpeg",
        "images/three.jpg",
    ]
