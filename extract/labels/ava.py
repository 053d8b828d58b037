"""The AVA dataset as its authors released it: AVA.txt, images/, aesthetics_image_lists/.

AVA: Murray, Marchesotti and Perronnin 2012, "AVA: A Large-Scale Database for Aesthetic Visual
Analysis". A row of AVA.txt: index, image id, counts of the votes 1..10, two tag ids, challenge id.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.errors import LabelError
from cache.labels import LabelTable, mean_of_votes
from cache.types import Scale
from extract.labels.records import BadRows, FolderLabels, LabelSource, PhotographIndex, empty_text

LABELS_FILE = "AVA.txt"
LISTS_FOLDER = "aesthetics_image_lists"
TEST_LIST = "generic_test.jpgl"
N_FIELDS, N_LEVELS = 15, 10
MAX_NUMBER = 2**31 - 1


def read_ava(data: Path) -> FolderLabels:
    """Read every row of AVA.txt; rows that are not right are counted with their line numbers.

    Raises:
        LabelError: no row is right.
    """
    path = data / LABELS_FILE
    rows, bad = _read_rows(path)
    if not rows:
        raise LabelError(
            f"{path} holds no valid row of AVA: expected 15 whole numbers a line (index, image "
            f"id, ten vote counts, two tags, challenge). {bad.summary(path)}"
        )
    numbers = np.array(rows, np.int64)
    image_id = numbers[:, 1].astype(np.str_)
    index = PhotographIndex(data)
    votes = numbers[:, 2:12].astype(np.int32)
    scale = Scale(1.0, float(N_LEVELS))
    table = LabelTable(
        image_id=image_id,
        path=np.array([index.find(stem) for stem in image_id.tolist()], np.str_),
        group=empty_text(len(rows)),
        votes=votes,
        mean=mean_of_votes(votes),
        tags=numbers[:, 12:14].astype(np.int32),
        challenge=numbers[:, 14].astype(np.int32),
        scale=scale,
        threshold=scale.usual_threshold,
    )
    return FolderLabels(table, path, bad, official_test=_read_test_list(data))


SOURCE = LabelSource(
    LABELS_FILE, "the AVA dataset as released", read_ava, (f"{LISTS_FOLDER}/{TEST_LIST}",)
)


def _read_rows(path: Path) -> tuple[list[list[int]], BadRows]:
    bad = BadRows()
    rows: list[list[int]] = []
    seen: set[int] = set()
    with path.open(encoding="ascii", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = _parse(line)
                if row[1] in seen:
                    raise ValueError(f"the id {row[1]} stands in an earlier row")
            except ValueError as error:
                bad.add(number, str(error))
                continue
            seen.add(row[1])
            rows.append(row)
    return rows, bad


def _parse(line: str) -> list[int]:
    fields = line.split()
    if len(fields) != N_FIELDS:
        raise ValueError(f"{len(fields)} fields instead of {N_FIELDS}")
    # `int` alone takes 1_000, +5 and digits of other alphabets; the file is read as ASCII.
    if not "".join(fields).isdecimal():
        wrong = next(field for field in fields if not field.isdecimal())
        raise ValueError(f"{wrong!r} is not a whole number in plain digits")
    row = [int(field) for field in fields]
    if max(row) > MAX_NUMBER:
        raise ValueError(f"a number is larger than {MAX_NUMBER}")
    if row[1] == 0:
        raise ValueError("the image id is 0")
    if not any(row[2:12]):
        raise ValueError("no votes")
    return row


def _read_test_list(data: Path) -> frozenset[str] | None:
    """Read the official test ids, None where the list is absent.

    Raises:
        LabelError: the list is empty or holds something else than ids.
    """
    path = data / LISTS_FOLDER / TEST_LIST
    if not path.is_file():
        return None
    ids = path.read_text(encoding="ascii", errors="replace").split()
    if not ids or not all(image_id.isdecimal() for image_id in ids):
        raise LabelError(f"{path} is not a list of image ids, one a line; fetch it again.")
    return frozenset(str(int(image_id)) for image_id in ids)
