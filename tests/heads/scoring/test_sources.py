"""Words on the command line become photographs: folders, lists, CSV files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from heads.errors import RunError
from heads.scoring.sources import Sources, split_words


def test_folders_are_searched_to_the_bottom_in_order(tmp_path: Path) -> None:
    for name in (
        "b/2.JPG",
        "a.png",
        "b/c/1.webp",
        ".hidden/3.jpg",
        "b/._2.jpg",
        "notes.txt",
        "b/x",
        "phone.HEIC",
        "camera.NEF",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = Sources([str(tmp_path)], io.StringIO())
    found = [str(path.relative_to(tmp_path)) for path in sources]
    assert found == ["a.png", "phone.HEIC", "b/2.JPG", "b/c/1.webp"]
    assert "1 .txt" in sources.remark()
    assert "1 no ending" in sources.remark()
    assert sources.remark().endswith(
        "RAW files and JPEG XL must be made into JPEG, PNG or TIFF first."
    )


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


def found(*words: object, stdin: bytes = b"") -> tuple[list[bytes], Sources]:
    """Return the names that words lead to, as bytes, and the sources behind them."""
    text = io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii", errors="strict")
    sources = Sources([str(word) for word in words], text)
    return [os.fsencode(path) for path in sources], sources


def test_a_list_that_cannot_be_used_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,mean\na.jpg,1\n")
    (tmp_path / "good.csv").write_text("path\nb.jpg\n")
    lists = [tmp_path / f"{name}.csv" for name in ("list", "gone", "good")]
    names, sources = found(*lists, "c.jpg")
    assert names == [os.fsencode(tmp_path / "b.jpg"), b"c.jpg"]
    no_column, gone = sources.refused
    assert "list.csv has no column path or file, which name the photographs; it has" in no_column
    assert "gone.csv cannot be read as a CSV file: No such file" in gone


def test_a_name_that_is_no_utf8_comes_through_folders_lists_and_words(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    folder = tmp_path / "photographs"
    folder.mkdir()
    place = os.fsencode(folder) + b"/" + name
    Path(os.fsdecode(place)).touch()
    (folder / "list.csv").write_bytes(b"path\ngood.jpg\n" + name + b"\n")
    named = os.fsdecode(place)
    names, sources = found(folder, folder / "list.csv", "-", named, stdin=place + b"\n")
    assert names == [place, os.fsencode(folder / "good.jpg"), place, place, place]
    assert sources.refused == []


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_a_list_on_stdin_has_a_name_a_line_or_before_each_nul(separator: bytes) -> None:
    lines = [b"\xef\xbb\xbfa b.jpg", b"", b" ", b"\xff.jpg", b" c.jpg"]
    lines += [b"two\nlines.jpg"] * (separator == b"\0")
    names = [b"a b.jpg", b"\xff.jpg", b" c.jpg"] + [b"two\nlines.jpg"] * (separator == b"\0")
    for end in (b"", separator):
        assert found("-", stdin=separator.join(lines) + end)[0] == names


def test_names_on_stdin_are_used_as_they_come() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as pipe:
        names = iter(Sources(["-"], stdin))
        for name in (b"a.jpg", b"b.jpg"):
            pipe.write(name + b"\n")
            assert next(names) == Path(name.decode())


def test_what_has_probably_happened_to_a_word_is_said(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    together = f"{tmp_path / 'a.jpg'}\n{tmp_path / 'b.jpg'} gone.jpg"
    many = " ".join([str(tmp_path / "a.jpg")] * 40)
    names, sources = found("", together, many, "~/x.jpg", "no such file.jpg")
    assert names == [word.encode() for word in (together, many, "~/x.jpg", "no such file.jpg")]
    empty, joined, long, home = sources.refused
    assert empty.startswith("An empty name: perhaps a variable")
    assert "\\n" in joined
    assert "2 of the 3 words in it are files: names of several files were given as one" in joined
    assert "40 of the 40 words" in long
    assert len(long) < 700
    assert home == "~/x.jpg: no such file. The shell replaces ~ only where it is not quoted."


def test_links_to_folders_are_not_followed_and_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "1.jpg").touch()
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    for k in range(6):
        (tmp_path / "in" / "b" / f"l{k}").symlink_to("..")
    names, sources = found(tmp_path / "in")
    assert names == [os.fsencode(tmp_path / "in" / "b" / "1.jpg")]
    assert sources.refused == []
    remark = sources.remark()
    assert remark.startswith("Left out, since links to folders are not followed; name them to")
    assert f"{tmp_path / 'in' / 'up'}, " in remark
    assert remark.endswith("l3 and 2 more.")
    assert found(tmp_path / "in" / "up")[0] == [
        os.fsencode(tmp_path / "in" / "up" / "in" / "b" / "1.jpg")
    ]


@pytest.fixture
def without_rights() -> Iterator[None]:
    """Be nobody for a while: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_folder_that_may_not_be_read_is_named_and_the_others_are_searched(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    for name in ("a/1.jpg", "b\x1b/2.jpg", "c/3.jpg", "d/config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    for locked in ("b\x1b", "d"):
        (tmp_path / locked).chmod(0)
    request.getfixturevalue("without_rights")
    names, sources = found(tmp_path)
    assert [Path(os.fsdecode(name)).name for name in names] == ["1.jpg", "3.jpg"]
    assert sources.refused == [
        f"{tmp_path}/{locked}: the folder cannot be read: Permission denied"
        for locked in ("b\\x1b", "d")
    ]
    with pytest.raises(RunError, match="is no run: there is no"):
        split_words([str(tmp_path / "d"), "x.jpg"])


@pytest.mark.parametrize("word", ["x" * 5000, "a\nb" * 2000, "", "\udcff"])
def test_a_word_that_no_file_can_have_is_no_run(word: str) -> None:
    with pytest.raises(RunError, match=r"is no run: there is no .*/config\.json") as caught:
        split_words([word])
    assert len(str(caught.value)) < 1000


def test_marks_and_ends_of_lines_of_other_systems_cost_no_photograph(tmp_path: Path) -> None:
    lines = io.StringIO("\ufeffx.jpg\r\n\r\ny.jpg")
    assert list(Sources(["-"], lines)) == [Path("x.jpg"), Path("y.jpg")]
    listed = tmp_path / "list.csv"
    listed.write_bytes("\ufefffile,r1\r\rNA,1\r007,2\r".encode())
    assert list(Sources([str(listed)], io.StringIO())) == [tmp_path / "NA", tmp_path / "007"]


def test_names_in_a_csv_may_be_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path\nM\xe4rz.jpg\n")
    (only,) = Sources([str(tmp_path / "list.csv")], io.StringIO())
    assert os.fsencode(only.name) == b"M\xe4rz.jpg"


def test_groups_of_lists_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file,group\na.jpg,chair\nb.jpg,\n./a.jpg,chair\n")
    words = [str(tmp_path / "list.csv"), "c.jpg"]
    sources = Sources(words, io.StringIO(), in_groups=True)
    assert [path.name for path in sources] == ["a.jpg", "b.jpg", "a.jpg", "c.jpg"]
    assert sources.groups == {str(tmp_path / "a.jpg"): "chair"}
    unasked = Sources(words, io.StringIO())
    assert list(unasked) == list(sources)
    assert unasked.groups == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "file,mean\na.jpg,1\n",
            "list.csv has no column group, by which .*; it has 'file', 'mean'.",
        ),
        (
            "file,group\na.jpg,x\n./a.jpg,y\n",
            "list.csv puts .*a.jpg into the group 'y'; it is already in 'x'. Keep one of the two.",
        ),
    ],
)
def test_a_list_whose_groups_are_not_right_is_refused_where_they_are_asked_for(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    words = [str(tmp_path / "list.csv"), "b.jpg"]
    sources = Sources(words, io.StringIO(), in_groups=True)
    assert list(sources) == [Path("b.jpg")]
    assert re.search(said, *sources.refused)
    assert len(list(Sources(words, io.StringIO()))) > 1


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
    names, sources = found(tmp_path / "list.csv", "a.jpg")
    assert names == [b"a.jpg"]
    assert re.search(said, *sources.refused)
