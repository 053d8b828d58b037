"""What all labels share: files and what is known of them, and notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import LabelError
from extract.labels.records import file_facts, read_note


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
    (tmp_path / "labels-note.txt").write_bytes("\ufeff simulated\r\n".encode())
    assert read_note(tmp_path) == "simulated"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\nMärz".encode("latin-1"), "labels-note.txt, line 2: the byte 0xe4 is not UTF-8 text"),
        (b"x" * 70_000, "the remark has 70,000 characters, at most 500 are taken.*shorten it"),
    ],
)
def test_a_note_that_cannot_be_shown_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "labels-note.txt").write_bytes(content)
    with pytest.raises(LabelError, match=said):
        read_note(tmp_path)


def test_a_note_on_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    """Memory that is not there fails as a disk does, once its file is open."""
    (tmp_path / "labels-note.txt").symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match=r"labels-note\.txt"):
        read_note(tmp_path)
