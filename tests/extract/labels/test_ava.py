"""AVA as released is read row by row; what is wrong is counted, not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import LabelError
from cache.labels import mean_of_votes
from extract.labels.ava import read_ava

GOOD = "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396"


def folder(tmp_path: Path, *lines: str, test: str | None = None) -> Path:
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "AVA.txt").write_text("\n".join(lines) + "\n")
    if test is not None:
        (tmp_path / "aesthetics_image_lists").mkdir(exist_ok=True)
        (tmp_path / "aesthetics_image_lists" / "generic_test.jpgl").write_text(test)
    return tmp_path


def row(image_id: int, *votes: int) -> str:
    counts = [*votes, *[0] * (10 - len(votes))]
    return f"1 {image_id} {' '.join(map(str, counts))} 0 0 0"


def test_a_row_is_read_field_by_field(tmp_path: Path) -> None:
    labels = read_ava(folder(tmp_path, GOOD))
    assert labels.table.image_id.tolist() == ["953619"]
    assert labels.table.votes.tolist() == [[0, 1, 5, 17, 38, 36, 15, 6, 5, 1]]
    assert labels.table.tags.tolist() == [[1, 22]]
    assert labels.table.challenge.tolist() == [1396]
    assert (labels.table.scale.lo, labels.table.scale.hi) == (1.0, 10.0)
    assert (labels.bad.count, labels.split, labels.official_test) == (0, None, None)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1 2 3", "3 fields instead of 15"),
        (GOOD + " 7", "16 fields instead of 15"),
        (GOOD.replace("38", "3.8"), "'3.8' is not a whole number in plain digits"),
        (GOOD.replace("38", "x"), "'x' is not a whole number in plain digits"),
        (GOOD.replace("38", "-1"), "'-1' is not a whole number in plain digits"),
        (GOOD.replace("38", "+38"), "'+38' is not a whole number in plain digits"),
        (GOOD.replace("38", "1_000"), "'1_000' is not a whole number in plain digits"),
        (GOOD.replace("38", "٣"), "is not a whole number in plain digits"),
        (
            GOOD.replace("38", "4294967296"),
            "votes 5: '4294967296' is not a whole number",
        ),
        (GOOD.replace("953619", "9" * 30), f"image id: '{'9' * 30}' is not a whole number"),
        (GOOD.replace("953619", "9" * 9000), f"image id: '{'9' * 20}[... 8,960 more"),
        (row(7, 999_999_999, 1), "1000000000 votes, expected 1 to 999999999"),
        (GOOD.replace(" ", ","), "1 fields instead of 15; blanks separate them"),
        (GOOD.replace("953619", "0"), "the image id is 0"),
        (GOOD.replace("953619", "-5"), "'-5' is not a whole number in plain digits"),
        (row(7), "no votes, expected 1 to 999999999"),
        ("ä" + GOOD, "is not a whole number in plain digits"),
    ],
)
def test_a_bad_row_is_counted_with_its_line_and_reason(
    tmp_path: Path, bad: str, reason: str
) -> None:
    labels = read_ava(folder(tmp_path, row(1, 5), "", bad, row(2, 5)))
    assert labels.table.image_id.tolist() == ["1", "2"]
    assert labels.bad.count == 1
    line, text = labels.bad.first[0]
    assert line == 3
    assert reason in text


def test_a_second_row_of_an_id_is_bad(tmp_path: Path) -> None:
    labels = read_ava(folder(tmp_path, row(1, 5), row(1, 6)))
    assert labels.table.image_id.tolist() == ["1"]
    assert labels.bad.summary(Path("x/AVA.txt")) == (
        "AVA.txt: 1 bad row passed over (line 2: the id 1 stands in an earlier row, line 1)."
    )


def test_of_many_bad_rows_the_first_are_shown(tmp_path: Path) -> None:
    labels = read_ava(folder(tmp_path, row(1, 5), *["?"] * 2000))
    summary = labels.bad.summary(Path("AVA.txt"))
    assert summary.startswith("AVA.txt: 2,000 bad rows passed over (line 2: 1 fields instead")
    assert summary.endswith("line 6: 1 fields instead of 15; ...).")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a b c\n", bytes(range(32, 127)) * 9])
def test_a_file_without_one_good_row_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "AVA.txt").write_bytes(content)
    with pytest.raises(LabelError, match=r"holds no valid row of AVA: expected 15 whole numbers"):
        read_ava(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "images/1.jpg",
        "images/1.JPG",
        "images/1.jpeg",
        "images/1.png",
        "images/1.WebP",
        "images/images/1.jpg",
        "1.jpg",
    ],
)
def test_a_photograph_is_found_wherever_the_release_may_lie(tmp_path: Path, name: str) -> None:
    folder(tmp_path, row(1, 5), row(2, 5))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert read_ava(tmp_path).table.path.tolist() == [name, "images/2.jpg"]


def test_other_files_are_no_photographs(tmp_path: Path) -> None:
    folder(tmp_path, row(1, 5))
    (tmp_path / "images" / "1.txt").touch()
    assert read_ava(tmp_path).table.path.tolist() == ["images/1.jpg"]


def test_the_official_test_list_is_read(tmp_path: Path) -> None:
    labels = read_ava(folder(tmp_path, row(1, 5), row(2, 5), test="2\n00077\n"))
    assert labels.official_test == {"2", "77"}


ROWS = [row(i, 5) for i in range(1, 5)]


def remark(data: Path) -> str:
    (said,) = read_ava(data).remarks
    return said


def test_a_split_by_hash_is_told_from_the_one_that_papers_report_on(tmp_path: Path) -> None:
    assert remark(folder(tmp_path, *ROWS)) == (
        "No aesthetics_image_lists/generic_test.jpgl here: AVA is split by hash. Papers report on "
        "the 20,000 test ids of that list, so results on this split do not compare with theirs."
    )


def test_half_a_test_list_is_told_from_the_whole(tmp_path: Path) -> None:
    half = "".join(f"{i}\n" for i in [2, 2, *range(3, 10_002)])
    assert remark(folder(tmp_path, *ROWS, test=half)) == (
        "generic_test.jpgl names 10,000 different ids, the published list 20,000, which papers "
        "report on: results on this test split do not compare with theirs; 3 of them have votes in "
        "AVA.txt."
    )


def test_the_whole_test_list_is_named_with_the_ids_that_have_votes(tmp_path: Path) -> None:
    whole = "".join(f"{i}\n" for i in range(3, 20_003))
    assert remark(folder(tmp_path, *ROWS, test=whole)) == (
        "generic_test.jpgl: AVA's official test split, 20,000 ids, which papers report on; 2 of "
        "them have votes in AVA.txt."
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_any_line_ends_are_read(tmp_path: Path, end: str) -> None:
    folder(tmp_path, test="x")
    (tmp_path / "AVA.txt").write_bytes(("\ufeff" + end.join([row(8, 5), row(9, 5)])).encode())
    listed = tmp_path / "aesthetics_image_lists" / "generic_test.jpgl"
    listed.write_bytes(("\ufeff" + end.join(["8", " 009 ", ""])).encode())
    labels = read_ava(tmp_path)
    assert labels.table.image_id.tolist() == ["8", "9"]
    assert (labels.bad.count, labels.official_test) == (0, {"8", "9"})


def test_tabs_part_fields_as_blanks_do(tmp_path: Path) -> None:
    assert len(read_ava(folder(tmp_path, GOOD.replace(" ", "\t")))) == 1


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AVA.txt").write_bytes(f"{row(1, 5)}\n{row(2, 5)}".encode("utf-16"))
    with pytest.raises(LabelError, match=r"AVA.txt is UTF-16 text.* Save it as UTF-8"):
        read_ava(tmp_path)


def test_a_test_list_names_its_wrong_line(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"one a line: line 3 is '1\.jpg'\. Fetch it again"):
        read_ava(folder(tmp_path, row(1, 5), test="1\n\n1.jpg\n"))


@pytest.mark.parametrize("content", ["", "\n", "1 2\n", "1\nx\n", "1.jpg\n", "1\n٣\n"])
def test_a_damaged_test_list_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(LabelError, match=r"not a list of image ids, one a line: .*Fetch it again"):
        read_ava(folder(tmp_path, row(1, 5), test=content))


def test_the_real_rows_have_the_known_statistics(ava: Path) -> None:
    labels = read_ava(ava)
    votes = labels.table.votes.astype(np.int64)
    n, total = votes.sum(axis=1), votes @ np.arange(1, 11)
    means = mean_of_votes(labels.table.votes)
    assert (len(labels), labels.bad.count) == (87_080, 0)
    assert (n.min(), n.max()) == (80, 549)
    assert means.mean() == pytest.approx(5.385, abs=5e-4)
    assert means.var() == pytest.approx(0.540, abs=5e-4)
    assert (total > 5 * n).mean() == pytest.approx(0.705, abs=5e-4)
    assert (total == 5 * n).sum() == 217


def test_the_real_photographs_are_found(ava: Path) -> None:
    labels = read_ava(ava)
    assert sum((ava / path).is_file() for path in labels.table.path.tolist()) == 9
    assert labels.official_test is not None
    assert len(labels.official_test) == 20_000
