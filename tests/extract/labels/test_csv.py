"""labels.csv: anybody's photographs, every row looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cache.errors import LabelError
from cache.text import quoted
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


EXPECTED = "expected a whole number of votes in plain digits, at most 999999999"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (",g,train,1,1", "no file"),
        ("a.jpg,g,train,1,1", "'a.jpg' stands in an earlier row, line 2"),
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
        ("b.jpg,g,train,2147483647,1", f"r1 is '2147483647', {EXPECTED}"),
        (f"b.jpg,g,train,{'9' * 5000},1", f"{'9' * 20}[... 4,960 more ...]{'9' * 20}', {EXPECTED}"),
        ("b.jpg,g,train,999999999,1", "1000000000 votes, expected 1 to 999999999"),
        ("b.jpg,g,train,0x10,1", f"r1 is '0x10', {EXPECTED}"),
        ("b.jpg,g,train,1e3,1", f"r1 is '1e3', {EXPECTED}"),
        (f"{'x' * 501},g,train,1,1", "file has 501 characters, at most 500 are taken: 'xxx"),
        (f"b.jpg,{'x' * 120_000},train,1,1", "group has 120,000 characters, at most 500 are taken"),
        ("b.jpg,g,Train,1,1", "split is 'Train', expected train, val or test"),
        ("b.jpg;g;train;1;1", "1 instead of 5, with semicolons in it"),
        ("b.jpg,g,train,,1", f"r1 is '', {EXPECTED}"),
        ("b.jpg,g,train,many,1", f"r1 is 'many', {EXPECTED}"),
        ("b.jpg,g,train,nan,1", f"r1 is 'nan', {EXPECTED}"),
        ("b.jpg,g,train,1", "another number of fields than the first line"),
        ("b.jpg,g,train,1,1,1", "another number of fields than the first line"),
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
    "mean",
    [
        *("", "many", "nan", "inf", "0_3", "１", " 3", "3 ", "٣", "0x3", "3,0", "1e9999"),
    ],
)
def test_a_mean_that_is_no_number_is_a_bad_row(tmp_path: Path, mean: str) -> None:
    text = f'file,mean,scale_min,scale_max\na.jpg,"{mean}",1,5\nb.jpg,5,1,5\n'
    reason = f"mean is {mean!r}, expected a decimal number in plain digits, such as 5 or 4.5"
    labels = read(tmp_path, text)
    assert labels.table.image_id.tolist() == ["b.jpg"]
    assert labels.bad.first == [(2, reason)]


@pytest.mark.parametrize("mean", ["6", "5.0000001", "0.5", "1e3", "1e300", "-0"])
def test_a_mean_outside_its_scale_is_a_bad_row(tmp_path: Path, mean: str) -> None:
    labels = read(tmp_path, f"file,mean,scale_min,scale_max\na.jpg,{mean},1,5\nb.jpg,5,1,5\n")
    assert labels.table.image_id.tolist() == ["b.jpg"]
    assert labels.bad.first == [(2, f"the mean {mean} lies outside 1..5")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "labels.csv is empty; its first line should name its columns"),
        (
            "name,r1,r2\nx,1,1\n",
            r"needs a column `file`.*; its first line names: 'name', 'r1', 'r2'",
        ),
        ("file\na.jpg\n", "needs vote counts r1..rK, or `mean` with `scale_min` and `scale_max`"),
        ("file,mean\na.jpg,3\n", "needs vote counts r1..rK, or `mean`"),
        ("file,r1\na.jpg,3\n", "votes need 2 to 20 columns"),
        ("file,r1,r3\na.jpg,3,3\n", "votes have gaps: there is r3 and no r2. Name them r1 to rK"),
        ("file,r1,r2,r22\n", "the columns of votes have gaps: there is r22 and no r3"),
        ("file,r2,r3,r4,r5\n", "the columns of votes have gaps: there is r5 and no r1"),
        ("a.jpg,1,2\nb.jpg,3,4\n", "column 2 is named '1', which looks like a count of votes"),
        ("file,r1,r2,r1\n", "the columns 2 and 4 are both named 'r1'; keep one of them"),
        ("file;r1;r2\na.jpg;1;2\n", "one column, with semicolons in it"),
        ('file,r1,r2\n"a.jpg,1,1\nb.jpg",1,1\n', "line 2, column 1 .'file'.: a stray quotation"),
        ("file," + ",".join(f"r{k}" for k in range(1, 22)) + "\n", "votes need 2 to 20 columns"),
        ("file,r1,r2\n", r"holds no valid row\. Below its first line there is nothing"),
        ("file,r1,r2\na.jpg,x,1\n", r"holds no valid row\. labels.csv: 1 bad row passed over"),
        (
            "file,mean,scale_min,scale_max\na,1,0,5\nb,1,0,9\n",
            r"the same scale_min and scale_max; 'a' has \(0.0, 5.0\) and 'b' \(0.0, 9.0\)",
        ),
        ("file,mean,scale_min,scale_max\na,1,1,1\n", "A scale needs finite bounds lo < hi"),
        ("file,mean,scale_min,scale_max\na,1,0,1e308\n", "A scale needs finite bounds lo < hi"),
        ("file,mean,scale_min,scale_max\na,1,0,1e399\n", "A scale needs finite bounds lo < hi"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read(tmp_path, text)


LIKE_VOTES = ["r0", "r01", "R1", "r1.0", " r1", "r_1", "r-1", "r 1", "ｒ１", "r¹", "r٣", "n1"]
LIKE_VOTES += ["votes1", "vote_1", "rating_3", "Rating 3", "score3", "count3", "star3", "3_stars"]
LIKE_VOTES += ["rate1", "r3_count", "3", "03", "1 vote", "r11.0"]


@pytest.mark.parametrize("name", LIKE_VOTES)
@pytest.mark.parametrize("labels", ["r1,r2", "mean,scale_min,scale_max"])
def test_a_column_that_looks_like_votes_and_is_none_is_refused(
    tmp_path: Path, name: str, labels: str
) -> None:
    said = f"column 2 is named {name!r}, which looks like a count of votes, and these are named r1"
    with pytest.raises(LabelError) as caught:
        read(tmp_path, f"file,{name},{labels}\n")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(
            ("Mean", "mean"),
            ("mean ", "mean"),
            ("scale-min", "scale_min"),
            ("ScaleMax", "scale_max"),
        ),
        *(("Group", "group"), (" split", "split"), ("FILE", "file"), ("image id", "image_id")),
        ("\ufeffgroup", "group"),
    ],
)
def test_a_column_that_is_nearly_named_as_one_of_ours_is_refused(
    tmp_path: Path, name: str, meant: str
) -> None:
    with pytest.raises(LabelError) as caught:
        read(tmp_path, f"image_id,r1,r2,{name}\n")
    assert f"column 4 is named {name!r}, which looks like `{meant}`." in str(caught.value)


def test_columns_that_are_not_used_are_named_once(tmp_path: Path) -> None:
    labels = read(tmp_path, ",file,image_id,r1,r2,rater,n_votes,score\n0,a.jpg,a,1,2,x,3,4\n")
    assert labels.remarks == (
        "labels.csv: columns that are not used: one without a name, 'image_id', 'rater', "
        "'n_votes', 'score'.",
    )
    assert read(tmp_path, "file,group,split,r1,r2\na.jpg,g,train,1,2\n").remarks == ()


@pytest.mark.parametrize(
    "mean",
    ["2.3333333333333335", "2.333333", "2.33", "2.3", "2", "2.3333333", "2.3333334", "2.33333e0"],
)
def test_a_mean_that_agrees_with_the_votes_to_its_digits_may_stand_beside_them(
    tmp_path: Path, mean: str
) -> None:
    labels = read(tmp_path, f"file,r1,r2,r3,mean,scale_min,scale_max\na.jpg,1,0,2,{mean},1,3.0\n")
    assert labels.table.mean.tolist() == [7 / 3]
    assert (labels.remarks, labels.bad.count) == ((), 0)


@pytest.mark.parametrize(
    ("mean", "lo", "hi", "reason"),
    [
        ("2.34", "1", "3", "the mean is 2.34, but that of the votes 2.33333333"),
        ("2.3334", "1", "3", "the mean is 2.3334, but that of the votes 2.33333333"),
        ("3", "1", "3", "the mean is 3, but that of the votes 2.33333333"),
        ("1e1", "1", "3", "the mean is 1e+1, but that of the votes 2.33333333"),
        ("0.67", "0", "1", "scale_min is 0, but the votes are on 1..3"),
        ("2.33", "1", "10", "scale_max is 10, but the votes are on 1..3"),
        ("", "1", "3", "mean is '', expected a decimal number"),
        ("0_3", "1", "3", "mean is '0_3', expected a decimal number"),
    ],
)
def test_a_mean_or_scale_that_contradicts_the_votes_is_a_bad_row(
    tmp_path: Path, mean: str, lo: str, hi: str, reason: str
) -> None:
    text = (
        f"file,r1,r2,r3,mean,scale_min,scale_max\na.jpg,1,0,2,{mean},{lo},{hi}\nb.jpg,1,0,0,1,1,3\n"
    )
    labels = read(tmp_path, text)
    assert labels.table.image_id.tolist() == ["b.jpg"]
    ((line, said),) = labels.bad.first
    assert line == 2
    assert reason in said


def test_names_stay_texts_whatever_they_look_like(tmp_path: Path) -> None:
    names = ["NA", "null", "nan", "1e5", "007", "None", "#N/A", "True", "-"]
    labels = read(tmp_path, "image_id,group,r1,r2\n" + "".join(f"{n},{n},1,1\n" for n in names))
    assert labels.table.image_id.tolist() == labels.table.group.tolist() == names


def test_a_long_group_is_passed_over_and_takes_no_memory(tmp_path: Path) -> None:
    rows = "".join(f"{i}.jpg,g,1,1\n" for i in range(4000))
    labels = read(tmp_path, f"file,group,r1,r2\nx.jpg,{'g' * 120_000},1,1\n{rows}")
    assert labels.table.group.nbytes < 100_000
    assert "group has 120,000 characters" in labels.bad.summary(labels.source)
    assert len(labels.bad.summary(labels.source)) < 300


def test_the_table_that_pandas_writes_with_its_index_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": ["a, b.jpg", "c.jpg"], "r1": [1, 2], "r2": [3, 4]})
    frame["mean"] = (frame.r1 + 2 * frame.r2) / (frame.r1 + frame.r2)
    labels = read(tmp_path, frame.to_csv())
    assert labels.table.image_id.tolist() == ["a, b.jpg", "c.jpg"]
    assert labels.table.votes.tolist() == [[1, 3], [2, 4]]
    assert labels.remarks == ("labels.csv: columns that are not used: one without a name.",)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,r1,r2\nMärz.jpg,1,1\n".encode("latin-1"))
    with pytest.raises(
        LabelError, match=r"labels.csv, line 2: the byte 0xe4 is not UTF-8 text.* Save it as UTF-8"
    ):
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
        f"labels.csv: 1 bad row passed over (line 4: {quoted(name)} stands in an earlier row, line "
        "2 as 'a.jpg'; keep one of the two)."
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


def test_names_that_differ_in_letters_alone_are_two_unless_the_disk_says_one(
    tmp_path: Path,
) -> None:
    place(tmp_path, "a.jpg", "A.jpg", "b.jpg", "e\u0301.jpg")
    # As on a disk that does not tell such names apart: both lead to one file.
    (tmp_path / "B.jpg").hardlink_to(tmp_path / "b.jpg")
    (tmp_path / "\u00e9.jpg").hardlink_to(tmp_path / "e\u0301.jpg")
    names = [
        "a.jpg",
        "A.jpg",
        "b.jpg",
        "B.jpg",
        "e\u0301.jpg",
        "\u00e9.jpg",
        "none",
        "None",
        "A.jpg",
    ]
    labels = read(tmp_path, "file,r1,r2\n" + "".join(f"{name},1,1\n" for name in names))
    assert labels.table.image_id.tolist() == [*names[:3], names[4], *names[6:8]]
    assert labels.bad.first == [
        (5, "'B.jpg' stands in an earlier row, line 4 as 'b.jpg'; keep one of the two"),
        (7, "'\u00e9.jpg' stands in an earlier row, line 6 as 'e\u0301.jpg'; keep one of the two"),
        (10, "'A.jpg' stands in an earlier row, line 3"),
    ]


def test_an_id_that_stands_twice_is_a_bad_row(tmp_path: Path) -> None:
    labels = read(tmp_path, "image_id,r1,r2\none,1,1\ntwo,1,1\none,1,2\n")
    assert labels.table.image_id.tolist() == ["one", "two"]
    assert labels.bad.first == [(4, "'one' stands in an earlier row, line 2")]


def test_which_of_several_files_of_an_id_is_read_is_told(tmp_path: Path) -> None:
    place(tmp_path, "images/one.jpg", "images/one.png", "images/two.jpg", "images/x.jpg", "x.jpg")
    labels = read(tmp_path, "image_id,r1,r2\none,1,1\ntwo,1,1\n")
    assert labels.table.path.tolist() == ["images/one.png", "images/two.jpg"]
    assert labels.remarks == (
        "1 of the ids have several photographs: 'images/one.png' is read, for one, and "
        "'images/one.jpg' is not. Move away those that are not meant.",
    )


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


def test_names_that_differ_in_accents_are_two_in_a_locale_of_ascii_too(tmp_path: Path) -> None:
    """How an accent is written makes another name, which only the disk can tell apart."""
    (tmp_path / "labels.csv").write_text("file,r1,r2\n\u00e9.jpg,1,2\ne\u0301.jpg,2,1\n", "utf-8")
    for name in ("\u00e9.jpg", "e\u0301.jpg"):
        (tmp_path / name).touch()
    program = (
        "import sys; from pathlib import Path; from extract.labels.csv import read_labels_csv\n"
        "folder = read_labels_csv(Path(sys.argv[1]))\n"
        "assert len(folder.table.image_id) == 2, folder.bad\n"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, env=os.environ | locale, check=True)


def test_a_scale_that_is_none_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(
        LabelError, match=r"labels\.csv, scale_min and scale_max: A scale needs finite bounds"
    ):
        read(tmp_path, "file,mean,scale_min,scale_max\na.jpg,3,3,3\n")
