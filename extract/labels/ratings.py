"""Single ratings, one a row: ratings.csv, from which each photograph's votes are counted.

The tidy way to keep what people said: a column for the photograph, one for who rated it, one for
the rating.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from cache.errors import LabelError
from cache.labels import MAX_LEVELS, MIN_LEVELS, LabelTable, mean_of_votes
from cache.tables import Table, listed, read_table
from cache.text import quoted
from cache.types import Scale
from extract.labels.csv import (
    Places,
    Seen,
    key_of,
    name_in,
    number_in,
    refuse_lookalikes,
    split_in,
    text_in,
    unused_columns,
)
from extract.labels.records import BadRows, FolderLabels, LabelSource

RATINGS_FILE = "ratings.csv"
NEEDED = ("rater", "rating")
NAMES = ("file", "image_id", *NEEDED, "group", "split")
LEVELS = range(MIN_LEVELS, MAX_LEVELS + 1)


@dataclass
class _Photograph:
    """A photograph's ratings so far: how often each was given, and in which line by whom."""

    path: str
    line: int
    group: str
    split: str
    counts: Counter[Decimal] = field(default_factory=Counter)
    raters: dict[str, int] = field(default_factory=dict)


def read_ratings(
    data: Path, name: str = RATINGS_FILE, scale: tuple[float, float] | None = None
) -> FolderLabels:
    """Read ratings.csv: `file` or `image_id`; `rater`; `rating`; `group`; `split`.

    Whole ratings on a scale 1..K, K at most 20, are counted as votes; of all others the mean on the
    scale is kept. A rater's second rating of a photograph is passed over.

    Args:
        data: the folder.
        name: the file's name in it.
        scale: lowest and highest possible rating; ratings outside are passed over. If None, from 1
            to the highest one for whole ratings from 1 on, else from the lowest to the highest one.

    Raises:
        LabelError: it is no table, columns are missing or look like others, no row is right, or
            all ratings are the same and there is no scale.
    """
    path = data / name
    table = read_table(path)
    refuse_lookalikes(table, NAMES)
    key = key_of(table)
    if missing := [column for column in NEEDED if column not in table.columns]:
        raise LabelError(
            f"{path} needs the columns `rater` and `rating`, one row a vote; there is no "
            f"{' and no '.join(missing)}. Its first line names: {listed(table.columns)}."
        )
    places = Places(data, key)
    photographs, bad = _read_rows(table, key, places, scale)
    if not photographs:
        raise bad.no_row(path)
    each = photographs.values()
    ratings = sum((photograph.counts for photograph in each), Counter[Decimal]())
    on = _scale(path, ratings, scale)
    counted = on.lo == 1 and on.hi in LEVELS and _are_whole(ratings)
    split = np.array([photograph.split for photograph in each], np.str_)
    return FolderLabels(
        _table(photographs, on, counted=counted),
        path,
        bad,
        split if "split" in table.columns else None,
        remarks=(
            _remark(name, photographs, on, counted=counted, given=scale is not None),
            *unused_columns(table, {key, *NAMES[2:]}),
            *places.remarks([*photographs]),
        ),
        one_row_each=False,
    )


def _read_rows(
    table: Table, key: str, places: Places, scale: tuple[float, float] | None
) -> tuple[dict[str, _Photograph], BadRows]:
    photographs: dict[str, _Photograph] = {}
    bad, seen = BadRows(), Seen(places)
    for line, cells in table.rows():
        try:
            values = table.named(cells)
            name, rating = name_in(values, key), number_in(values, "rating")
            if scale and not scale[0] <= rating <= scale[1]:
                raise ValueError(f"the rating {rating} lies outside {scale[0]:g}..{scale[1]:g}")
            photograph = photographs.get(name) or _new(name, values, line, places, seen)
            _add(photograph, name, values, rating, line)
        except ValueError as error:
            bad.add(line, str(error))
            continue
        photographs[name] = photograph
    return photographs, bad


def _new(
    name: str, values: Mapping[str, str], line: int, places: Places, seen: Seen
) -> _Photograph:
    split = split_in(values) if "split" in values else ""
    made = _Photograph(places.find(name), line, text_in(values, "group"), split)
    name_in(values, "rater")  # before it is remembered
    seen.add(name, made.path, line)
    return made


def _add(
    photograph: _Photograph, name: str, values: Mapping[str, str], rating: Decimal, line: int
) -> None:
    rater = name_in(values, "rater")
    if rater in photograph.raters:
        raise ValueError(
            f"the rater {quoted(rater)} rated {quoted(name)} before, in line "
            f"{photograph.raters[rater]}, which counts"
        )
    for column in ("group", "split"):
        said, first = text_in(values, column), getattr(photograph, column)
        if column in values and said != first:
            raise ValueError(
                f"the {column} of {quoted(name)} is {quoted(said)}, and {quoted(first)} in line "
                f"{photograph.line}"
            )
    photograph.raters[rater] = line
    photograph.counts[rating] += 1


def _scale(path: Path, ratings: Counter[Decimal], given: tuple[float, float] | None) -> Scale:
    """Return the scale: as given, else from 1 on for whole ratings, else what the data span."""
    lowest, highest = min(ratings), max(ratings)
    if _are_whole(ratings) and lowest >= 1:
        lowest = Decimal(1)
    try:
        return Scale(*(given or (float(lowest), float(highest))))
    except LabelError as error:
        raise LabelError(
            f"{path}, the scale of its ratings: {error} Name their lowest and highest possible "
            "value with --scale LO,HI."
        ) from None


def _are_whole(ratings: Iterable[Decimal]) -> bool:
    return all(rating == rating.to_integral_value() for rating in ratings)


def _table(photographs: Mapping[str, _Photograph], scale: Scale, *, counted: bool) -> LabelTable:
    """Return the labels: votes 1..K where they are `counted`, else means alone."""
    each, votes = photographs.values(), None
    if counted:
        levels = range(1, int(scale.hi) + 1)
        votes = np.array([[p.counts[Decimal(k)] for k in levels] for p in each], np.int32)
        mean = mean_of_votes(votes)
    else:
        mean = np.array([_mean(photograph.counts) for photograph in each], np.float64)
    return LabelTable(
        image_id=np.array([*photographs], np.str_),
        path=np.array([photograph.path for photograph in each], np.str_),
        group=np.array([photograph.group for photograph in each], np.str_),
        votes=votes,
        mean=mean,
        scale=scale,
        threshold=scale.usual_threshold,
    )


def _mean(counts: Counter[Decimal]) -> float:
    return float(sum(rating * n for rating, n in counts.items()) / counts.total())


def _remark(
    name: str, photographs: Mapping[str, _Photograph], scale: Scale, *, counted: bool, given: bool
) -> str:
    """Say what was made of the ratings, and where the scale comes from."""
    n = sum(len(photograph.raters) for photograph in photographs.values())
    raters = set().union(*(photograph.raters for photograph in photographs.values()))
    whence = "" if given else ", which is what they span; --scale LO,HI names another"
    if not given and scale.lo == 1:
        whence = ", up to the highest one; --scale LO,HI names another"
    kept = "counted as votes" if counted else "kept as their means"
    why = (
        f" Votes are counted where all ratings are whole numbers on a scale from 1 to at most "
        f"{MAX_LEVELS}; without them heads of distributions step aside."
    )
    return (
        f"{name}: {n:,} ratings of {len(photographs):,} photographs by {len(raters):,} raters, "
        f"{kept} on the scale {scale}{whence}.{'' if counted else why}"
    )


SOURCE = LabelSource(
    RATINGS_FILE, "single ratings, one a row: the columns file, rater, rating", read_ratings
)
