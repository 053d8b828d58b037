"""files.json: the SHA-256 of every file of a run, so that none of another run passes for its own.

It is written last into a run before that is published. Runs of earlier versions have none; their
files are read as they are, and a remark says so. What is put into a run's folder later, such as an
export, is not in it.
"""

from __future__ import annotations

import hashlib
import json
import stat
from functools import cache
from pathlib import Path

from cache.console import note
from cache.text import shown
from heads.errors import RunError
from heads.runs.kinds import fits, parse_json

FILE = "files.json"
FORMAT, VERSION = "aesthetic-files", 1
REMEDY = "Train the head again with --overwrite."


def seal(run: Path) -> None:
    """Write the list of what is in a run."""
    sums = {p.name: _sha256(p.read_bytes()) for p in sorted(run.iterdir()) if p.name != FILE}
    values = {"format": FORMAT, "version": VERSION, "sha256": sums}
    (run / FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def check_files(run: Path) -> None:
    """Check every file of a run that has a list; say of one without that it has none.

    Raises:
        RunError: the list is damaged, or a file is missing or not the one that was published.
    """
    note_unlisted(run)
    for name in _listed(run) or ():
        try:
            read_bytes(run / name)
        except FileNotFoundError:
            raise RunError(f"{run / name} is missing: {FILE} names it. {REMEDY}") from None


@cache
def _remark(run: Path) -> None:
    note(
        f"{run} has no {FILE}, as it is of an earlier version: whether its files were changed or "
        "come from another run cannot be told. Train the head again with --overwrite to know."
    )


def note_unlisted(run: Path) -> None:
    """Say, once in a process, of a run without a list that its files are not checked."""
    if _listed(run) is None:
        _remark(run.resolve())


def read_bytes(path: Path) -> bytes:
    """Return a file of a run, which is the one that was published with it.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: it cannot be read, or it is another one.
    """
    content, sums = _content(path), _listed(path.parent)
    if sums is not None and sums.get(path.name) != _sha256(content):
        raise RunError(
            f"{path} is not the file that was written with this run: its SHA-256 is not the one in "
            f"{FILE}. It was changed, damaged, or comes from another run. Put it back, or train "
            "the head again with --overwrite."
        )
    return content


def read_text(path: Path) -> str:
    """Return a text file of a run. Raises as `read_bytes`, and RunError where it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path} cannot be read: {shown(error)}. {REMEDY}") from error


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RunError(f"{path} cannot be read: it is no file. {REMEDY}")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}. {REMEDY}") from error


def _listed(run: Path) -> dict[str, str] | None:
    """Return the SHA-256 of each file of a run by its name; None for a run without a list."""
    path = run / FILE
    try:
        values = parse_json(_content(path).decode("utf-8"))
        known = values["format"] == FORMAT and values["version"] == VERSION
        sums: dict[str, str] = values["sha256"]
        if not known or not fits(sums, dict[str, str]) or any("/" in name for name in sums):
            raise ValueError("it is no list of SHA-256 by name")
        return sums
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {shown(error)}. {REMEDY}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
