"""Which labels a folder holds, and who reads them.

A new kind of labels is its own module with a `SOURCE`, and a name in `SOURCES`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from cache.console import note
from cache.errors import LabelError
from cache.files import reading
from cache.pairs import COLUMNS, PAIRS_FILE
from cache.places import file_sha256
from cache.tables import read_table
from extract.labels import ava, csv, pairs, ratings
from extract.labels.records import NOTE_FILE, FolderLabels, LabelSource, is_there

SOURCES = (ava.SOURCE, csv.SOURCE, ratings.SOURCE, pairs.SOURCE)


def read_labels(
    data: Path, name: str = "", scale: tuple[float, float] | None = None
) -> FolderLabels:
    """Read the labels of a folder.

    Args:
        data: the folder that the photographs' paths are relative to.
        name: the file of labels in it; if '', the one that it holds.
        scale: lowest and highest possible rating, for single ratings alone.

    Raises:
        LabelError: there is no such file, or more than one, or it is not right or cannot be read.
    """
    try:
        source = _named(data, name) if name else _held(data)
        if scale is not None:
            source = _on_scale(source, scale)
        # The checksums first: of files that change meanwhile it is then said that they have.
        files = _checksums(data, source)
        labels = replace(source.read(data), files=files)
        if PAIRS_FILE in files and labels.pairs is None:
            labels = pairs.with_pairs(labels, data / PAIRS_FILE)
    except OSError as error:
        raise LabelError(
            f"The labels in {data} cannot be read: {error.filename}: {error.strerror}. Give "
            "yourself the right to read the folder and its files, or see whether its disk is there."
        ) from None
    if labels.bad.count:
        note(labels.bad.summary(labels.source))
    for remark in labels.remarks:
        note(remark)
    return labels


def _held(data: Path) -> LabelSource:
    """Return the source of the one file of labels that a folder holds.

    A labels.csv goes before the ratings that it may have been counted from.
    """
    found = [source for source in SOURCES if is_there(data / source.file)]
    if len(found) > 1 and found[-1] is pairs.SOURCE:
        del found[-1]  # it is read beside the other
    if found == [csv.SOURCE, ratings.SOURCE]:
        note(
            f"{data} holds {csv.LABELS_FILE} and {ratings.RATINGS_FILE}: the first is read. "
            f"--labels {ratings.RATINGS_FILE} reads the other."
        )
        del found[1]
    if len(found) > 1:
        raise LabelError(
            f"{data} holds both {' and '.join(source.file for source in found)}; move one of them "
            "away, or name one with --labels, so that it is clear which votes are meant."
        )
    if not found:
        known = " nor ".join(f"{source.file} ({source.content})" for source in SOURCES)
        raise LabelError(f"{data} holds neither {known}. Name the folder with --data.")
    return found[0]


def _named(data: Path, name: str) -> LabelSource:
    """Return the source of a file of labels of any name: its columns tell tables apart."""
    path = data / name
    if not is_there(path):
        raise LabelError(f"There is no file of labels {path}.")
    for source in SOURCES:
        if source.file == name:
            return source
    with reading(path):
        columns = read_table(path).columns
    if set(ratings.NEEDED) <= set(columns):
        return replace(ratings.SOURCE, file=name, read=partial(ratings.read_ratings, name=name))
    if set(COLUMNS) <= set(columns):
        return replace(pairs.SOURCE, file=name, read=partial(pairs.read_pairs_alone, name=name))
    return replace(csv.SOURCE, file=name, read=partial(csv.read_labels_csv, name=name))


def _on_scale(source: LabelSource, scale: tuple[float, float]) -> LabelSource:
    """Return a source of ratings on a given scale. Raises LabelError for any other source."""
    if source.content != ratings.SOURCE.content:
        raise LabelError(
            f"--scale says on which scale single ratings are, and {source.file} holds none: votes "
            "are on 1..K, and means name theirs in the columns scale_min and scale_max."
        )
    return replace(source, read=partial(source.read, scale=scale))


def _checksums(data: Path, source: LabelSource) -> dict[str, str]:
    """Return the SHA-256 of each file that labels, splits and the remark come from, by its name.

    '' for one that is not there; comparisons are named where they are.
    """
    beside = source.content != pairs.SOURCE.content and is_there(data / PAIRS_FILE)
    return {
        name: file_sha256(data / name) if is_there(data / name) else ""
        for name in (source.file, *source.beside, NOTE_FILE, *(PAIRS_FILE,) * beside)
    }
