"""Scores as rows: CSV, JSON lines, and a table for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TextIO

from cache.text import CsvLines, kept_name, shown
from heads.runs.loaded import Opinion
from heads.scoring.records import Ranked, Scored

# Columns that hold paths.
NAMES = ("path", "near_duplicate_of", "group")
OPINION = ("score", "std", "p_beautiful", "percentile", "label", "lo", "hi")
HEAD = ("rank", "score", "lo", "hi", "std", "P(beautiful)", "percentile", "label")
RIVALS_SHOWN = 5
LABELS = {True: "beautiful", False: "not beautiful"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The columns of scores by some runs: the first run's by their plain names, then the others'.

    `path,score,std,p_beautiful,percentile,label,lo,hi`, then the same of each other run with `_RUN`
    behind, then `near_duplicate_of` and `group,best_of_group,too_close` where asked for, then
    `error`.
    """

    names: Sequence[str]
    near_duplicates: bool = False
    groups: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in order."""
        others = [f"{column}_{name}" for name in self.names[1:] for column in OPINION]
        marks = ["near_duplicate_of"] * self.near_duplicates
        marks += ["group", "best_of_group", "too_close"] * self.groups
        return ("path", *OPINION, *others, *marks, "error")

    def row(self, scored: Scored) -> Row:
        """Return one photograph's values by column; None for numbers of an unreadable one."""
        row: Row = dict.fromkeys(self.columns)
        row |= {"path": scored.path, "error": scored.error}
        for number, (name, opinion) in enumerate(zip(self.names, scored.opinions, strict=False)):
            ending = f"_{name}" if number else ""
            row |= {f"{c}{ending}": v for c, v in zip(OPINION, _values(opinion), strict=True)}
        return row

    def ranked_row(self, ranked: Ranked) -> Row:
        """Return the values of a photograph in its place."""
        row = self.row(ranked.scored)
        if self.near_duplicates:
            row["near_duplicate_of"] = ranked.duplicate_of
        if self.groups:
            row |= {"group": ranked.group, "best_of_group": int(ranked.best)}
            row["too_close"] = None if ranked.too_close is None else int(ranked.too_close)
        return row


def _values(opinion: Opinion) -> tuple[Any, ...]:
    return (
        opinion.score,
        opinion.std,
        opinion.p_beautiful,
        opinion.percentile,
        LABELS[opinion.beautiful],
        opinion.lo,
        opinion.hi,
    )


def csv_rows(file: TextIO, columns: Sequence[str]) -> Callable[[Row], object]:
    """Write the header, and return what writes a row in full precision; None is empty."""
    writer = csv.DictWriter(CsvLines(file), columns)
    writer.writeheader()
    return lambda row: writer.writerow(_with_names(row))


def json_rows(file: TextIO, columns: Sequence[str]) -> Callable[[Row], object]:
    """Return what writes a row as one JSON object a line."""
    return lambda row: file.write(json.dumps(_with_names(row)) + "\n")


def _with_names(row: Row) -> Row:
    """Return a row with names of files as our files keep them, exactly; see `cache.text`."""
    return row | {column: kept_name(row[column]) for column in NAMES if row.get(column)}


WRITERS = {"csv": csv_rows, "jsonl": json_rows}


def ranking_text(ranked: Iterable[Ranked], names: Sequence[str]) -> str:
    """Return the table for people, one line a photograph."""
    rows = [_cells(place, item) for place, item in enumerate(ranked, start=1)]
    return _aligned([[*HEAD, *map(shown, names[1:]), "photograph"], *rows])


def groups_text(ranked: Iterable[Ranked], names: Sequence[str]) -> str:
    """Return the table of items, one line each: the best picture, its rivals, how many there were.

    Rivals are the pictures that are too close to call with it.
    """
    everything, rows = list(ranked), []
    rivals: dict[str, list[str]] = {}
    for item in everything:
        if item.too_close and not item.best:
            rivals.setdefault(item.group, []).append(shown(PurePath(item.scored.path).name))
    for place, item in enumerate((item for item in everything if item.best), start=1):
        close = rivals.get(item.group, [])
        more = f" and {len(close) - RIVALS_SHOWN} more" if len(close) > RIVALS_SHOWN else ""
        names_shown = ", ".join(close[:RIVALS_SHOWN]) + more
        end = _name(item) + (f"  (too close to call: {names_shown})" if close else "")
        rows.append([*_cells(place, item)[:-1], str(item.group_size), end])
    heading = [*HEAD, *map(shown, names[1:]), "pictures", "best picture of its group"]
    return _aligned([heading, *rows])


def _cells(place: int, item: Ranked) -> list[str]:
    first, *others = item.scored.opinions
    ends = ("" if value is None else f"{value:.2f}" for value in (first.lo, first.hi, first.std))
    return [
        str(place),
        f"{first.score:.2f}",
        *ends,
        f"{first.p_beautiful:.2f}",
        f"{first.percentile:.1f}",
        LABELS[first.beautiful],
        *(f"{opinion.score:.2f}" for opinion in others),
        _name(item),
    ]


def _name(item: Ranked) -> str:
    if not item.duplicate_of:
        return shown(item.scored.path)
    return f"{shown(item.scored.path)}  (nearly {shown(item.duplicate_of)})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align numbers right; the last column is left as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = (
        "  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
    return "\n".join(lines)
