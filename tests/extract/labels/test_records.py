"""What all labels share: files and what is known of them, notes, which labels a folder has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import LabelError
from extract.labels.records import file_facts, read_note
from extract.run import plan
from extract.run.plan import read_labels


def test_facts_are_bytes_and_times_and_minus_one_where_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    names = ["a.jpg", "b.jpg", "a.jpg/c.jpg", "x" * 300, "nul\0.jpg"]
    facts = file_facts(tmp_path, np.array(names))
    assert facts.size_bytes.tolist() == [1, -1, -1, -1, -1]
    assert facts.mtime_ns.tolist() == [(tmp_path / "a.jpg").stat().st_mtime_ns, -1, -1, -1, -1]
    assert facts.missing.tolist() == [False, True, True, True, True]


def test_facts_of_many_files_keep_their_order(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(9000)]
    for i in range(0, 9000, 1000):
        (tmp_path / f"{i}.jpg").write_bytes(b"x" * (i + 1))
    facts = file_facts(tmp_path, np.array(names))
    there = np.flatnonzero(~facts.missing)
    assert there.tolist() == list(range(0, 9000, 1000))
    assert facts.size_bytes[there].tolist() == [i + 1 for i in there]


def test_a_note_on_the_votes_is_its_first_line(tmp_path: Path) -> None:
    assert read_note(tmp_path) == ""
    (tmp_path / "labels-note.txt").write_text("\n simulated votes\nmore\n")
    assert read_note(tmp_path) == "simulated votes"
    (tmp_path / "labels-note.txt").write_text("\n")
    assert read_note(tmp_path) == ""
    (tmp_path / "labels-note.txt").write_bytes("März".encode("latin-1"))
    assert read_note(tmp_path) == "M\ufffdrz"


# --- which labels a folder has -------------------------------------------------------------------


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
    monkeypatch.setattr(plan, "read_labels_csv", refuse)
    with pytest.raises(LabelError) as caught:
        read_labels(tmp_path)
    assert str(caught.value) == (
        f"The labels in {tmp_path} cannot be read: [Errno 13] Permission denied: "
        f"'{tmp_path}/labels.csv'. Give yourself the right to read the folder and its files, or "
        "see whether its disk is there."
    )


def test_bad_rows_are_noted_when_labels_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,r1,r2\na.jpg,1,1\nb.jpg,0,0\n")
    assert len(read_labels(tmp_path)) == 1
    assert capsys.readouterr().err == "labels.csv: 1 bad row passed over (line 3: no votes).\n"


def test_the_real_set_is_read(oasis: Path) -> None:
    labels = read_labels(oasis)
    assert labels.votes is not None
    assert labels.votes.shape == (519, 7)
    assert labels.bad.count == 0
    assert not file_facts(oasis, labels.path).missing.any()
    assert len(set(labels.group.tolist())) < 519
