"""The AVA dataset as its authors released it: AVA.txt, images/, aesthetics_image_lists/.

AVA: Murray, Marchesotti and Perronnin 2012, "AVA: A Large-Scale Database for Aesthetic Visual
Analysis". A row of AVA.txt: index, image id, counts of the votes 1..10, two tag ids, challenge id.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.errors import LabelError
from cache.labels import MAX_VOTES, LabelTable, mean_of_votes
from cache.tables import read_lines
from cache.text import quoted
from cache.types import Scale
from extract.labels.records import (
    BadRows,
    FolderLabels,
    LabelSource,
    PhotographIndex,
    empty_text,
    is_there,
)

LABELS_FILE = "AVA.txt"
LISTS_FOLDER = "aesthetics_image_lists"
TEST_LIST = "generic_test.jpgl"
# As released; papers report on all of them.
TEST_IDS = 20_000
FIELDS = ("index", "image id", *(f"votes {k}" for k in range(1, 11)), "tag 1", "tag 2", "challenge")
N_LEVELS = 10
MAX_NUMBER, MAX_DIGITS = 2**31 - 1, 10


def read_ava(data: Path) -> FolderLabels:
    """Read every row of AVA.txt; rows that are not right are counted with their line numbers.

    Raises:
        LabelError: no row is right.
    """
    path = data / LABELS_FILE
    numbers, bad = _read_rows(path)
    if not len(numbers):
        raise LabelError(
            f"{path} holds no valid row of AVA: expected 15 whole numbers a line (index, image "
            f"id, ten vote counts, two tags, challenge). {bad.summary(path)}"
        )
    image_id = numbers[:, 1].astype(np.str_)
    index = PhotographIndex(data)
    votes = numbers[:, 2:12].astype(np.int32)
    scale = Scale(1.0, float(N_LEVELS))
    table = LabelTable(
        image_id=image_id,
        path=np.array([index.find(stem) for stem in image_id.tolist()], np.str_),
        group=empty_text(len(numbers)),
        votes=votes,
        mean=mean_of_votes(votes),
        tags=numbers[:, 12:14].astype(np.int32),
        challenge=numbers[:, 14].astype(np.int32),
        scale=scale,
        threshold=scale.usual_threshold,
    )
    official = _read_test_list(data)
    remarks = _which_test(official, image_id.tolist()), *index.remarks(image_id.tolist())
    return FolderLabels(
        table,
        path,
        bad,
        official_test=official,
        remarks=remarks,
    )


def _read_rows(path: Path) -> tuple[npt.NDArray[np.int32], BadRows]:
    """Return the numbers of the right rows, (N, 15), and count the others."""
    bad = BadRows()
    numbers = array("i")  # as lists of Python's integers they would take five times the room
    seen: dict[int, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = _parse(line)
            if seen.setdefault(row[1], number) != number:
                raise ValueError(f"the id {row[1]} stands in an earlier row, line {seen[row[1]]}")
        except ValueError as error:
            bad.add(number, str(error))
            continue
        numbers.extend(row)
    return np.array(numbers, np.int32).reshape(-1, len(FIELDS)), bad


def _parse(line: str) -> list[int]:
    fields = line.split()
    if len(fields) != len(FIELDS):
        hint = "; blanks separate them" if "," in line or ";" in line else ""
        raise ValueError(f"{len(fields)} fields instead of {len(FIELDS)}{hint}")
    # `int` alone takes 1_000, +5 and digits of other alphabets.
    digits = "".join(fields)
    if not (digits.isascii() and digits.isdecimal()) or len(max(fields, key=len)) > MAX_DIGITS:
        raise ValueError(_wrong_field(fields))
    row = [int(field) for field in fields]
    if max(row) > MAX_NUMBER:
        raise ValueError(_wrong_field(fields))
    if row[1] == 0:
        raise ValueError("the image id is 0")
    if not 1 <= sum(row[2:12]) <= MAX_VOTES:
        raise ValueError(f"{sum(row[2:12]) or 'no'} votes, expected 1 to {MAX_VOTES}")
    return row


def _wrong_field(fields: list[str]) -> str:
    """Say which field is no whole number that fits; one of them is none."""
    for name, text in zip(FIELDS, fields, strict=True):
        whole = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
        if not whole or int(text) > MAX_NUMBER:
            return (
                f"{name}: {quoted(text)} is not a whole number in plain digits up to {MAX_NUMBER}"
            )
    return ""


def _read_test_list(data: Path) -> frozenset[str] | None:
    """Read the official test ids, None where the list is absent.

    Raises:
        LabelError: the list is no file, is empty or holds something else than ids.
    """
    path = data / LISTS_FOLDER / TEST_LIST
    if not is_there(path):
        return None
    ids = {n: line.strip() for n, line in enumerate(read_lines(path), 1) if line.strip()}
    wrong = [n for n, text in ids.items() if not (text.isascii() and text.isdecimal())]
    if wrong or not ids:
        found = f"line {wrong[0]} is {quoted(ids[wrong[0]])}" if wrong else "it is empty"
        raise LabelError(f"{path} is not a list of image ids, one a line: {found}. Fetch it again.")
    return frozenset(text.lstrip("0") or "0" for text in ids.values())


def _which_test(official: frozenset[str] | None, image_ids: list[str]) -> str:
    """Say which photographs are the test split, and whether papers report on the same."""
    if official is None:
        return (
            f"No {LISTS_FOLDER}/{TEST_LIST} here: AVA is split by hash. Papers report on the "
            f"{TEST_IDS:,} test ids of that list, so results on this split do not compare with "
            "theirs."
        )
    known = f"{len(official.intersection(image_ids)):,} of them have votes in {LABELS_FILE}."
    if len(official) == TEST_IDS:
        return (
            f"{TEST_LIST}: AVA's official test split, {TEST_IDS:,} ids, which papers report on; "
            f"{known}"
        )
    return (
        f"{TEST_LIST} names {len(official):,} different ids, the published list {TEST_IDS:,}, "
        f"which papers report on: results on this test split do not compare with theirs; {known}"
    )


SOURCE = LabelSource(
    LABELS_FILE, "the AVA dataset as released", read_ava, (f"{LISTS_FOLDER}/{TEST_LIST}",)
)
