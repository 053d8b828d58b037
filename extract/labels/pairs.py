"""Comparisons, one a row: pairs.csv, which of two photographs somebody likes better.

Beside a file of labels it says more of the same photographs; alone it says all that is known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cache.errors import LabelError
from cache.labels import LabelTable, Manifest
from cache.pairs import COLUMNS, PAIRS_FILE, pairs_path, write_pairs
from cache.tables import Table, listed, read_table
from cache.text import quoted
from cache.types import Scale, TextArray
from extract.labels.csv import Places, Seen, name_in, refuse_lookalikes, text_in, unused_columns
from extract.labels.records import EXTENSIONS, BadRows, FolderLabels, LabelSource

NAMES = (*COLUMNS, "group", "rater")
# Connected photographs stay together where the largest such part still leaves a choice of splits.
LARGEST_PART = 0.1
SHOWN = 3


class _Row(NamedTuple):
    line: int
    winner: str
    loser: str
    group: str


def read_pairs_alone(data: Path, name: str = PAIRS_FILE) -> FolderLabels:
    """Read pairs.csv where nothing else is known: `winner`, `loser`; `group`; `rater`.

    Winner and loser are files, by an ending of photographs, or ids. A `group` is that of both. In
    its place stand the photographs that comparisons connect, unless these are too many.

    Raises:
        LabelError: it is no table, columns are missing or look like others, or no row is right.
    """
    table = _table(data / name)
    files, by_id = Places(data, "file"), Places(data, "image_id")
    seen, bad = Seen(files), BadRows()
    paths: dict[str, str] = {}
    groups: dict[str, tuple[str, int]] = {}
    pairs = []
    for row in _rows(table, bad):
        both = row.winner, row.loser
        try:
            for each in both:
                _check_group(groups, each, row)
                if each not in paths:
                    is_file = os.path.splitext(each)[1].lower() in EXTENSIONS  # noqa: PTH122
                    path = (files if is_file else by_id).find(each)
                    seen.add(each, path, row.line)
                    paths[each] = path
        except ValueError as error:
            bad.add(row.line, str(error))
            continue
        if row.group:
            groups |= dict.fromkeys(both, (row.group, row.line))
        pairs.append(both)
    _need_rows(table, pairs, bad)
    group, remark = _groups(pairs, {name: group for name, (group, _) in groups.items()})
    ids = list(dict.fromkeys(name for pair in pairs for name in pair))
    scale = Scale(0.0, 1.0)
    labels = LabelTable(
        image_id=np.array(ids, np.str_),
        path=np.array([paths[name] for name in ids], np.str_),
        group=np.array([group.get(name, "") for name in ids], np.str_),
        mean=np.full(len(ids), np.nan),
        scale=scale,
        threshold=scale.usual_threshold,
    )
    remarks = (
        f"{name}: {len(pairs):,} comparisons of {len(ids):,} photographs. {remark}",
        *unused_columns(table, {*COLUMNS, "group"}),
        *by_id.remarks(ids),
    )
    return FolderLabels(labels, table.path, bad, remarks=remarks, one_row_each=False, pairs=pairs)


def with_pairs(labels: FolderLabels, path: Path) -> FolderLabels:
    """Return labels with the comparisons of their photographs, by their ids, that a file holds.

    Raises:
        LabelError: as `read_pairs_alone`.
    """
    table, bad, pairs = _table(path), BadRows(), []
    known = set(labels.table.image_id.tolist())
    for row in _rows(table, bad):
        both = row.winner, row.loser
        if unknown := [quoted(name) for name in both if name not in known]:
            bad.add(row.line, f"{' and '.join(unknown)}: no such photograph in the labels")
        else:
            pairs.append(both)
    _need_rows(table, pairs, bad)
    remarks = (
        *((bad.summary(path),) if bad.count else ()),
        f"{path.name}: {len(pairs):,} comparisons beside the labels.",
        *unused_columns(table, {*COLUMNS}),
    )
    return replace(labels, pairs=pairs, remarks=(*labels.remarks, *remarks))


def _table(path: Path) -> Table:
    table = read_table(path)
    refuse_lookalikes(table, NAMES)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise LabelError(
            f"{path} needs the columns `winner` and `loser`, one row a comparison; there is no "
            f"{' and no '.join(missing)}. Its first line names: {listed(table.columns)}."
        )
    return table


def _rows(table: Table, bad: BadRows) -> list[_Row]:
    rows = []
    for line, cells in table.rows():
        try:
            rows.append(_parse(line, table.named(cells)))
        except ValueError as error:
            bad.add(line, str(error))
    return rows


def _parse(line: int, values: Mapping[str, str]) -> _Row:
    winner, loser = (name_in(values, column) for column in COLUMNS)
    if winner == loser:
        raise ValueError(f"{quoted(winner)} is compared with itself")
    return _Row(line, winner, loser, text_in(values, "group"))


def _check_group(groups: Mapping[str, tuple[str, int]], name: str, row: _Row) -> None:
    first, line = groups.get(name, (row.group, 0))
    if row.group not in ("", first):
        raise ValueError(
            f"the group of {quoted(name)} is {quoted(row.group)}, and {quoted(first)} in line "
            f"{line}"
        )


def _need_rows(table: Table, pairs: Sequence[tuple[str, str]], bad: BadRows) -> None:
    if not pairs:
        raise bad.no_row(table.path)


def _groups(pairs: Sequence[tuple[str, str]], named: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return the groups by photograph: as `named`, else what comparisons connect; and a remark."""
    if named:
        return named, f"{len(set(named.values())):,} groups are named."
    part = {name: name for pair in pairs for name in pair}

    def first_of(name: str) -> str:
        while part[name] != name:
            part[name] = name = part[part[name]]
        return name

    for pair in pairs:
        one, other = sorted(map(first_of, pair))
        part[other] = one
    groups = {name: first_of(name) for name in part}
    sizes = np.unique([*groups.values()], return_counts=True)[1]
    if sizes.max() <= LARGEST_PART * len(part):
        return groups, (
            f"What they connect, {len(sizes):,} groups, stays together; a column `group` names "
            "others."
        )
    return {}, (
        f"They connect {sizes.max():,} of them, so each photograph is split by itself; name what "
        "belongs together in a column `group`."
    )


# --- splits ---------------------------------------------------------------------------------------


def pairs_within(labels: FolderLabels, manifest: Manifest) -> list[tuple[str, str]] | None:
    """Return the comparisons of which both photographs are in a manifest; None without a file."""
    if labels.pairs is None:
        return None
    ids = set(manifest.labels.image_id.tolist())
    return [pair for pair in labels.pairs if ids.issuperset(pair)]


def put_pairs(out: Path, split: str, pairs: Sequence[tuple[str, str]] | None) -> None:
    """Write the comparisons of a split beside its cache; take away earlier ones where are none."""
    path = pairs_path(out / f"{split}.h5")
    if pairs is None:
        path.unlink(missing_ok=True)
    else:
        write_pairs(path, pairs)


def across_splits(labels: FolderLabels, split: TextArray) -> str:
    """Say how many comparisons join two splits and are of no use; '' for none.

    `split` (N,) is that of each photograph.
    """
    names = dict(zip(labels.table.image_id.tolist(), split.tolist(), strict=True))
    across = [pair for pair in labels.pairs or () if names[pair[0]] != names[pair[1]]]
    if not across:
        return ""
    shown = ", ".join(
        f"{quoted(one)} in {names[one]} and {quoted(other)} in {names[other]}"
        for one, other in across[:SHOWN]
    )
    more = ", ..." * (len(across) > SHOWN)
    return (
        f"{PAIRS_FILE}: {len(across):,} of {len(labels.pairs or ()):,} comparisons join two splits "
        f"and are not used: {shown}{more}. A head must not learn of what it is measured on."
    )


SOURCE = LabelSource(
    PAIRS_FILE, "comparisons, one a row: the columns winner, loser", read_pairs_alone
)
