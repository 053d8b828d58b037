"""Words on the command line become photographs: folders, lists, CSV files."""

from __future__ import annotations

import io
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
    with pytest.raises(LabelError, match=r"has no column path or file.*it has name, mean"):
        list(Sources([str(tmp_path / "list.csv")], io.StringIO()))
    with pytest.raises(LabelError, match="cannot be read as a CSV file"):
        list(Sources([str(tmp_path / "gone.csv")], io.StringIO()))
