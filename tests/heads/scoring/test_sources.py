"""Words on the command line become photographs: folders, lists, CSV files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from cache.errors import LabelError
from heads.scoring.sources import Sources


def test_folders_are_searched_to_the_bottom_in_order(tmp_path: Path) -> None:
    for name in (
        "b/2.JPG",
        "a.png",
        "b/c/1.webp",
        ".hidden/3.jpg",
        "b/._2.jpg",
        "notes.txt",
        "b/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = Sources([str(tmp_path)], io.StringIO())
    found = [str(path.relative_to(tmp_path)) for path in sources]
    assert found == ["a.png", "b/2.JPG", "b/c/1.webp"]
    assert "1 .txt" in sources.remark()
    assert "1 no ending" in sources.remark()


def test_lists_come_from_stdin_and_from_csv_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.jpg").touch()
    listed = tmp_path / "list.csv"
    listed.write_text("\ufefffile,mean\na.jpg,1\nb.jpg,2\n", encoding="utf-8")
    sources = Sources(["-", str(listed)], io.StringIO("x.jpg\n\ny z.jpg\n"))
    assert list(sources) == [
        Path("x.jpg"),
        Path("y z.jpg"),
        tmp_path / "a.jpg",
        tmp_path / "images" / "b.jpg",
    ]


def test_a_csv_without_paths_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,mean\na.jpg,1\n")
    with pytest.raises(LabelError, match=r"has no column path or file.*it has 'name', 'mean'"):
        list(Sources([str(tmp_path / "list.csv")], io.StringIO()))
    with pytest.raises(LabelError, match="cannot be read as a CSV file"):
        list(Sources([str(tmp_path / "gone.csv")], io.StringIO()))


def test_marks_and_ends_of_lines_of_other_systems_cost_no_photograph(tmp_path: Path) -> None:
    lines = io.StringIO("\ufeffx.jpg\r\n\r\ny.jpg")
    assert list(Sources(["-"], lines)) == [Path("x.jpg"), Path("y.jpg")]
    listed = tmp_path / "list.csv"
    listed.write_bytes("\ufefffile,r1\r\rNA,1\r007,2\r".encode())
    assert list(Sources([str(listed)], io.StringIO())) == [tmp_path / "NA", tmp_path / "007"]


def test_names_in_a_csv_may_be_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path\nM\xe4rz.jpg\n")
    (found,) = Sources([str(tmp_path / "list.csv")], io.StringIO())
    assert os.fsencode(found.name) == b"M\xe4rz.jpg"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;mean\na.jpg;1\n", "line 1: one column, with semicolons in it: separate the columns"),
        ("file,file\na.jpg,b.jpg\n", "the columns 1 and 2 are both named 'file'; keep one of"),
        ('file,x\nb.jpg,1\n"a.jpg,1\nc.jpg",1\n', "line 3, column 1 .*: a stray quotation mark"),
        (
            "file,x\nb.jpg,1\na.jpg\n",
            "line 3: another number of fields .* 1 instead of 2",
        ),
        ("file,x\nb.jpg,1\n,1\n", "list.csv, line 3: no file. Write it anew"),
        ("", "list.csv is empty"),
    ],
)
def test_a_list_that_is_not_right_is_refused_before_its_first_photograph(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(LabelError, match=said):
        next(iter(Sources([str(tmp_path / "list.csv")], io.StringIO())))
