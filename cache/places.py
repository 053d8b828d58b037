"""Where the folders lie that a file names, when a project is moved, copied or mounted elsewhere.

The one rule: a folder is looked for where the file says that it was, and then where it would be if
file and folder had moved together: below each folder above the file, the nearest first, by the end
of its name. What is found has to fit what the file knows of it. A place that is given is noted.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from cache.store import FeatureCache
from cache.text import path_named

# So many photographs, evenly taken, tell whether a folder is the one that a cache was made from.
ASKED = 16


def find_folder(noted: Path, file: Path, fits: Callable[[Path], bool]) -> Path | None:
    """Return the first place of a folder that fits; None where there is none.

    Args:
        noted: where the folder was, absolute.
        file: the file that says so, where it lies now.
        fits: whether a folder, which may not exist, is the one that is meant.
    """
    return next(filter(fits, chain([noted], _moved(noted, file))), None)


def _moved(noted: Path, file: Path) -> Iterator[Path]:
    """Yield where `noted` would be if it had moved together with `file`."""
    above = dict.fromkeys([*Path(os.path.abspath(file)).parents, *file.resolve().parents])  # noqa: PTH100  (as it is named, through links)
    for folder in above:
        for start in range(int(noted.is_absolute()), len(noted.parts)):
            yield folder.joinpath(*noted.parts[start:])


def photographs_of(cache: FeatureCache, given: Path | None = None) -> Path | None:
    """Return the folder that a cache's paths are relative to, as it is now; None if it is away.

    Args:
        cache: the cache.
        given: look nowhere else.

    A folder that holds some of the cache's photographs in the same number of bytes goes before the
    noted one with others of the same names.
    """
    sample = _sample(cache)
    same = functools.partial(_holds, sample=sample, same_size=True)
    there = functools.partial(_holds, sample=sample, same_size=False)
    if given is not None:
        return given if there(given) else None
    noted = cache.data_root
    if noted == Path():
        return None
    return find_folder(noted, cache.path, same) or (noted if there(noted) else None)


def _sample(cache: FeatureCache) -> list[tuple[str, int]]:
    """Return paths and bytes of some photographs that were there; 0 where the bytes are unknown."""
    rows = cache.ok_rows
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), ASKED)).round().astype(np.int64)]
    paths, sizes = cache.labels.path[rows].tolist(), cache.facts.size_bytes[rows].tolist()
    return [(path, size) for path, size in zip(paths, sizes, strict=True) if path]


def _holds(folder: Path, sample: list[tuple[str, int]], *, same_size: bool) -> bool:
    for path, size in sample:
        facts = _facts(folder / path_named(path))
        if facts is not None and not (same_size and size and size != facts.st_size):
            return True
    return False


def _facts(path: Path) -> os.stat_result | None:
    """Return what is known of a file; None where there is none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None


# --- labels that changed since --------------------------------------------------------------------


def changed_labels(caches: Iterable[FeatureCache]) -> list[str]:
    """Say which files of labels are not those any more that caches were extracted from.

    Nothing is said of what cannot be told: files that are away, caches that do not know theirs.
    """
    changed: dict[Path, list[FeatureCache]] = {}
    for cache in caches:
        known = cache.header.provenance.label_files
        root = photographs_of(cache) if known else None
        if root is None:
            continue
        for name, sha256 in known.items():
            now = _sha256_now(root / name)
            if now is not None and now != sha256:
                changed.setdefault(root / name, []).append(cache)
    return [_has_changed(file, made) for file, made in changed.items()]


def _has_changed(file: Path, made: Sequence[FeatureCache]) -> str:
    names, spec = " and ".join(str(cache.path) for cache in made), made[0].spec
    return (
        f"{file} has changed since {names} {'was' if len(made) == 1 else 'were'} made; "
        f"`{spec.made_by()}` takes it over"
        f"{', --overwrite' if spec.is_external else ', and reads no photograph again for that'}."
    )


def _sha256_now(path: Path) -> str | None:
    facts = _facts(path)
    if facts is None:
        return None
    try:
        return file_sha256(path)
    except OSError:
        return None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
