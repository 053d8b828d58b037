"""Scores as rows: the columns, what is not there, and the tables for people."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from heads.runs.loaded import Opinion
from heads.scoring.ranking import folders, grouped
from heads.scoring.records import Ranked, Scored
from heads.scoring.table import WRITERS, Table, groups_text, ranking_text

SURE = Opinion(6.25, 1.5, 0.75, 87.5, beautiful=True, lo=5.125, hi=7.0)
UNSURE = Opinion(3.0, None, 0.125, 12.5, beautiful=False)
BOTH = Scored("shop/a.jpg", (SURE, UNSURE), "", None)
BROKEN = Scored("shop/b.jpg", (), "the file is empty (0 bytes)", None)


def test_a_row_has_the_first_runs_plain_columns_and_the_others_with_their_names() -> None:
    table = Table(["emd", "ridge"])
    row = table.row(BOTH)
    assert tuple(row) == table.columns
    assert list(row.values()) == [
        *("shop/a.jpg", 6.25, 1.5, 0.75, 87.5, "beautiful", 5.125, 7.0),
        *(3.0, None, 0.125, 12.5, "not beautiful", None, None, ""),
    ]


def test_an_unreadable_photograph_has_its_reason_and_no_numbers() -> None:
    row = Table(["emd", "ridge"]).row(BROKEN)
    assert {name: value for name, value in row.items() if value is not None} == {
        "path": "shop/b.jpg",
        "error": "the file is empty (0 bytes)",
    }


def test_marks_stand_before_the_error() -> None:
    table = Table(["emd"], near_duplicates=True, groups=True)
    marks = ("near_duplicate_of", "group", "best_of_group", "too_close", "error")
    assert table.columns[-5:] == marks
    copy = Ranked(BOTH, duplicate_of="c.jpg", group="shop", best=False)
    for too_close, shown in ((None, None), (True, 1), (False, 0)):
        row = table.ranked_row(replace(copy, too_close=too_close))
        assert [row[name] for name in marks] == ["c.jpg", "shop", 0, shown, ""]


@pytest.mark.parametrize(("name", "nothing"), [("csv", ""), ("jsonl", None)])
def test_writers_lose_no_digit_and_keep_what_is_not_there(name: str, nothing: object) -> None:
    table, file = Table(["emd"]), io.StringIO()
    third = Scored("ä, b.jpg", (Opinion(1 / 3, None, 0.5, 50.0, beautiful=True),), "", None)
    write = WRITERS[name](file, table.columns)
    for scored in (third, BROKEN):
        write(table.row(scored))
    text = io.StringIO(file.getvalue())
    first, second = csv.DictReader(text) if name == "csv" else map(json.loads, text)
    assert (first["path"], float(first["score"]), first["std"]) == ("ä, b.jpg", 1 / 3, nothing)
    assert (second["score"], second["error"]) == (nothing, "the file is empty (0 bytes)")


def test_the_ranking_is_aligned_and_names_what_a_photograph_nearly_is() -> None:
    copy = Scored("shop/copy.jpg", (UNSURE, SURE), "", None)
    ranked = [Ranked(BOTH), Ranked(copy, duplicate_of="shop/a.jpg")]
    assert ranking_text(ranked, ["emd", "ridge"]).splitlines() == [
        "rank  score    lo    hi   std  P(beautiful)  percentile          label  ridge  photograph",
        "   1   6.25  5.12  7.00  1.50          0.75        87.5      beautiful   3.00  shop/a.jpg",
        "   2   3.00                            0.12        12.5  not beautiful   6.25  "
        "shop/copy.jpg  (nearly shop/a.jpg)",
    ]


def test_items_are_shown_by_their_best_picture_and_how_many_there_are() -> None:
    given = {"shop/a.jpg": SURE, "shop/c.jpg": UNSURE, "home/d.jpg": UNSURE}
    scored = [Scored(path, (opinion,), "", None) for path, opinion in given.items()]
    ranked = [Ranked(item) for item in scored]
    close = groups_text(grouped(ranked, folders(ranked, {}), apart=4.0), ["emd"]).splitlines()
    assert close[1].endswith("2  shop/a.jpg  (too close to call: c.jpg)")
    assert close[2].endswith("1  home/d.jpg")
    many = [replace(ranked[0], scored=replace(BOTH, path=f"shop/{n}.jpg")) for n in range(9)]
    items = grouped(many, folders(many, {}), apart=1.0)
    (_, line) = groups_text(items, ["emd", "ridge"]).splitlines()
    assert line.endswith("(too close to call: 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg and 3 more)")
    ranked = grouped(ranked, folders(ranked, {}), apart=3.0)
    _, *lines = groups_text(ranked, ["emd"]).splitlines()
    assert [line.split()[-2:] for line in lines] == [["2", "shop/a.jpg"], ["1", "home/d.jpg"]]


def test_a_carriage_return_in_a_name_parts_no_row() -> None:
    file, table = io.StringIO(newline=""), Table(["ridge"])
    WRITERS["csv"](file, table.columns)(table.row(Scored("a\rb.jpg", (), "not an image", None)))
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [(row["path"], row["error"]) for row in rows] == [("a\rb.jpg", "not an image")]
