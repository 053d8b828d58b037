"""Which labels a folder holds, and who reads them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.errors import LabelError
from extract.labels import csv, sources
from extract.labels.records import file_facts
from extract.labels.sources import read_labels


def test_a_folder_without_labels_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"neither AVA.txt .* nor labels.csv .*--data"):
        read_labels(tmp_path)


def test_a_folder_with_both_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AVA.txt").touch()
    (tmp_path / "labels.csv").touch()
    with pytest.raises(LabelError, match=r"both AVA.txt and labels.csv; move one of them away, or"):
        read_labels(tmp_path)


def test_labels_go_before_the_ratings_beside_them_unless_those_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2\na.jpg,1,1\n")
    (tmp_path / "ratings.csv").write_text("file,rater,rating\na.jpg,x,3\nb.jpg,x,1\n")
    assert len(read_labels(tmp_path)) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path} holds labels.csv and ratings.csv: the first is read. --labels ratings.csv "
        "reads the other.\n"
    )
    (tmp_path / "ratings.csv").rename(tmp_path / "mine.csv")
    named = read_labels(tmp_path, "mine.csv", (1.0, 5.0))
    assert named.table.levels == 5
    assert list(named.files) == ["mine.csv", "labels-note.txt"]
    with pytest.raises(LabelError, match=r"--scale says .* and labels.csv holds none: votes are"):
        read_labels(tmp_path, "labels.csv", (1.0, 5.0))
    with pytest.raises(LabelError, match="There is no file of labels"):
        read_labels(tmp_path, "other.csv")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("labels-note.txt", ""),
        ("AVA.txt", ""),
        ("aesthetics_image_lists/generic_test.jpgl", "AVA.txt"),
        ("mine.csv", "mine.csv"),
    ],
)
def test_what_has_the_name_of_a_file_beside_the_photographs_and_is_none_is_refused(
    tmp_path: Path, name: str, labels: str
) -> None:
    (tmp_path / ("AVA.txt" if labels == "AVA.txt" else "labels.csv")).write_text("file,r1,r2\n")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir()
    with pytest.raises(LabelError) as caught:
        read_labels(tmp_path, labels)
    assert str(caught.value) == (
        f"{path} is a folder, and a file of this name would be read with the labels. Move it "
        "away, or put the file in its place."
    )
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(LabelError, match=f"{path} is a pipe or a device, and"):
        read_labels(tmp_path, labels)
    path.unlink()
    path.symlink_to("away")
    with pytest.raises(LabelError, match=f"{path} is a link to no file, and"):
        read_labels(tmp_path, labels)


def test_labels_that_may_not_be_read_are_a_problem_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder / "labels.csv"))

    (tmp_path / "labels.csv").touch()
    refusing = replace(csv.SOURCE, read=refuse)
    monkeypatch.setattr(sources, "SOURCES", (refusing,))
    with pytest.raises(LabelError) as caught:
        read_labels(tmp_path)
    assert str(caught.value) == (
        f"The labels in {tmp_path} cannot be read: {tmp_path}/labels.csv: "
        "Permission denied. Give yourself the right to read the folder and its files, or "
        "see whether its disk is there."
    )


def test_bad_rows_are_noted_when_labels_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2\na.jpg,1,1\nb.jpg,0,0\n")
    assert len(read_labels(tmp_path)) == 1
    assert (
        capsys.readouterr().err
        == "labels.csv: 1 bad row passed over (line 3: no votes, expected 1 to 999999999).\n"
    )


def test_the_real_set_is_read(oasis: Path) -> None:
    labels = read_labels(oasis)
    assert labels.table.votes.shape == (519, 7)
    assert labels.bad.count == 0
    assert not file_facts(oasis, labels.table.path).missing.any()
    assert len(set(labels.table.group.tolist())) < 519


def test_what_people_should_know_of_the_labels_is_noted_when_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2,camera\na.jpg,1,1,x\n")
    read_labels(tmp_path)
    assert capsys.readouterr().err == "labels.csv: columns that are not used: 'camera'.\n"
