"""Files of features that were made elsewhere: arrays, tables with a vector a row, and folders.

Owns what they are called and how they are read: in order, some rows at a time, so that no file has
to fit into memory. Knows no labels.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from cache.errors import AestheticError, FormatError, MismatchError, StorageError
from cache.export import PARQUET_NEEDS, VIEWS
from cache.text import quoted
from cache.types import TextArray

# What names photographs in files; the first that is there.
IDS = ("image_id", "file", "image_path")
# The array or column that holds the vectors, if it is not the only one that could.
FEATURES = "features"
# What `cache export` says of a photograph.
SAID = re.compile(r"path|group|mean|r\d+|tag_[12]|challenge|scale_min|scale_max|threshold|split")
BLOCK_BYTES = 16 * 2**20
SHOWN = 8

Block = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Vectors:
    """One file's vectors.

    `shape` (n, V, D); `dtype` as in the file; `ids` (n,) the photographs' names, None where the
    file has none; `columns` what `cache export` says of them, (n,) by name; `read` gives the rows
    in order, blocks (m, V, D).
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    ids: TextArray | None
    read: Callable[[], Iterator[Block]]
    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype.kind != "f" or self.dtype.itemsize not in (2, 4, 8):
            raise FormatError(
                f"{self.path} holds {self.dtype}; features are float16, float32 or float64 "
                "numbers. Save them as such, with array.astype('float32') for one."
            )
        if min(self.shape) < 1:
            raise FormatError(f"{self.path} holds no features: its shape is {self.shape}.")
        for name, column in {"ids": self.ids, **self.columns}.items():
            if column is not None and column.shape != self.shape[:1]:
                raise FormatError(
                    f"{self.path}: its {name} have the shape {column.shape}, and there are "
                    f"{self.shape[0]:,} vectors. Each vector needs one."
                )

    @property
    def stored(self) -> str:
        """The dtype that a cache keeps of them: float16 and float32 as they are."""
        return "float16" if self.dtype.itemsize == 2 else "float32"


def open_vectors(path: Path) -> list[Vectors]:
    """Open an .npy, .npz or .parquet file, or a folder of clip-retrieval.

    Raises:
        FormatError: it is none of these, or does not hold what it should.
        MismatchError: Parquet without the package pyarrow.
        StorageError: it cannot be read.
    """
    if path.is_dir():
        return _open_folder(path)
    opener = {".npy": _open_npy, ".npz": _open_npz, ".parquet": _open_parquet}.get(path.suffix)
    if opener is None:
        raise FormatError(
            f"{path}: features come as .npy, .npz or .parquet, or as a folder with img_emb/ and "
            "metadata/. A .csv does not say whether they are float16 or float32."
        )
    with _readable(path):
        return [opener(path)]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what libraries raise on files that they cannot read into words that name the file."""
    try:
        yield
    except AestheticError:
        raise
    except OSError as error:
        if error.errno is None:  # a library's own words
            raise FormatError(f"{path} cannot be read: {error}.") from None
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} cannot be read: {error}.") from None


def _shaped(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (n, V, D) of an array's shape; one vector a photograph is one view."""
    if len(shape) not in (2, 3):
        raise FormatError(
            f"{path} holds an array of the shape {tuple(shape)}; expected (photographs, numbers) "
            "or (photographs, views, numbers)."
        )
    n, *views, width = shape
    return n, *(views or [1]), width  # type: ignore[return-value]


def _spans(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Iterator[tuple[int, int]]:
    n, views, width = shape
    step = max(1, BLOCK_BYTES // (views * width * dtype.itemsize))
    return ((start, min(start + step, n)) for start in range(0, n, step))


# --- numpy ----------------------------------------------------------------------------------------


def _open_npy(path: Path) -> Vectors:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise FormatError(f"{path} is no .npy file.")
    shape = _shaped(path, array.shape)

    def read() -> Iterator[Block]:
        for start, stop in _spans(shape, array.dtype):
            yield np.asarray(array[start:stop]).reshape(-1, *shape[1:])

    return Vectors(path, shape, array.dtype, None, read)


def _open_npz(path: Path) -> Vectors:
    """Open an .npz: `features`, or its only array of several axes, and arrays of one axis."""
    with zipfile.ZipFile(path) as archive:
        heads = {name[:-4]: _npy_head(archive, name) for name in archive.namelist()}
    wide = [name for name, (shape, _) in heads.items() if len(shape) > 1]
    chosen = _only(path, "array", FEATURES if FEATURES in heads else None, wide, list(heads))
    full, dtype = heads.pop(chosen)
    shape = _shaped(path, full)
    with np.load(path, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in heads if _is_said(name)}

    def read() -> Iterator[Block]:
        # As a stream: numpy would unpack the whole array.
        with zipfile.ZipFile(path) as archive, archive.open(f"{chosen}.npy") as member:
            _read_head(member)
            for start, stop in _spans(shape, dtype):
                content = member.read((stop - start) * shape[1] * shape[2] * dtype.itemsize)
                yield np.frombuffer(content, dtype).reshape(stop - start, *shape[1:])

    return Vectors(path, shape, dtype, _ids(columns), read, columns)


def _npy_head(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(name) as member:
        return _read_head(member)


def _read_head(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read a .npy file's head; what follows are its numbers."""
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, by_columns, dtype = read(member)
    if by_columns and len(shape) > 1:
        raise ValueError("its array is in Fortran's order; save np.ascontiguousarray(array)")
    return shape, dtype


def _only(
    path: Path, what: str, named: str | None, candidates: Sequence[str], every: Sequence[str]
) -> str:
    """Return the array or column of vectors: the named one, else the only one that could be it."""
    if named is not None:
        return named
    if len(candidates) == 1:
        return candidates[0]
    raise FormatError(
        f"{path} needs one {what} named {FEATURES!r} that holds the vectors; it has: "
        f"{', '.join(every[:SHOWN]) or 'none'}{', ...' * (len(every) > SHOWN)}."
    )


def _is_said(name: str) -> bool:
    return name in IDS or SAID.fullmatch(name) is not None


def _ids(columns: dict[str, npt.NDArray[Any]]) -> TextArray | None:
    """Take the photographs' names out of some columns: texts, or whole numbers."""
    for name in IDS:
        if name in columns:
            return np.asarray(columns.pop(name)).astype(np.str_)
    return None


# --- tables ---------------------------------------------------------------------------------------


def _open_parquet(path: Path) -> Vectors:
    """Open a table: a column of lists, or a column a number: f0.., as `cache export` has them, or
    0.., as pandas has those of an array."""
    file = _parquet_file(path)
    schema = file.schema_arrow  # it is made anew whenever it is asked for
    names = schema.names
    flat = [name for name in names if name.removeprefix("f").isdecimal()]
    lists = [each.name for each in schema if _is_list(each.type)]
    if not flat or lists:
        flat = []
        lists = [_only(path, "column", FEATURES if FEATURES in lists else None, lists, names)]
    wanted = flat or lists
    n = file.metadata.num_rows
    first = next(_parquet_blocks(path, wanted, 1), None)
    if first is None:
        raise FormatError(f"{path} holds no features: it has no row.")
    views = _views(schema) if flat else 1
    width, rest = divmod(first.shape[1], views)
    if rest:
        raise FormatError(f"{path} has {first.shape[1]} columns f0.., which are no {views} views.")
    shape = (n, views, width)

    def read() -> Iterator[Block]:
        rows = max(1, BLOCK_BYTES // (views * width * first.dtype.itemsize))
        for block in _parquet_blocks(path, wanted, rows):
            if block.shape[1] != views * width:
                raise FormatError(_ragged(path))
            yield block.reshape(len(block), views, width)

    columns = _plain_columns(path, [name for name in names if _is_said(name)])
    return Vectors(path, shape, first.dtype, _ids(columns), read, columns)


def _parquet_file(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MismatchError(f"{path}: {PARQUET_NEEDS}; or save the vectors as .npz.") from None
    return ParquetFile(path)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _views(schema: Any) -> int:
    """Return how many views `cache export` laid side by side."""
    attributes = (schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}")
    return int(json.loads(attributes).get(VIEWS, 1))


def _parquet_blocks(path: Path, columns: Sequence[str], rows: int) -> Iterator[Block]:
    """Yield blocks (m, width) of a column of lists, or of columns of numbers, some rows each."""
    from pyarrow.compute import list_value_length

    file = _parquet_file(path)
    for batch in file.iter_batches(rows, columns=columns):
        each = batch.columns  # in the file's order
        if any(column.null_count for column in each):
            raise FormatError(f"{path}: a row has no vector. Leave such rows out.")
        if not _is_list(each[0].type):
            yield np.stack([column.to_numpy(zero_copy_only=False) for column in each], axis=1)
            continue
        lists = batch.column(0)
        flat = lists.flatten()
        if flat.null_count or (list_value_length(lists).to_numpy() * len(lists) != len(flat)).any():
            raise FormatError(_ragged(path))
        yield flat.to_numpy(zero_copy_only=False).reshape(len(lists), -1)


def _ragged(path: Path) -> str:
    return f"{path}: its vectors do not all have the same length, or have gaps."


def _plain_columns(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return columns of texts and numbers (n,); those of other kinds are left out."""
    from pyarrow import types

    table = _parquet_file(path).read(columns=list(names))
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if types.is_string(column.type) or types.is_large_string(column.type):
            texts = column.to_pylist()
            if name in IDS and None in texts:
                raise FormatError(
                    f"{path}: row {texts.index(None)} has no {name}. Name every photograph."
                )
            columns[name] = np.array([text or "" for text in texts], np.str_)
        elif types.is_integer(column.type) or types.is_floating(column.type):
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns


# --- clip-retrieval -------------------------------------------------------------------------------


def _open_folder(folder: Path) -> list[Vectors]:
    """Open what clip-retrieval writes: img_emb/img_emb_N.npy and metadata/metadata_N.parquet."""
    parts = {_number(path): path for path in (folder / "img_emb").glob("img_emb_*.npy")}
    tables = {_number(path): path for path in (folder / "metadata").glob("metadata_*.parquet")}
    if not parts or parts.keys() != tables.keys():
        odd = ", ".join(sorted(parts.keys() ^ tables.keys())) or "there is none"
        raise FormatError(
            f"{folder} is a folder, so img_emb/img_emb_N.npy and metadata/metadata_N.parquet are "
            f"looked for, the same N in both, as clip-retrieval writes them; not so: {odd}."
        )
    return [_joined(parts[number], tables[number]) for number in sorted(parts, key=_natural)]


def _number(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _natural(number: str) -> tuple[int, str]:
    return len(number), number


def _joined(part: Path, table: Path) -> Vectors:
    with _readable(part):
        vectors = _open_npy(part)
    with _readable(table):
        names = _parquet_file(table).schema_arrow.names
        columns = _plain_columns(table, [name for name in IDS if name in names])
    ids = _ids(columns)
    if ids is None:
        raise FormatError(
            f"{table} names no photograph: it has no column {', '.join(IDS[:-1])} or {IDS[-1]}."
        )
    if len(ids) != vectors.shape[0]:
        raise FormatError(
            f"{part} holds {vectors.shape[0]:,} vectors and {table} {len(ids):,} names: they do "
            "not belong together, or one of them is cut short."
        )
    return Vectors(part, vectors.shape, vectors.dtype, ids, vectors.read)


def checked(vectors: Vectors) -> Iterator[tuple[int, Block]]:
    """Yield (first row, block (m, V, D) as it is stored) of vectors that a head can learn from.

    Raises:
        FormatError: a vector holds NaN or infinity, or nothing but zeros; the file, the row and
            the photograph are named. Or the file is damaged.
    """
    start = 0
    with _readable(vectors.path):
        for block in vectors.read():
            with np.errstate(over="ignore"):  # it is found below
                stored = block.astype(vectors.stored)
            finite = np.isfinite(stored).all(axis=(1, 2))
            wrong = ~finite | ~stored.any(axis=(1, 2))
            if wrong.any():
                _refuse(
                    vectors, start + int(np.argmax(wrong)), finite=bool(finite[np.argmax(wrong)])
                )
            yield start, stored
            start += len(block)


def _refuse(vectors: Vectors, row: int, *, finite: bool) -> NoReturn:
    what = "nothing but zeros" if finite else "NaN or infinity"
    name = "" if vectors.ids is None else f" ({quoted(str(vectors.ids[row]))})"
    raise FormatError(
        f"{vectors.path}: the vector of row {row}{name} holds {what} as {vectors.stored}. Make it "
        "anew, or leave the photograph out."
    )
