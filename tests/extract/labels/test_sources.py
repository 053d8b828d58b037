"""Which labels a folder holds, and who reads them."""

from __future__ import annotations

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
    with pytest.raises(LabelError, match=r"both AVA.txt and labels.csv; move one of them away"):
        read_labels(tmp_path)


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
