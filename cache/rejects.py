"""Why photographs were rejected: a journal while a cache is written, a list once it is finished.

Owns `<split>.rejects.csv` and its `.partial`. Standard library only.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TextIO

REASON_MISSING = "no such file"
REASON_LOST = "unknown: the record of reasons was lost"


def rejects_path(path: Path) -> Path:
    """Return where the reasons of rejected photographs of a cache are listed."""
    return path.with_name(path.stem + ".rejects.csv")


def journal_path(path: Path) -> Path:
    """Return where reasons are noted while a cache is written."""
    return path.with_name(path.stem + ".rejects.csv.partial")


def open_journal(path: Path) -> TextIO:
    """Open for appending; a line that a kill cut short is ended first."""
    journal = path.open("a+", newline="", encoding="utf-8")
    journal.seek(0)
    if not journal.read().endswith("\n") and journal.tell():
        journal.write("\n")
    return journal


def read_rejects(path: Path) -> dict[str, str]:
    """Read the reasons of a finished cache's rejected photographs, by id."""
    if not rejects_path(path).exists():
        return {}
    with rejects_path(path).open(newline="", encoding="utf-8") as file:
        return {line["image_id"]: line["reason"] for line in csv.DictReader(file)}


def read_journal(path: Path) -> dict[str, str]:
    """Read reasons by id; the last one of an id counts, and a line cut by a kill is passed over."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return {line[0]: line[1] for line in csv.reader(file) if len(line) == 2}
