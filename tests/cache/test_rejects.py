"""Why photographs were rejected: listed beside a finished file, whatever came between."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.cache.filling import (
    N,
    block,
    opened,
    rejects,
    without_file,
)


def test_rejected_photographs_are_listed_with_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    with opened(path, facts=without_file([9])) as writer:
        writer.write(block([*range(9), 10, 11], bad=[4]))
        assert writer.reasons() == Counter({"row 4 is broken": 1})
        writer.finish()
    assert rejects(path) == [
        {
            "image_id": "photo-0004",
            "path": "images/photo-0004.jpg",
            "status": "unreadable",
            "reason": "row 4 is broken",
        },
        {
            "image_id": "photo-0009",
            "path": "images/photo-0009.jpg",
            "status": "missing",
            "reason": "no such file",
        },
    ]


def test_a_lost_reason_is_said_to_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    with opened(path) as writer:
        writer.write(block(range(N), bad=[4]))
    (tmp_path / "train.rejects.csv.partial").unlink()
    with opened(path) as writer:
        writer.finish()
    assert rejects(path)[0]["reason"] == "unknown: the record of reasons was lost"


def test_a_reason_cut_short_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    with opened(path) as writer:
        writer.write(block(range(6), bad=[4]))
    with (tmp_path / "train.rejects.csv.partial").open("a") as journal:
        journal.write("photo-00")
    with opened(path) as writer:
        writer.write(block(range(6, N), bad=[7]))
        writer.finish()
    assert [row["reason"] for row in rejects(path)] == ["row 4 is broken", "row 7 is broken"]
