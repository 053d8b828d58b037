"""Features and labels in files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import MismatchError, StorageError
from cache.files import replacing, storage_errors
from cache.store import FeatureCache, open_cache


def export(path: Path, out: Path, to: str, *, overwrite: bool) -> int:
    """Write the rows that hold features to `out` as npz, parquet or csv; return their number.

    The columns are image_id, path, group, mean, r1..rK, and features: one array (n, V, D) in npz,
    columns `f0..` (views side by side) in the others.

    Raises:
        StorageError: `out` exists and `overwrite` is not set, or the disk refuses.
        MismatchError: parquet without the package pyarrow.
        FormatError: rows of the cache do not match their checksums.
    """
    cache = open_cache(path)
    if out.exists() and not overwrite:
        raise StorageError(f"{out} exists. Name another file with --out, or give --overwrite.")
    columns = _columns(cache)
    cache.check_rows()
    with storage_errors(out), replacing(out) as temporary:
        if to == "npz":
            columns["features"] = cache.features[cache.ok_rows]
            with temporary.open("wb") as file:  # to a name, numpy would add an ending
                np.savez(file, **columns)
        else:
            _write_frame(temporary, to, columns, cache.features[cache.ok_rows])
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
    return columns


def _write_frame(
    path: Path, to: str, columns: dict[str, npt.NDArray[Any]], features: npt.NDArray[Any]
) -> None:
    import pandas as pd

    flat = features.reshape(len(features), -1)
    names = [f"f{i}" for i in range(flat.shape[1])]
    frame = pd.concat([pd.DataFrame(columns), pd.DataFrame(flat, columns=names)], axis=1)
    if to == "csv":
        frame.to_csv(path, index=False)
        return
    try:
        frame.to_parquet(path, index=False)
    except ImportError:
        raise MismatchError(
            "Parquet needs the package pyarrow: pip install 'aesthetic-heads[parquet]'; or export "
            "--to npz."
        ) from None
