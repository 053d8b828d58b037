"""The layout of a file: fixed places for everything, so that later writes only change bytes."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import schema
from cache.errors import FormatError
from cache.schema import Provenance
from cache.types import SplitKind
from tests.helpers import make_features, make_manifest, make_spec, present, relabelled, small_cache

ALWAYS = {
    "image_id": None,
    "path": None,
    "group": None,
    "mean": "<f8",
    "status": "|u1",
    "size": "<i4",
    "crc32": "<u4",
    "file_bytes": "<i8",
    "file_mtime_ns": "<i8",
    "features": "<f2",
}


def create(path: Path, n: int = 5, **changes: Any) -> Path:
    """Make an empty file of n photographs."""
    manifest = relabelled(make_manifest(n), **changes)
    schema.create(path, manifest, make_spec(), present(n), Provenance(created="now"))
    return path


def test_a_new_file_has_every_dataset_in_its_dtype(tmp_path: Path) -> None:
    tags, challenge = np.ones((5, 2), np.int32), np.ones(5, np.int32)
    with h5py.File(create(tmp_path / "a.h5", tags=tags, challenge=challenge)) as file:
        assert set(file) == {*ALWAYS, "votes", "tags", "challenge"}
        for name, dtype in ALWAYS.items():
            assert dtype is None or file[name].dtype.str == dtype
        assert file["votes"].dtype.str == file["tags"].dtype.str == "<i4"
        assert h5py.check_string_dtype(file["image_id"].dtype).encoding == "utf-8"
        assert file["features"].shape == (5, 1, 8)


def test_columns_that_are_not_known_are_absent(tmp_path: Path) -> None:
    with h5py.File(create(tmp_path / "a.h5", votes=None)) as file:
        assert set(file) == set(ALWAYS)


def test_everything_that_is_written_later_is_contiguous_and_allocated(tmp_path: Path) -> None:
    with h5py.File(create(tmp_path / "a.h5")) as file:
        for name in ("features", "status", "size", "crc32", "file_bytes", "file_mtime_ns"):
            assert file[name].chunks is None
            assert file[name].compression is None
            assert file[name].id.get_offset() is not None


def test_a_new_file_has_its_full_length_and_filling_it_does_not_change_that(tmp_path: Path) -> None:
    path = create(tmp_path / "a.h5")
    before = path.stat().st_size
    with h5py.File(path, "r+") as file:
        file["features"][:] = 1
        file["status"][:] = 1
    assert path.stat().st_size == before


def test_rows_of_a_new_file_are_pending_and_it_is_not_complete(tmp_path: Path) -> None:
    with h5py.File(create(tmp_path / "a.h5")) as file:
        assert not file["status"][:].any()
        assert file.attrs["complete"] == 0
        assert file.attrs["format"] == "aesthetic-features"
        assert file.attrs["version"] == 1


@pytest.mark.parametrize("text", ["", "ä" * 40, "日本.jpg", "x\ny", "'\",;"])
def test_texts_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    group = np.array(["a", text, "", "b", "c"])
    with h5py.File(create(tmp_path / "a.h5", group=group)) as file:
        assert [value.decode() for value in file["group"][:].tolist()] == group.tolist()


def test_the_checksum_of_a_row_covers_features_id_votes_and_mean() -> None:
    features = make_features(1, make_spec())[0].astype("<f2")
    votes, names = np.array([[9, 9, 9], [1, 2, 300]], np.int32), np.array(["b", "ä-1"])
    labels = replace(make_manifest(2).labels, image_id=names, votes=votes, mean=np.array([9, 2.5]))
    (sum_,) = schema.checksums(labels, np.array([1]), features[None], np.array([True]))
    expected = features.tobytes() + "ä-1".encode() + struct.pack("<3id", 1, 2, 300, 2.5)
    assert sum_ == zlib.crc32(expected)


def test_the_checksum_of_a_row_without_features_covers_its_labels() -> None:
    labels = make_manifest(1, levels=None).labels
    (sum_,) = schema.checksums(labels, np.array([0]))
    assert sum_ == zlib.crc32(b"photo-0000" + struct.pack("<d", labels.mean[0]))


@given(st.integers(0, 15), st.integers(1, 255))
def test_any_changed_byte_changes_the_checksum(place: int, change: int) -> None:
    features = np.arange(8, dtype="<f2")
    other = bytearray(features.tobytes())
    other[place] ^= change
    both = np.stack([features, np.frombuffer(bytes(other), "<f2")])
    labels = make_manifest(1).labels
    first, second = schema.checksums(labels, np.array([0, 0]), both, np.array([True, True]))
    assert first != second


class TestReadHeader:
    def read(self, path: Path) -> schema.Header:
        with h5py.File(path) as file:
            return schema.read_header(file, path)

    def test_it_gives_back_what_was_written(self, tmp_path: Path) -> None:
        origin = Provenance(
            data_root="/photos/ä",
            label_note="simulated votes",
            weights_origin="a wheel",
            engine="keras",
            library_versions={"numpy": "2.0"},
            created="2024-01-01T00:00:00+00:00",
            whole_manifest_sha256="f" * 64,
        )
        manifest = make_manifest(3)
        rule = replace(manifest.split_rule, kind=SplitKind.OFFICIAL)
        manifest = replace(manifest, split_rule=rule)
        schema.create(tmp_path / "a.h5", manifest, make_spec(), present(3), origin)
        header = self.read(tmp_path / "a.h5")
        assert header.provenance == origin
        assert header.spec == make_spec()
        assert header.scale == manifest.labels.scale
        assert header.split_rule == manifest.split_rule
        assert (header.split, header.threshold) == ("train", manifest.labels.threshold)
        assert header.manifest_sha256 == manifest.sha256
        assert (header.complete, header.finished) == (False, "")

    def change(self, path: Path, name: str, value: object) -> Path:
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
        return path

    def test_another_kind_of_hdf5_file_is_refused(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = [1]
        with pytest.raises(FormatError, match=r"a\.h5 is an HDF5 file but no feature cache: its"):
            self.read(tmp_path / "a.h5")

    @pytest.mark.parametrize("version", [0, 2, "one"])
    def test_another_version_is_refused(self, tmp_path: Path, version: object) -> None:
        path = self.change(small_cache(tmp_path / "a.h5"), "version", version)
        with pytest.raises(
            FormatError,
            match=f"has cache version {version}; this program reads version 1. Use the program "
            "that wrote it, or extract again with --overwrite",
        ):
            self.read(path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("extractor", "{"),
            ("extractor", "[]"),
            ("extractor", '{"crop": 1}'),
            ("split_rule", '{"colour": "red"}'),
            ("split_rule", "7"),
            ("split_kind", "by the moon"),
            ("scale", [2.0, 1.0]),
            ("scale", [1.0, 2.0, 3.0]),
            ("scale", 3),
            ("scale", [0.0, 1e308]),
            ("threshold", "five"),
            ("threshold", "nan"),
            ("threshold", "1e999999999"),
            ("threshold", "８"),
            ("threshold", "7"),  # the upper end of the scale
            ("library_versions", "?"),
            ("engine", b"\xff\xfe"),
        ],
    )
    def test_a_damaged_attribute_is_named_with_its_file(
        self, tmp_path: Path, name: str, value: object
    ) -> None:
        path = self.change(small_cache(tmp_path / "a.h5"), name, value)
        with pytest.raises(FormatError, match=r"a\.h5 is damaged: its attributes cannot be read"):
            self.read(path)

    def test_files_of_labels_that_are_no_names_are_named(self, tmp_path: Path) -> None:
        path = self.change(small_cache(tmp_path / "a.h5"), "label_files", "[1]")
        words = r"label_files is \[1\], not names with SHA-256"
        with pytest.raises(FormatError, match=words):
            self.read(path)

    @pytest.mark.parametrize("name", ["scale", "extractor", "complete", "threshold", "created"])
    def test_a_missing_attribute_is_damage(self, tmp_path: Path, name: str) -> None:
        path = small_cache(tmp_path / "a.h5")
        with h5py.File(path, "r+") as file:
            del file.attrs[name]
        with pytest.raises(FormatError, match=f"attributes cannot be read.*{name}"):
            self.read(path)

    def test_an_extractor_must_match_its_fingerprint(self, tmp_path: Path) -> None:
        path = self.change(small_cache(tmp_path / "a.h5"), "extractor_sha256", "0" * 64)
        with pytest.raises(FormatError, match="its extractor does not match its fingerprint"):
            self.read(path)


def test_places_may_have_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    text = os.fsdecode(b"/a/caf\xe9")
    origin = Provenance(data_root=text, weights_origin=text)
    path = tmp_path / "a.h5"
    schema.create(path, make_manifest(2), make_spec(), present(2), origin)
    with h5py.File(path) as file:
        read = schema.read_header(file, path).provenance
    assert (read.data_root, read.weights_origin) == (text, text)
