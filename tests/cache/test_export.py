"""Exports hold the rows with features, exactly, for programs that know nothing of this one."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import IncompleteCacheError, MismatchError, StorageError
from cache.export import export
from cache.store import open_cache
from cache.types import Status
from tests.helpers import make_features, make_manifest, make_spec, small_cache, write_cache

SAID_OF_ALL = {"scale_min", "scale_max", "threshold", "split"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Ten photographs of two views; row 4 is unreadable."""
    spec = make_spec(n_features=3, views=("center", "center flipped"))
    status = np.full(10, Status.OK, np.uint8)
    status[4] = Status.UNREADABLE
    features = make_features(10, spec)
    return write_cache(tmp_path / "train.h5", make_manifest(10), spec, features, status=status)


def test_npz_is_read_by_numpy_alone(cache: Path, tmp_path: Path) -> None:
    assert export(cache, tmp_path / "a.npz", "npz", overwrite=False) == 9
    source = open_cache(cache)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        names = {"image_id", "path", "group", "mean", "features", *(f"r{k}" for k in range(1, 8))}
        assert set(arrays) == names | SAID_OF_ALL
        assert arrays["features"].dtype == np.float16
        assert np.array_equal(arrays["features"], source.features[source.ok_rows])
        assert arrays["image_id"].tolist() == source.labels.image_id[source.ok_rows].tolist()
        assert arrays["group"].tolist() == source.labels.group[source.ok_rows].tolist()
        assert np.array_equal(arrays["r7"], source.labels.votes[source.ok_rows, 6])
        assert np.array_equal(arrays["mean"], source.labels.mean[source.ok_rows])


def test_csv_keeps_every_digit_and_lays_views_side_by_side(cache: Path, tmp_path: Path) -> None:
    assert export(cache, tmp_path / "a.csv", "csv", overwrite=False) == 9
    source = open_cache(cache)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("image_id", "path", "group", "mean"),
        *(f"r{k}" for k in range(1, 8)),
        *("scale_min", "scale_max", "threshold", "split"),
        *(f"f{i}" for i in range(6)),
    ]
    assert "photo-0004" not in {row["image_id"] for row in rows}
    for row, number in zip(rows, source.ok_rows.tolist(), strict=True):
        read = np.array([row[f"f{i}"] for i in range(6)], np.float16)
        assert np.array_equal(read, source.features[number].ravel())
        assert float(row["mean"]) == source.labels.mean[number]


def test_labels_of_means_have_no_columns_of_votes(tmp_path: Path) -> None:
    cache = small_cache(tmp_path / "train.h5", 5, levels=None)
    export(cache, tmp_path / "a.npz", "npz", overwrite=False)
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"image_id", "path", "group", "mean", "features"} | SAID_OF_ALL


def test_parquet_is_read_back_the_same(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    import pandas as pd

    export(cache, tmp_path / "a.parquet", "parquet", overwrite=False)
    source, frame = open_cache(cache), pd.read_parquet(tmp_path / "a.parquet")
    read = frame[[f"f{i}" for i in range(6)]].to_numpy()
    assert np.array_equal(read, source.features[source.ok_rows].reshape(9, 6))
    assert frame["image_id"].tolist() == source.labels.image_id[source.ok_rows].tolist()


def test_parquet_without_pyarrow_names_the_package_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MismatchError) as caught:
        export(cache, tmp_path / "a.parquet", "parquet", overwrite=False)
    assert str(caught.value) == (
        "Parquet needs the package pyarrow: pip install 'aesthetic-heads[parquet]'; "
        "or export --to npz."
    )
    assert not list(tmp_path.glob("*parquet*"))


def test_what_exists_is_replaced_only_when_asked(cache: Path, tmp_path: Path) -> None:
    for to in ("npz", "csv", "parquet"):
        out = tmp_path / f"a.{to}"
        export(cache, out, to, overwrite=False)
        with pytest.raises(StorageError) as caught:
            export(cache, out, to, overwrite=False)
        assert str(caught.value) == (
            f"{out} exists. Name another file with --out, or give --overwrite."
        )
        assert export(cache, out, to, overwrite=True) == 9
    with np.load(tmp_path / "a.npz") as arrays:
        assert len(arrays["image_id"]) == 9


def test_what_is_no_export_is_never_replaced(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8mine")
    (tmp_path / "link.csv").symlink_to(cache)
    for name, words in (
        ("photo.jpg", "exists and is no earlier output of this kind, so it is not replaced"),
        ("link.csv", f"is the same file as {cache}, which is read"),
    ):
        with pytest.raises(StorageError, match=words):
            export(cache, tmp_path / name, "csv", overwrite=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"\xff\xd8mine"
    assert len(open_cache(cache).ok_rows) == 9


def test_a_name_of_another_format_is_refused(cache: Path, tmp_path: Path) -> None:
    for name in ("a.parquet", "a"):
        with pytest.raises(StorageError) as caught:
            export(cache, tmp_path / name, "csv", overwrite=False)
        assert str(caught.value) == (
            f"{tmp_path / name} does not end in .csv, as a file of what would be written does. "
            "Give it the ending .csv."
        )
    assert export(cache, tmp_path / "A.CSV", "csv", overwrite=False) == 9


def test_only_a_finished_cache_is_exported(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCacheError, match="There is no cache"):
        export(tmp_path / "train.h5", tmp_path / "a.npz", "npz", overwrite=False)


def test_a_folder_that_is_not_there_is_told(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a\.npz cannot be written: No such file or directory"):
        export(cache, tmp_path / "nowhere" / "a.npz", "npz", overwrite=False)


def test_a_carriage_return_in_a_name_stays_in_their_cell(tmp_path: Path) -> None:
    manifest = make_manifest(2)
    name = "a\rb"
    labels = replace(manifest.labels, path=np.array([name, "b"]))
    spec = make_spec()
    changed = replace(manifest, labels=labels)
    path = write_cache(tmp_path / "train.h5", changed, spec, make_features(2, spec))
    export(path, tmp_path / "a.csv", "csv", overwrite=False)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [name, "b"]
    assert b"\r\n" not in (tmp_path / "a.csv").read_bytes()
