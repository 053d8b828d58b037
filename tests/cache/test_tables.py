"""Tables and lists as people and programs write them: read in one way, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cache.errors import LabelError
from cache.tables import Table, listed, read_lines, read_table


def table(tmp_path: Path, content: str | bytes) -> Table:
    path = tmp_path / "some.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


def rows(read: Table) -> list[tuple[int, list[str]]]:
    return list(read.rows())


def test_cells_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    written = ["NA", "null", "nan", "1e5", "007", "", "True", "#N/A", " a "]
    read = table(tmp_path, "name,x\n" + "".join(f"{name},1\n" for name in written))
    assert [cells[0] for _, cells in rows(read)] == written
    assert read.named(["NA", "1"]) == {"name": "NA", "x": "1"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_of_any_system_are_read(
    tmp_path: Path, end: str, mark: str
) -> None:
    read = table(tmp_path, mark + end.join(["a,b", "", "1,2", "  ", "3,4"]) + end)
    assert read.columns == ("a", "b")
    assert rows(read) == [(3, ["1", "2"]), (5, ["3", "4"])]


def test_quotation_marks_hold_commas_marks_and_nothing(tmp_path: Path) -> None:
    read = table(tmp_path, '"a","b",c\n"März, 雪","5"" nail",""\n"",x\u2028y,"z"\n')
    assert rows(read) == [(2, ["März, 雪", '5" nail', ""]), (3, ["", "x\u2028y", "z"])]


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ('"a.jpg,1,2', "1 ('file')"),  # never closed: swallows what follows
        ('a.jpg,"1,2', "2 ('r1')"),
        ('a.jpg",1,2', "1 ('file')"),
        ('a"b.jpg,1,2', "1 ('file')"),
        ('"a"b.jpg,1,2', "1 ('file')"),
        ('a.jpg, "1",2', "2 ('r1')"),
        ('"a\\"b",1,2', "1 ('file')"),  # R's other way
        ('a.jpg,1,2,"', "4"),
    ],
)
def test_a_stray_quotation_mark_is_refused_with_line_and_column(
    tmp_path: Path, line: str, column: str
) -> None:
    read = table(tmp_path, f'file,r1,r2\n0.jpg,1,2\n{line}\nz.jpg",1,2\n')
    with pytest.raises(LabelError) as caught:
        rows(read)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/some.csv, line 3, column {column}: a stray quotation mark")
    assert said.endswith("a pair of them on its own line, with those inside doubled.")


def test_a_quotation_mark_in_the_first_line_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="line 1, column 2: a stray quotation mark in '\"r1,r2'"):
        table(tmp_path, 'file,"r1,r2\n')


def test_a_long_quoted_cell_takes_no_long_time(tmp_path: Path) -> None:
    read = table(tmp_path, 'a,b\n"' + 'x""' * 200_000 + '",1\n"' + 'x""' * 200_000)
    with pytest.raises(LabelError, match="line 3, column 1") as caught:
        rows(read)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "some.csv is empty; its first line should name its columns"),
        (b"\xef\xbb\xbf\n  \n", "some.csv is empty"),
        (
            "file;r1;r2\na;1;2\n",
            "line 1: one column, with semicolons in it: separate",
        ),
        ("\ufefffile;r1\r\na;1\r\n", "with semicolons in it"),
        ("file\tr1\na\t1\n", "with tabs in it: separate the columns by commas"),
        ("file|r1\na|1\n", "with vertical bars in it"),
        ("sep=;\nfile;r1\n", "with semicolons in it"),
        ("file,r1,r2,r1\n", "line 1: the columns 2 and 4 are both named 'r1'; keep one of them"),
        ("file,r1\na,1\n".encode("utf-16"), "is UTF-16 text, as spreadsheets may save it. Save"),
        ("file,r1\na,1\n".encode("utf-16-le"), "line 1: a NUL character.* or in UTF-16. Save it"),
        (b"file,r1\na,1\nb\0,1\n", "line 3: a NUL character, which no text holds"),
        (
            "file,r1\r\na,1\r\nMärz,1\r\n".encode("latin-1"),
            "line 3: the byte 0xe4 is not UTF-8 text; the file may be in Latin-1 or Windows-1252",
        ),
    ],
)
def test_what_is_no_table_is_refused_with_its_remedy(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(LabelError, match=said):
        table(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x,1", "another number of fields than the first line: 2 instead of 3$"),
        ("x,1,2,", "4 instead of 3$"),
        ("x;1;2", "1 instead of 3, with semicolons in it: separate the columns by commas"),
        ("x\t1,2", "2 instead of 3, with tabs in it"),
    ],
)
def test_a_row_of_another_length_is_told_with_what_separates_it(
    tmp_path: Path, line: str, said: str
) -> None:
    read = table(tmp_path, f"a,b,c\n{line}\n")
    ((_, cells),) = rows(read)
    with pytest.raises(ValueError, match=said):
        read.named(cells)


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    assert table(tmp_path, "a,,\n1,,\n").columns == ("a", "", "")


def test_tables_of_pandas_are_read_as_they_were(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": ['a "x", b.jpg', "März.jpg", "NA"], "r1": [1, 2, 3]})
    for index, columns in ((True, ("", "file", "r1")), (False, ("file", "r1"))):
        read = table(tmp_path, frame.to_csv(index=index))
        assert read.columns == columns
        named = [read.named(cells) for _, cells in rows(read)]
        assert [row["file"] for row in named] == frame["file"].tolist()
        assert [row["r1"] for row in named] == ["1", "2", "3"]


def test_a_table_of_r_is_read(tmp_path: Path) -> None:
    # write.csv(frame, "some.csv"): names and texts in quotation marks, numbers of rows first
    read = table(tmp_path, '"","file","r1"\n"1","a ""x"", b.jpg",4\n"2","c.jpg",NA\n')
    assert read.columns == ("", "file", "r1")
    assert rows(read) == [(2, ["1", 'a "x", b.jpg', "4"]), (3, ["2", "c.jpg", "NA"])]


def test_lines_may_hold_other_bytes_where_they_name_files(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"M\xe4rz.jpg\n")
    (line, _) = read_lines(tmp_path / "list", errors="surrogateescape")
    assert line.encode("utf-8", "surrogateescape") == b"M\xe4rz.jpg"


def test_many_columns_are_cut_in_a_message(tmp_path: Path) -> None:
    read = table(tmp_path, ",".join(f"c{i}" for i in range(10_000)) + "\n")
    assert listed(read.columns).endswith("'c11', ...")
    assert listed(("", "a")) == "one without a name, 'a'"


def test_two_tables_of_other_orders_one_below_the_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,r1,r2\na.jpg,1,2\nfile,r2,r1\nb.jpg,1,2\n")
    with pytest.raises(
        LabelError,
        match=r"labels\.csv, line 3 names the columns again, in another order, as if two tables "
        r"had been put one below the other\. Bring both into one order\.",
    ):
        list(read_table(path).rows())
