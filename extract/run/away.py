"""Photographs whose whole folder is away, told from photographs that were deleted.

A share that is not mounted must cost nothing that is finished. So, of the photographs that are not
found, those are *away*
- whose folder does not exist, is empty, or cannot be listed or entered;
- of whose folder earlier files of this extraction read ten photographs or more, and less than a
  tenth of these is there now;
- of which the system does not say whether they are there (EIO, ESTALE, EACCES, ...).
All others are missing, and so is what a finished file already calls missing. What was read and is
away now is kept as it was; an extraction in which something is away that is still to be read is not
finished. Looks at names of files, and at earlier caches.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.errors import AestheticError
from cache.labels import LabelTable, Manifest
from cache.schema import FileFacts
from cache.store import FeatureCache, open_cache, partial_path
from cache.types import Status
from extract.labels.records import REFUSED

# So many photographs tell of their folder, and it is away with less than one in so many of them.
FEW = 10
IMAGES = "images"
FOLDERS_SHOWN = 3
READ = (Status.OK, Status.UNREADABLE)


@dataclass(frozen=True)
class Away:
    """The folder of each photograph that is away, by id: of those `read` earlier, and of others."""

    read: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def of(self, manifest: Manifest) -> Away:
        """Return those of some rows."""
        ids = set(manifest.labels.image_id.tolist()) if self else set()
        parts = (
            {name: folder for name, folder in part.items() if name in ids}
            for part in (self.read, self.unread)
        )
        return Away(*parts)

    def __bool__(self) -> bool:
        return bool(self.read or self.unread)

    def problems(self, data: Path, path: Path) -> list[str]:
        """Say what is away, what becomes of `path` and how to go on; nothing if all are there."""
        said = []
        if self.read:
            said.append(
                f"{path}: {_counted(data, self.read)} away. What it held of them is kept. Bring "
                "the folder back; or, if they are gone for good, take their rows out of the labels."
            )
        if self.unread:
            said.append(
                f"{path} is not finished: {_counted(data, self.unread)} away, still to be read. "
                f"The others are kept in {partial_path(path).name}. Bring the folder back and give "
                "the same command again (without --overwrite); or, if there are no such "
                "photographs, take their rows out of the labels."
            )
        return said


def _counted(data: Path, folders: dict[str, str]) -> str:
    """Return '56 photographs of photos/b are', with the highest folders that are away."""
    names = {folder: _highest(data, folder) for folder in set(folders.values())}
    counts = Counter(str(names[folder]) for folder in folders.values())
    shown = [
        f"{n:,} photograph{'s' * (n > 1)} of the folder {folder}"
        for folder, n in counts.most_common(FOLDERS_SHOWN)
    ]
    if len(counts) > FOLDERS_SHOWN:
        rest = sum(counts.values()) - sum(n for _, n in counts.most_common(FOLDERS_SHOWN))
        shown.append(f"{rest:,} of {len(counts) - FOLDERS_SHOWN:,} more folders")
    return " and ".join(shown) + (" are" if len(folders) > 1 else " is")


def _highest(data: Path, folder: str) -> Path:
    """Return the highest folder, below `data`, that is away with `folder`."""
    place = data / folder
    while place != data and place.parent != data and is_away(place.parent):
        place = place.parent
    return place


def is_away(folder: Path) -> bool:
    """Whether a folder does not exist, is empty, or cannot be listed or entered."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None or not os.access(folder, os.X_OK)
    except OSError:
        return True


@dataclass(frozen=True)
class Before:
    """What an earlier file holds of a photograph."""

    path: str
    size_bytes: int
    mtime_ns: int
    read: bool

    @property
    def folder(self) -> str:
        """Where its file lay, relative to the data folder."""
        return os.path.dirname(self.path)  # noqa: PTH120  (of 255,500 of them)


@dataclass(frozen=True)
class Held:
    """What earlier files hold of an extraction's photographs: `gone`, by id, where its file is
    missing now; of those that were read, how many were in each folder, and how many are still."""

    gone: dict[str, Before] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)

    def thinned(self, data: Path) -> set[str]:
        """Return the folders that are away of those from which photographs were read."""
        return {
            folder
            for folder, n in self.read.items()
            if self.there[folder] * FEW < n and (n >= FEW or is_away(data / folder))
        }


def held(paths: Iterable[Path], labels: LabelTable, facts: FileFacts) -> Held:
    """Return what finished caches and their unfinished files hold; of an id the first one counts.

    A photograph that is missing in an unfinished file is as good as unknown.
    """
    found = Held()
    gone = dict(zip(labels.image_id.tolist(), facts.missing.tolist(), strict=True))
    for path in (each for final in paths for each in (partial_path(final), final)):
        # What is wrong with a file is said where it is opened for going on.
        with suppress(AestheticError):
            _look_into(open_cache(path, allow_partial=True), gone, found)
    return found


def _look_into(cache: FeatureCache, gone: dict[str, bool], found: Held) -> None:
    """Add what a file holds of the ids in `gone`, and take them out of it."""
    labels, facts = cache.labels, cache.facts
    read = np.isin(cache.status, READ) & ~facts.missing
    known = read | ((cache.status == Status.MISSING) & cache.header.complete)
    for row in np.flatnonzero(known).tolist():
        name = str(labels.image_id[row])
        if name not in gone:
            continue
        is_gone, path = gone.pop(name), str(labels.path[row])
        size, mtime = int(facts.size_bytes[row]), int(facts.mtime_ns[row])
        before = Before(path, size, mtime, bool(read[row]))
        if before.read:
            found.read[before.folder] += 1
            found.there[before.folder] += not is_gone
        if is_gone:
            found.gone[name] = before


def settle(
    data: Path, labels: LabelTable, facts: FileFacts, before: Held, *, anew: bool
) -> tuple[LabelTable, FileFacts, Away]:
    """Tell what is away from what is missing.

    Args:
        data: the folder that paths are relative to.
        labels, facts: every labelled photograph, and its file as `file_facts` found it.
        before: as `held` gives it, of the files that the extraction goes on with.
        anew: nothing of these files is kept, so that all that is away counts as unread.

    Returns:
        labels and facts, with path, bytes and time of then of what was read and is away now; and
        what is away.
    """
    size, mtime = facts.size_bytes.copy(), facts.mtime_ns.copy()
    moved: dict[int, str] = {}
    size[facts.missing] = mtime[facts.missing] = -1
    thinned, away = before.thinned(data), Away()
    away_now = functools.cache(lambda folder: _empty_place(data, folder))
    for row in np.flatnonzero(facts.missing).tolist():
        name, unsaid = str(labels.image_id[row]), facts.size_bytes[row] == REFUSED
        known = before.gone.get(name)
        if known is None:
            folder = os.path.dirname(str(labels.path[row]))  # noqa: PTH120  (of 255,500 of them)
            place = folder if unsaid else away_now(folder)
            if place is not None:
                away.unread[name] = place
            continue
        if known.read and (unsaid or known.folder in thinned):
            (away.unread if anew else away.read)[name] = known.folder
            if not anew:
                moved[row], size[row], mtime[row] = known.path, known.size_bytes, known.mtime_ns
    if moved:
        path = labels.path.astype(object)
        path[list(moved)] = list(moved.values())
        labels = replace(labels, path=path.astype(np.str_))
    return labels, FileFacts(size, mtime), away


def unkept(
    manifest: Manifest, facts: FileFacts, away: Away, pending: npt.NDArray[np.bool_]
) -> tuple[FileFacts, Away]:
    """Count as unread, and its file as missing, what is away and not kept from when it was read.

    So it is where an unfinished file has begun anew, or --retry-failed asks for another try.

    Args:
        manifest, facts, away: a part's rows, and what `settle` says of them.
        pending: (N,) the rows of which nothing is kept, as `cache.resume.pending_rows` gives them.
    """
    lost = [row for row in np.flatnonzero(pending) if manifest.labels.image_id[row] in away.read]
    names = set(manifest.labels.image_id[lost].tolist())
    size, mtime = facts.size_bytes.copy(), facts.mtime_ns.copy()
    size[lost] = mtime[lost] = -1
    read = {name: folder for name, folder in away.read.items() if name not in names}
    unread = away.unread | {name: away.read[name] for name in names}
    return FileFacts(size, mtime), Away(read, unread)


def _empty_place(data: Path, folder: str) -> str | None:
    """Return the folder that is away, of those in which a photograph that nobody read may lie.

    A file of labels.csv lies there or in images/, which counts only if there is such a folder.
    """
    other = folder if folder.split("/")[0] == IMAGES else "/".join(filter(None, (IMAGES, folder)))
    if is_away(data / folder):
        return None if not is_away(data / other) else folder
    return other if os.path.lexists(data / other) and is_away(data / other) else None
