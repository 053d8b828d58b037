"""Features and labels in files that other programs read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cache.errors import MismatchError, StorageError
from cache.files import Mark, check_ending, check_output, replacing, storage_errors
from cache.store import FeatureCache, open_cache
from cache.text import CsvLines

PARQUET_NEEDS = "Parquet needs the package pyarrow: pip install 'aesthetic-heads[parquet]'"
# Under this name pandas keeps in a Parquet file, among its attributes, how many views there are.
VIEWS = "views"
# What tells an export of ours: its first columns, as each format spells them.
MARKS = (
    Mark(b"image_id,path,group,mean,"),
    Mark(b"PK", b"image_id.npy"),
    Mark(b"PAR1", b"image_id"),
)


def export(path: Path, out: Path, to: str, *, overwrite: bool) -> int:
    """Write the rows that hold features to `out` as npz, parquet or csv; return their number.

    The columns are image_id, path, group, mean, r1..rK, AVA's tag_1, tag_2 and challenge,
    scale_min, scale_max, threshold, split, and features: one array (n, V, D) in npz, columns `f0..`
    (views side by side) in the others. `cache import` reads npz and parquet back as they were.

    Raises:
        StorageError: `out` exists and `overwrite` is not set, it is no earlier export, its name
            has another ending than the format, or the disk refuses.
        MismatchError: parquet without the package pyarrow.
        FormatError: rows of the cache do not match their checksums.
    """
    cache = open_cache(path)
    if out.exists() and not overwrite:
        raise StorageError(f"{out} exists. Name another file with --out, or give --overwrite.")
    check_output(out, *MARKS, inputs=[path])
    check_ending(out, "." + to)
    columns = _columns(cache)
    cache.check_rows()
    # To an open file: numpy would add an ending to a name, and pyarrow loses an error's reason.
    with storage_errors(out), replacing(out) as temporary, temporary.open("wb") as file:
        if to == "npz":
            np.savez(file, **columns, features=cache.feature_rows[cache.ok_rows])
        else:
            _write_frame(file, to, columns, cache.feature_rows[cache.ok_rows])
    return len(cache.ok_rows)


def _columns(cache: FeatureCache) -> dict[str, Any]:
    labels = cache.labels.take(cache.ok_rows)
    columns = {
        "image_id": labels.image_id,
        "path": labels.path,
        "group": labels.group,
        "mean": labels.mean,
    }
    if labels.votes is not None:
        columns |= {f"r{k}": counts for k, counts in enumerate(labels.votes.T, 1)}
    if labels.tags is not None:
        columns |= {f"tag_{k}": tags for k, tags in enumerate(labels.tags.T, 1)}
    if labels.challenge is not None:
        columns["challenge"] = labels.challenge
    once = {
        **{"scale_min": labels.scale.lo, "scale_max": labels.scale.hi},
        **{"threshold": cache.threshold, "split": cache.split},
    }
    return columns | {name: np.full(len(labels), value) for name, value in once.items()}


def _write_frame(
    file: BinaryIO, to: str, columns: dict[str, npt.NDArray[Any]], features: npt.NDArray[Any]
) -> None:
    import pandas as pd

    flat = features.reshape(len(features), -1)
    names = [f"f{i}" for i in range(flat.shape[1])]
    frame = pd.concat([pd.DataFrame(columns), pd.DataFrame(flat, columns=names)], axis=1)
    if to == "csv":
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        frame.to_csv(CsvLines(text), index=False, lineterminator="\r\n")
        text.detach()
        return
    frame.attrs[VIEWS] = features.shape[1]
    try:
        frame.to_parquet(file, index=False)
    except ImportError:
        raise MismatchError(f"{PARQUET_NEEDS}; or export --to npz.") from None
