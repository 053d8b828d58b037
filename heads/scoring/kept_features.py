"""Features of scored photographs, kept in one file so that a second look costs next to nothing.

A SQLite file: a killed process leaves every finished photograph in it, and a lookup does not read
the rest. It belongs to one extractor, and a photograph to its absolute path, size and time. Each
photograph has a checksum, which is looked at whenever its features are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.console import note
from cache.errors import CacheLockedError, FormatError, StaleCacheError, StorageError
from cache.text import shown
from cache.types import ExtractorSpec, canonical_json
from heads.photos import Extracted, PhotographSource

FORMAT, VERSION = "aesthetic-kept-features", "2"
# Photographs that are written together: what a killed process loses.
COMMIT_EVERY = 256

# Paths are bytes, as names of files are.
_ABOUT = "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
_PHOTOGRAPHS = """CREATE TABLE photographs (
    path BLOB PRIMARY KEY, bytes INTEGER, mtime_ns INTEGER,
    width INTEGER, height INTEGER, features BLOB, sha256 TEXT
)"""


@dataclass(frozen=True)
class _Key:
    """A photograph's file as it is now."""

    path: bytes
    n_bytes: int
    mtime_ns: int


class KeptFeatures:
    """Features from the file where it has them, else from the extractor, which then go into it.

    Photographs that cannot be read are tried again each time.

    Args:
        path: the file; made where there is none.
        spec: what makes the features.
        extract: from sources to what was extracted of them, in order.

    Raises:
        StaleCacheError: the file is of another extractor; the message names what differs.
        FormatError: the file is of another kind or version, or damaged throughout.
        StorageError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        spec: ExtractorSpec,
        extract: Callable[[Iterable[PhotographSource]], Iterator[Extracted]],
    ) -> None:
        self._path = path
        self._spec = spec
        self._extract = extract
        with self._errors():
            # The generator of sources may be advanced from another thread; never two at once.
            self._file = sqlite3.connect(path, check_same_thread=False)
            if not self._made_of():
                self._begin()
            self._check(self._made_of())
        self._new: list[tuple[object, ...]] = []

    def __call__(self, sources: Iterable[PhotographSource]) -> Iterator[Extracted]:
        """Yield each photograph's features in order, from the file or extracted and kept."""
        waiting: deque[tuple[_Key | None, bool]] = deque()

        def unknown() -> Iterator[PhotographSource]:
            for source in sources:
                key = _key(source)
                known = key is not None and self._found(key) is not None
                waiting.append((key, known))
                if not known:
                    yield source

        with self._errors():
            try:
                for n, extracted in enumerate(self._extract(unknown())):
                    yield from self._known(waiting)
                    key, _ = waiting.popleft()
                    if key is not None and extracted.features is not None:
                        self._put(key, extracted)
                    if n % COMMIT_EVERY == COMMIT_EVERY - 1:
                        self._write()
                    yield extracted
                yield from self._known(waiting)
            finally:
                self._write()

    def _known(self, waiting: deque[tuple[_Key | None, bool]]) -> Iterator[Extracted]:
        """Yield what the file holds, up to the next photograph that it does not."""
        while waiting and waiting[0][1]:
            key, _ = waiting.popleft()
            found = None if key is None else self._found(key)
            if found is None:
                raise FormatError(
                    f"{self._path} changed while it was used. Give the same command again."
                )
            yield found

    def _found(self, key: _Key) -> Extracted | None:
        """Return what the file holds of a photograph; None where it holds nothing that is sound."""
        row = self._file.execute(
            "SELECT bytes, mtime_ns, width, height, features, sha256 FROM photographs "
            "WHERE path = ?",
            (key.path,),
        ).fetchone()
        if row is None or row[:2] != (key.n_bytes, key.mtime_ns):
            return None
        width, height, content, kept = row[2:]
        shape = len(self._spec.views), self._spec.n_features
        if kept != _sha256(key, (width, height), content):
            note(f"{os.fsdecode(key.path)}: its features in {self._path} are damaged; read again.")
            return None
        features = np.frombuffer(content, self._spec.dtype).reshape(shape)
        return Extracted(features.astype(np.float32), None, (width, height), "")

    def _put(self, key: _Key, extracted: Extracted) -> None:
        content = np.asarray(extracted.features).astype(self._spec.dtype).tobytes()
        checksum = _sha256(key, extracted.size, content)
        row = (key.path, key.n_bytes, key.mtime_ns, *extracted.size, content, checksum)
        self._new.append(row)

    def _write(self) -> None:
        """Write what is new at once: others that use the file wait for that, not for a network."""
        statement = "INSERT OR REPLACE INTO photographs VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._file.executemany(statement, self._new)
        self._file.commit()
        self._new.clear()

    def _made_of(self) -> set[str]:
        """Return what the file is made of, in SQL."""
        made = self._file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {str(sql) for (sql,) in made}

    def _begin(self) -> None:
        # In one step: Python's sqlite3 would commit each table by itself, and another process may
        # begin the same file.
        self._file.execute("BEGIN IMMEDIATE")
        if self._made_of():
            self._file.commit()
            return
        self._file.execute(_ABOUT)
        self._file.execute(_PHOTOGRAPHS)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "extractor": canonical_json(self._spec.to_dict()),
        }
        self._file.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        self._file.commit()

    def _check(self, made_of: set[str]) -> None:
        """Look at the file's kind before anything in it is run: it may be anybody's."""
        known = _ABOUT in made_of
        about = dict(self._file.execute("SELECT name, value FROM about")) if known else {}
        if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
            raise FormatError(
                f"{self._path} has the format {shown(about.get('format'))} version "
                f"{shown(about.get('version'))}; kept features are {FORMAT} version {VERSION}. "
                "Name another file with --cache."
            )
        try:
            theirs = ExtractorSpec.from_dict(json.loads(about["extractor"]))
            if made_of != {_ABOUT, _PHOTOGRAPHS}:
                raise ValueError("its tables are others")
        except (KeyError, TypeError, ValueError, RecursionError, FormatError) as error:
            raise FormatError(
                f"{self._path} holds no kept features: {shown(error)}. Name another file with "
                "--cache."
            ) from error
        for name, kept, wanted in theirs.differences(self._spec):
            raise StaleCacheError(
                f"{self._path} holds features made with {name} {shown(kept)}; this run needs "
                f"{shown(wanted)}. Name another file with --cache."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise CacheLockedError(
                    f"{self._path} is being written by another process. Wait for it to end, or "
                    "name another file with --cache."
                ) from error
            raise StorageError(
                f"Features cannot be kept in {self._path}: {shown(error)}. Name another file with "
                "--cache."
            ) from error
        except sqlite3.DatabaseError as error:
            raise FormatError(
                f"{self._path} holds no kept features: {shown(error)}. Name another file with "
                "--cache."
            ) from error


def _key(source: PhotographSource) -> _Key | None:
    """Return what a photograph is known by; None for an image in memory and a file that is gone."""
    if not isinstance(source, Path):
        return None
    try:
        facts = source.stat()
        return _Key(os.fsencode(source.absolute()), facts.st_size, facts.st_mtime_ns)
    except (OSError, ValueError):  # the latter for what is no name of a file, such as a NUL in it
        return None


def _sha256(key: _Key, size: tuple[object, object], content: object) -> str:
    """Return the checksum of all that is kept of a photograph."""
    facts = repr((key.path, key.n_bytes, key.mtime_ns, *size)).encode()
    return hashlib.sha256(facts + content if isinstance(content, bytes) else b"").hexdigest()
