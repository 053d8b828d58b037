"""Reading a cache: labels as arrays, features as rows read on demand.

Owns opening and checking a finished file; must not write.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from cache import layout, schema
from cache.errors import FormatError, IncompleteCacheError, LabelError
from cache.labels import COLUMNS, TEXT, LabelTable, Manifest
from cache.text import path_named, shown
from cache.types import IntArray, Status, TextArray

Features = npt.NDArray[np.floating[Any]]
PARTIAL = ".partial"
BLOCK_ROWS = 2048
SHOWN_ROWS = 5
# A file that changed less long ago may change once more without another time of modification.
SETTLED_NS = 2 * 10**9


def partial_path(path: Path) -> Path:
    """Return the name that a cache has while it is written."""
    return path.with_name(path.name + PARTIAL)


def open_hdf5(path: Path, mode: str) -> h5py.File:
    """Open an HDF5 file without HDF5's own lock.

    Raises:
        FileNotFoundError: there is none.
        FormatError: not HDF5, truncated or damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            what = "Is a directory" if path.is_dir() else "it is no regular file"
            raise FormatError(f"{path} cannot be opened: {what}.")
        return h5py.File(path, mode, driver="sec2", locking=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno:  # the system's refusal; its own text is HDF5's, of several lines
            reason = os.strerror(error.errno)
            raise FormatError(f"{path} cannot be opened: {reason}.") from None
        reason = "it is truncated" if "truncated" in str(error) else "it is no HDF5 file"
        if path.stat().st_size and "truncated" not in str(error):
            reason = f"it is no HDF5 file, or damaged ({shown(error)})"
    except schema.DAMAGE as error:
        reason = f"it is no HDF5 file, or damaged ({shown(error)})"
    raise FormatError(
        f"{path} cannot be read: {reason}. Extract or import it again with --overwrite."
    )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what h5py raises on senseless bytes into words that name the file."""
    try:
        yield
    except schema.DAMAGE as error:
        raise FormatError(
            f"{path} is damaged: it cannot be read ({shown(error)}). Extract or import it "
            "again with --overwrite."
        ) from None


def open_cache(path: str | Path, *, allow_partial: bool = False) -> FeatureCache:
    """Open a finished cache for reading.

    Args:
        path: the file, such as features/train.h5.
        allow_partial: also read one that is still being written.

    Raises:
        IncompleteCacheError: no such file, or its extraction has not finished.
        FormatError: not a cache, another version, truncated, damaged or changed since.
    """
    cache = open_unsealed(Path(path))
    if not cache.header.complete and not allow_partial:
        raise IncompleteCacheError(
            f"{path} is not finished; give the same `extract` command again to go on with it."
        )
    if cache.seal_is_broken:
        raise FormatError(f"{path} is damaged: {SEAL_BROKEN}. {remedy(cache)}")
    return cache


SEAL_BROKEN = (
    "attributes, or columns such as status and size, are not as they were when it was finished "
    "(they do not match its seal)"
)


def remedy(cache: FeatureCache) -> str:
    """Say what to do about a damaged cache."""
    if cache.spec.is_external:
        return f"`cache verify {cache.path}` says more; give `cache import` again, --overwrite."
    return (
        f"`cache verify {cache.path}` says more; extract it again with "
        f"`extract --split {cache.split} --overwrite`."
    )


def open_unsealed(path: Path) -> FeatureCache:
    """Open a cache, finished or not, whether or not its seal is as it was.

    Raises:
        IncompleteCacheError: no such file.
        FormatError: not a cache, another version, truncated or damaged.
    """
    try:
        return FeatureCache(path)
    except FileNotFoundError:
        part = path.stem.replace(".shard-", " --shard ").replace("-of-", "/")
        hint = f"extract --split {part}"
        if partial_path(path).exists():
            raise IncompleteCacheError(
                f"{path} is not finished: only {partial_path(path).name} is there. "
                f"The same `{hint}` command goes on with it."
            ) from None
        raise IncompleteCacheError(
            f"There is no cache {path}. Make it with `{hint}`, or with `cache import` if its "
            "features were made elsewhere."
        ) from None


class _FileState(NamedTuple):
    """Which file it is, and when it was last changed: equal for one that is unchanged."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> _FileState:
        return cls(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


# Files whose rows all matched their checksums in this process, as they were then.
_sound: set[_FileState] = set()


class StoredFeatures:
    """The features of a cache, (N, V, D), read when they are indexed."""

    def __init__(
        self, place: layout.Place, read: Callable[[slice | IntArray], npt.NDArray[Any]]
    ) -> None:
        self.shape, self.dtype = place.shape, place.dtype
        self._read = read

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | IntArray, /) -> Features:
        return self._read(rows)


class FeatureCache:
    """One split's features and labels, read-only.

    The file is opened once, and all that is read later is read from there: a file that replaces it
    meanwhile is another one. `features` is (N, V, D), float16 or float32; rows whose `status` is
    not OK hold no features. `header` holds all attributes; of these, `spec` is what made the
    features, `split` train, val or test and `split_rule` how it was chosen, `scale` the range of
    mean scores, `threshold` a decimal number that beautiful means lie strictly above,
    `manifest_sha256` that of the rows and their labels, `data_root` the folder that paths are
    relative to, `label_note` a remark to be shown wherever results are, or '', and
    `library_versions` those of the libraries that made the file.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: not a cache, another version, truncated or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_hdf5(path, "r") as file, damage(path):
            self._open(file)
            header = self.header = schema.read_header(file, path)
            with self._damage():
                self._places = schema.find_columns(file, header, self._state.size)
            self.seal_is_broken = bool(
                header.complete and header.seal is not None and header.seal != schema.seal_of(file)
            )
        self.spec, self.manifest_sha256 = header.spec, header.manifest_sha256
        self.split, self.split_rule = header.split, header.split_rule
        self.scale, self.threshold = header.scale, header.threshold
        self.data_root = Path(path_named(header.provenance.data_root))
        self.label_note = header.provenance.label_note
        self.library_versions = header.provenance.library_versions
        self.n_rows = self._places["image_id"].shape[0]
        self.counts = {s: int(np.sum(self.status == s)) for s in Status}

    def _open(self, file: h5py.File) -> None:
        """Keep the very file that HDF5 has open; a name could lead to another one by now."""
        descriptor = file.id.get_vfd_handle()
        self._state = _FileState.of(os.fstat(descriptor))
        self._content = layout.Content(descriptor, self._state.size)
        with self._damage():
            layout.check_header(self._content)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except FormatError as error:
            raise FormatError(
                f"{self.path} is damaged: {shown(error)}. Extract or import it again with "
                "--overwrite."
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._state)

    @cached_property
    def features(self) -> Features:
        """(N, V, D), float16 or float32, read-only: all of them in memory; see `feature_rows`."""
        features = self._read("features")
        features.setflags(write=False)
        return features

    @property
    def feature_rows(self) -> StoredFeatures:
        """The same, read from the file when indexed by a slice or by row numbers."""
        return StoredFeatures(self._places["features"], partial(self._read, "features"))

    def _read(self, name: str, rows: slice | IntArray = slice(None)) -> npt.NDArray[Any]:
        with self._damage():
            return self._places[name].read(self._content, rows)

    @cached_property
    def stored_labels(self) -> LabelTable:
        """The N photographs and what people said of them, unchecked: see `labels`.

        Raises:
            FormatError: a text is no UTF-8.
        """
        columns: dict[str, Any] = {}
        with damage(self.path):
            for column in COLUMNS:
                if column.name in self._places:
                    values = self._read(column.name)
                    columns[column.name] = _texts(values) if column.stored == TEXT else values
        return LabelTable(scale=self.scale, threshold=self.threshold, **columns)

    @cached_property
    def labels(self) -> LabelTable:
        """The N photographs and what people said of them, as `manifest_sha256` has them.

        Raises:
            FormatError: they are not as they were when the file was made.
        """
        try:
            problem = ""
            if self.manifest().sha256 != self.manifest_sha256:
                problem = "its labels do not match the manifest's SHA-256"
        except LabelError as error:
            problem = f"its labels contradict themselves ({shown(error)})"
        if problem:
            raise FormatError(f"{self.path} is damaged: {problem}. {remedy(self)}")
        return self.stored_labels

    @cached_property
    def status(self) -> npt.NDArray[np.uint8]:
        """(N,) what became of each photograph, as in `Status`."""
        return self._read("status")

    @cached_property
    def ok_rows(self) -> IntArray:
        """(n,) the numbers of the rows that hold features."""
        return np.flatnonzero(self.status == Status.OK).astype(np.int64)

    @cached_property
    def size(self) -> npt.NDArray[np.int32]:
        """(N, 2) width and height of each photograph in pixels, 0 where unknown."""
        return self._read("size")

    @cached_property
    def crc32(self) -> npt.NDArray[np.uint32]:
        """(N,) checksums, as `schema.checksums` computes them."""
        return self._read("crc32")

    @cached_property
    def facts(self) -> schema.FileFacts:
        """Bytes and times of the photographs' files when they were read."""
        return schema.FileFacts(self._read("file_bytes"), self._read("file_mtime_ns"))

    def blocks(self) -> Iterator[tuple[IntArray, npt.NDArray[Any]]]:
        """Yield all rows' numbers (n,) and features (n, V, D), some at a time."""
        for start in range(0, self.n_rows, BLOCK_ROWS):
            features = self.feature_rows[start : start + BLOCK_ROWS]
            yield np.arange(start, start + len(features)), features

    def wrong_rows(self, rows: IntArray, features: npt.NDArray[Any]) -> IntArray:
        """Return those of rows (n,), whose features are (n, V, D), that have a wrong checksum."""
        ok = self.status[rows] == Status.OK
        sums = schema.checksums(self.stored_labels, rows, features, ok)
        wrong: IntArray = rows[sums != self.crc32[rows]]
        return wrong

    def check_rows(self) -> None:
        """Compare all rows with their checksums; once in a process for a file that stays as it is.

        Raises:
            FormatError: rows are damaged, or the file changes while it is read.
        """
        settled = time.time_ns() - max(self._state.mtime_ns, self._state.ctime_ns) > SETTLED_NS
        if self._state not in _sound:
            wrong = np.concatenate(
                [np.empty(0, np.int64), *(self.wrong_rows(*block) for block in self.blocks())]
            )
            if len(wrong):
                raise FormatError(
                    f"{self.path} is damaged: {len(wrong):,} of its {self.n_rows:,} rows do not "
                    f"match their checksums, {self._named(wrong)}. {remedy(self)}"
                )
        self.check_unchanged()
        if settled:
            _sound.add(self._state)

    def _named(self, rows: IntArray) -> str:
        ids = self.stored_labels.image_id
        named = [f"row {row} ({shown(ids[row])})" for row in rows[:SHOWN_ROWS].tolist()]
        return ", ".join(named) + " and more" * (len(rows) > SHOWN_ROWS)

    def check_unchanged(self) -> None:
        """Look whether somebody wrote into the file since it was opened.

        Another file that took its place by its name is no matter: this one is still read.

        Raises:
            FormatError: somebody did.
        """
        try:
            now = _FileState.of(self.path.stat())
        except OSError:
            return  # gone by its name, that is
        same_file = now[:2] == self._state[:2]
        if same_file and (now.size, now.mtime_ns) != (self._state.size, self._state.mtime_ns):
            raise FormatError(
                f"{self.path} was written to while it was read. Wait until that is done, look at "
                "it with `cache verify`, and give the same command again."
            )

    def manifest(self) -> Manifest:
        """Return the rows and their labels, as they are stored now.

        Raises:
            LabelError: they contradict themselves, so the file is damaged.
        """
        return Manifest(self.stored_labels, self.split_rule)


def _reopened(path: Path, state: _FileState) -> FeatureCache:
    """Open what another process had open. Raises FormatError if it is another file by now."""
    cache = FeatureCache(path)
    if cache._state != state:
        raise FormatError(f"{path} was replaced while it was used. Give the same command again.")
    return cache


def _texts(stored: npt.NDArray[Any]) -> TextArray:
    return np.array([value.decode("utf-8") for value in stored.tolist()], np.str_)
