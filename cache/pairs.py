"""Comparisons: pairs of photographs of one split, of which people liked one better.

Owns `<split>.pairs.csv` beside a cache: the columns winner and loser, ids as the cache has them, a
row for each comparison. They are no part of the cache itself, so that new ones cost no extraction.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cache.errors import FormatError
from cache.files import write_text_atomically
from cache.store import FeatureCache
from cache.tables import read_table
from cache.text import CsvLines, quoted
from cache.types import IntArray

# The name of the file that people write, and of its columns that are kept.
PAIRS_FILE, COLUMNS = "pairs.csv", ("winner", "loser")


def pairs_path(path: Path) -> Path:
    """Return where the comparisons of a cache's photographs are."""
    return path.with_name(path.stem + ".pairs.csv")


def write_pairs(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write the ids (winner, loser) of comparisons.

    Raises:
        StorageError: the disk is full or refuses.
    """
    text = io.StringIO()
    csv.writer(CsvLines(text)).writerows([COLUMNS, *pairs])
    write_text_atomically(path, text.getvalue())


def pairs_of(cache: FeatureCache) -> IntArray | None:
    """Return (P, 2) int64 row numbers of each comparison's winner and loser; None without any file.

    Raises:
        FormatError: the file is missing though the cache was made with one, or is of another cache.
        LabelError: it is no table.
    """
    path = pairs_path(cache.path)
    remedy = f"`{cache.spec.made_by(cache.split)}` writes it again"
    if not path.exists():
        if PAIRS_FILE in cache.header.provenance.label_files or cache.labels.pairs_alone:
            raise FormatError(
                f"{path} is missing: {cache.path} was made from comparisons, and they lie there. "
                f"Copy it along with the cache; {remedy}."
            )
        return None
    table = read_table(path)
    rows = {name: row for row, name in enumerate(cache.labels.image_id.tolist())}
    try:
        named = [table.named(cells) for _, cells in table.rows()]
        found = [[rows[pair[name]] for name in COLUMNS] for pair in named]
    except (KeyError, ValueError) as error:
        problem = f"no {quoted(error.args[0])}" if isinstance(error, KeyError) else str(error)
        raise FormatError(
            f"{path} does not fit {cache.path} ({problem}): each row names two of its photographs, "
            f"winner and loser; {remedy}."
        ) from None
    return np.array(found, np.int64).reshape(-1, 2)
