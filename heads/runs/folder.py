"""Where the run of a head lies below `runs/`, and writing it whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.errors import StorageError
from cache.files import Mark, is_ours, replacing_folder, restore, storage_errors
from heads.errors import RunError
from heads.runs.checksums import FILE, seal
from heads.runs.files import read_json
from heads.runs.predictions import MARK as PREDICTIONS

HASH_DIGITS = 8
RUN = Mark(b"{", b'"format": "aesthetic-')  # in config.json
# What is in a run of any version, or is put there later; hidden files are the system's.
OURS = re.compile(
    r"(config|metrics|model|yardstick|files|moved)\.json|model\.(npz|keras|skops)|"
    r"(history|duplicates|predictions(-seed-\d+)?)\.csv|export|\..*"
)


def find_runs(out: Path) -> list[Path]:
    """Return the finished runs in a folder, sorted by name; damaged ones are among them.

    Raises:
        RunError: the folder cannot be listed.
    """
    if not out.is_dir():
        return []
    try:
        return sorted(p for p in out.iterdir() if not p.name.startswith(".") and _is_run(p))
    except OSError as error:
        raise RunError(f"{out} cannot be listed: {error.strerror}. Name another folder.") from error


def _is_run(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in ("config.json", FILE))


def place(
    out: Path, head: str, identity: str, *, overwrite: bool, keep_others: bool = False
) -> tuple[Path, bool]:
    """Return where a head's run belongs, and whether that very run is already there.

    `out/<head>` if it is free or equal, else `out/<head>-<hash8>`. With `overwrite` nothing
    counts as there, and `out/<head>` is replaced unless an equal run lies beside it, or unless
    `keep_others`: then an equal run alone is replaced.

    Raises:
        RunError: the place is taken by something that is no run, even with `overwrite`.
        CacheLockedError: another process is replacing the run at this moment.
        StorageError: a run that a kill left aside cannot be put back.
    """
    plain = out / head
    hashed = out / f"{head}-{identity[:HASH_DIGITS]}"
    for candidate in (plain, hashed):
        with storage_errors(candidate):
            restore(candidate)
        if _holds(candidate, identity):
            if overwrite:
                _check_replaceable(candidate)
            return candidate, not overwrite
    if (overwrite and not keep_others) or not plain.exists():
        _check_replaceable(plain)
        return plain, False
    read_json(plain / "config.json")
    if hashed.exists():
        raise RunError(
            f"{hashed} holds another run than its name says. Replace {plain} with --overwrite, "
            "or choose another --out."
        )
    return hashed, False


def _check_replaceable(run: Path) -> None:
    """Refuse a folder with files that are not ours; a damaged run has some of ours left."""
    marks = {"config.json": RUN, "predictions.csv": PREDICTIONS}
    files = sorted(path.name for path in run.iterdir()) if run.is_dir() else []
    if files and not any(is_ours(run / name, mark) for name, mark in marks.items()):
        raise RunError(
            f"{run} is no run of ours, so it is not replaced. Move it away, or choose another "
            "--out."
        )
    foreign = [name for name in files if not OURS.fullmatch(name)]
    if foreign:
        raise RunError(
            f"{run} is not replaced: {foreign[0]} ({len(foreign)} in all) is no file of a run and "
            "would be lost. Move it away, or choose another --out."
        )


def check_outside(path: Path) -> None:
    """Refuse, before any work, to replace a file of a finished run.

    Raises:
        StorageError: `path` is one.
    """
    if _is_run(path.parent) and os.path.lexists(path):
        raise StorageError(
            f"{path} belongs to the run {path.parent}, so it is not replaced. Name another file."
        )


def _holds(run: Path, identity: str) -> bool:
    try:
        return bool(read_json(run / "config.json").get("identity") == identity)
    except RunError:
        return False


@contextmanager
def publishing(run: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `run` in one step, unless an error comes between.

    What is in it then is what belongs to the run: its checksums are written last.

    Raises:
        CacheLockedError: another process is writing the same run.
        StorageError: the disk is full or refuses.
    """
    with storage_errors(run), replacing_folder(run) as temporary:
        yield temporary
        seal(temporary)
