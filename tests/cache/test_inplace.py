"""Bytes are changed where HDF5 says that they lie, and nothing else is."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import FormatError
from cache.inplace import InPlace, attribute_places
from cache.store import open_cache
from tests.helpers import small_cache

DATA = Path(__file__).parent / "data"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache of twenty rows."""
    return small_cache(tmp_path / "train.h5")


def test_rows_are_replaced_as_h5py_reads_them(path: Path) -> None:
    features = np.arange(24, dtype=np.float32).reshape(3, 1, 8)
    with InPlace(path) as file:
        file.write("features", 7, features)
        file.write("size", 18, np.array([[3, 4], [5, 6]]))
        file.clear("features", slice(2, 4))
    with h5py.File(path) as file:
        assert np.array_equal(file["features"][7:10], features)
        assert file["size"][18:].tolist() == [[3, 4], [5, 6]]
        assert not file["features"][2:4].any()
        assert file["features"][4].any()


def test_nothing_but_the_rows_changes(path: Path) -> None:
    before = path.read_bytes()
    with InPlace(path) as file:
        file.write("status", 3, np.array([2]))
    changed = np.flatnonzero(np.frombuffer(before, "u1") != np.frombuffer(path.read_bytes(), "u1"))
    assert len(changed) == 1


def test_rows_of_another_shape_are_refused(path: Path) -> None:
    with InPlace(path) as file, pytest.raises(ValueError, match=r"\(2, 3\) is no shape of rows"):
        file.write("size", 0, np.zeros((2, 3)))


@pytest.mark.parametrize("source", ["new", "v1.h5"])
def test_attributes_are_found_in_new_and_in_old_files(path: Path, source: str) -> None:
    if source != "new":
        path.write_bytes((DATA / source).read_bytes())
    with h5py.File(path) as file:
        expected = {name: file.attrs[name] for name in file.attrs}
        header = h5py.h5o.get_info(file.id).addr
    with path.open("rb") as file:
        assert set(attribute_places(file.fileno(), header)) == set(expected)
    with InPlace(path) as file:
        file.set("engine", b"another")
        file.set("n_ok", 12345)
        file.set("complete", 0)
    changed = {"engine": b"another", "n_ok": 12345, "complete": 0}
    with h5py.File(path) as file:
        for name, value in (expected | changed).items():
            assert np.array_equal(file.attrs[name], value), name


@pytest.mark.parametrize(("name", "value"), [("colour", 1), ("finished", b"x" * 99)])
def test_an_attribute_that_is_not_there_is_damage(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["finished"]
        file.attrs["finished"] = "a text of any width"
    words = f"{path} is damaged: its attribute {name} has no fixed width."
    with InPlace(path) as file, pytest.raises(FormatError, match=re.escape(words)):
        file.set(name, value)


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["complete"] = np.uint8(0)
    with pytest.raises(FormatError, match="an object header of version 79, expected 1"):
        InPlace(tmp_path / "a.h5")


@pytest.mark.parametrize("length", [4, 30])
def test_an_object_header_that_ends_too_early_is_damage(tmp_path: Path, length: int) -> None:
    (tmp_path / "a").write_bytes(b"\1\0\1\0\1\0\0\0\x80\0\0\0" + bytes(length))
    with (tmp_path / "a").open("rb") as file, pytest.raises(ValueError, match="ends too early"):
        attribute_places(file.fileno(), 0)


def test_an_object_header_that_goes_on_in_itself_is_damage(tmp_path: Path) -> None:
    message = b"\x10\0\x10\0" + bytes(4) + struct.pack("<QQ", 16, 24)
    (tmp_path / "a").write_bytes(struct.pack("<BBHII", 1, 0, 1, 1, 24) + bytes(4) + message)
    with (tmp_path / "a").open("rb") as file, pytest.raises(ValueError, match="goes on in itself"):
        attribute_places(file.fileno(), 0)


def test_chunks_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("size", data=np.zeros((4, 2)), chunks=(2, 2))
    with pytest.raises(FormatError, match="the dataset /size is not stored contiguously"):
        InPlace(tmp_path / "a.h5")


def test_what_was_forced_is_read_from_the_disk_and_closing_twice_does_no_harm(path: Path) -> None:
    with InPlace(path) as file:
        file.set("complete", 0)
        file.write("status", 0, np.zeros(20))
        file.force()
        assert not open_cache(path, allow_partial=True).status.any()
        file.close()
    assert os.path.lexists(path)
