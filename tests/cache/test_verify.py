"""Every kind of damage, made for real, is found and named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.errors import AestheticError, FormatError, IncompleteCacheError
from cache.schema import checksums
from cache.store import SEAL_BROKEN, FeatureCache, open_cache
from cache.types import Status
from cache.verify import Finding, judge, verify
from tests.helpers import make_features, make_manifest, make_spec, seal, small_cache, write_cache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound cache of 20 photographs."""
    return small_cache(tmp_path / "train.h5")


def problems(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the rows of each kind of damage."""
    return {finding.problem: finding.rows for finding in verify(path)}


def flip(path: Path, dataset: str, byte: int, bit: int = 0) -> None:
    """Turn over one bit of a dataset, counted from its first byte."""
    with h5py.File(path, "r") as file:
        place = file[dataset].id.get_offset() + byte
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def set_features(path: Path, row: int, value: float, at: int | slice = 0) -> None:
    """Change features and mend the checksums, as a faulty extractor would have written them."""
    with h5py.File(path, "r+") as file:
        file["features"][row, 0, at] = value
    cache = open_cache(path)
    rows = np.array([row])
    ok = cache.status[rows] == Status.OK
    sums = checksums(cache.labels, rows, np.asarray(cache.features[rows]), ok)
    with h5py.File(path, "r+") as file:
        file["crc32"][row] = sums[0]
        seal(file)


@pytest.mark.parametrize("levels", [2, 10, 20, None])
def test_a_sound_file_has_no_findings(tmp_path: Path, levels: int | None) -> None:
    assert verify(small_cache(tmp_path / "train.h5", levels=levels)) == []


def test_a_file_with_rejected_rows_is_sound(tmp_path: Path) -> None:
    status = np.array([Status.OK, Status.MISSING, Status.UNREADABLE, Status.OK], np.uint8)
    spec = make_spec()
    path = write_cache(
        tmp_path / "a.h5", make_manifest(4), spec, make_features(4, spec), status=status
    )
    assert verify(path) == []


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_features_is_found(path: Path, bit: int) -> None:
    flip(path, "features", 7 * 16 + 3, bit)
    assert problems(path)["a wrong checksum"] == (7,)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_votes_is_found(path: Path, bit: int) -> None:
    flip(path, "votes", 11 * 28 + 4, bit)
    assert problems(path)["a wrong checksum"] == (11,)


@pytest.mark.parametrize("dataset", ["mean", "crc32"])
def test_a_flipped_bit_in_means_and_sums_is_found(path: Path, dataset: str) -> None:
    flip(path, dataset, 0)
    assert problems(path) == {"a wrong checksum": (0,)}


@pytest.mark.parametrize("dataset", ["group", "path"])
def test_labels_that_no_rows_checksum_covers_are_compared_with_the_manifest(
    path: Path, dataset: str
) -> None:
    with h5py.File(path, "r+") as file:
        file[dataset][3] = b"x"
    assert [str(finding) for finding in verify(path)] == [
        "labels that do not match the manifest's SHA-256 (paths, groups, tags or challenges)"
    ]


def test_rows_that_changed_places_are_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for name in file:
            file[name][:2] = file[name][:2][::-1]
    assert list(problems(path)) == [
        "labels that do not match the manifest's SHA-256 (paths, groups, tags or challenges)",
        SEAL_BROKEN,
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_found(path: Path, value: float) -> None:
    set_features(path, 3, value)
    assert problems(path) == {"NaN or infinite features": (3,)}


@pytest.mark.parametrize("value", [-0.001, 6.01, 1000])
def test_features_outside_0_to_6_are_found(path: Path, value: float) -> None:
    set_features(path, 4, value)
    assert problems(path) == {"top features outside 0..6": (4,)}


def test_0_and_6_themselves_are_within(path: Path) -> None:
    set_features(path, 4, 0)
    set_features(path, 5, 6)
    assert verify(path) == []


TWO_LAYERS = replace(make_spec(), layers=(("block_0", 0, 3), ("top", 3, 8)))


def cache_of_two_layers(path: Path, ranges: dict[str, tuple[float, float]]) -> Path:
    """A sound cache of four photographs, all features of `block_0` below zero."""
    features = make_features(4, TWO_LAYERS)
    features[:, :, :3] = -20
    return write_cache(path, make_manifest(4), TWO_LAYERS, features, value_ranges=ranges)


def test_a_layer_without_bounds_may_hold_any_finite_number(tmp_path: Path) -> None:
    path = cache_of_two_layers(tmp_path / "a.h5", {"top": (0.0, 6.0)})
    assert verify(path) == []
    set_features(path, 2, -1, at=3)
    assert problems(path) == {"top features outside 0..6": (2,)}


def test_every_layer_is_held_to_the_bounds_that_the_file_names(tmp_path: Path) -> None:
    path = cache_of_two_layers(tmp_path / "a.h5", {"block_0": (-20.0, 0.5), "top": (0.0, 6.0)})
    assert verify(path) == []
    set_features(path, 1, 0.75, at=0)
    set_features(path, 2, 6.5, at=7)
    assert problems(path) == {
        "block_0 features outside -20..0.5": (1,),
        "top features outside 0..6": (2,),
    }


def without_ranges(path: Path) -> Path:
    """Make a file what it was before `value_ranges` were written."""
    with h5py.File(path, "r+") as file:
        del file.attrs["value_ranges"], file.attrs["seal"]
    return path


def test_an_older_file_of_mobilenet_v2_is_held_to_its_relu6(tmp_path: Path) -> None:
    path = without_ranges(cache_of_two_layers(tmp_path / "a.h5", {}))
    assert verify(path) == []
    set_features(path, 2, 6.5, at=7)
    assert problems(path) == {"top features outside 0..6": (2,)}


def test_of_an_older_file_of_another_backbone_no_bounds_are_known(tmp_path: Path) -> None:
    spec = replace(make_spec(), backbone="another")
    features = 100 * make_features(4, spec) + 1
    path = write_cache(tmp_path / "a.h5", make_manifest(4), spec, features)
    assert verify(without_ranges(path)) == []


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ('{"layer_9":[0,6]}', "No layer layer_9"),
        ('{"top":[6,0]}', r"the layer top has the value range 6\.0\.\.0\.0"),
        ('{"top":[NaN,6]}', r"the layer top has the value range nan\.\.6\.0"),
        ('{"top":6}', "its attributes cannot be read"),
        ("[]", "its attributes cannot be read"),
        ("{", "its attributes cannot be read"),
    ],
)
def test_damaged_bounds_are_named(path: Path, stored: str, words: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["value_ranges"] = stored
    with pytest.raises(FormatError, match=rf"train\.h5 is damaged: .*{words}"):
        verify(path)


def test_a_row_marked_ok_without_features_is_found(path: Path) -> None:
    set_features(path, 9, 0, at=slice(None))
    assert problems(path) == {"marked ok but without features": (9,)}


def test_duplicated_ids_are_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["image_id"][8] = file["image_id"][2]
    found = problems(path)
    assert found == {"a wrong checksum": (8,), "duplicated ids": (8,)}


def test_pending_rows_in_a_complete_file_are_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["status"][5:7] = Status.PENDING
    assert problems(path) == {"rows that are still pending in a file marked complete": (5, 6)}


def test_an_unknown_status_is_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["status"][5] = 9
    assert problems(path)["rows of unknown status"] == (5,)


def test_a_row_without_votes_is_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["votes"][5] = 0
    assert problems(path) == {"a wrong checksum": (5,), "rows without votes": (5,)}


def test_a_row_said_to_be_unreadable_that_was_not_is_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["status"][5] = Status.UNREADABLE
    assert problems(path) == {"a wrong checksum": (5,)}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("size", [-1, 5], "an impossible width or height"),
        ("size", [7, 0], "an impossible width or height"),
        ("file_bytes", -2, "an impossible length or time of the photograph's file"),
        ("file_bytes", -1, "an impossible length or time of the photograph's file"),
    ],
)
def test_what_is_noted_of_photographs_and_cannot_be_is_found(
    path: Path, name: str, value: object, problem: str
) -> None:
    with h5py.File(path, "r+") as file:
        file[name][5] = value
    assert problems(path) == {problem: (5,)}


@pytest.mark.parametrize("name", ["size", "file_bytes", "file_mtime_ns"])
def test_what_could_be_but_is_not_what_was_written_breaks_the_seal(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        file[name][5] = 77
    assert problems(path) == {SEAL_BROKEN: ()}


def test_a_mean_that_is_not_that_of_its_votes_is_found_under_sound_checksums(path: Path) -> None:
    manifest = make_manifest(6)
    mean = manifest.labels.mean.copy()
    mean[2] += 0.01
    manifest = replace(manifest, labels=replace(manifest.labels, mean=mean))
    write_cache(path, manifest, make_spec(), make_features(6, make_spec()))
    assert problems(path) == {"a mean that is not that of the votes": (2,)}


def test_counts_that_are_not_those_of_the_rows_are_found(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.modify("n_ok", 19)
        seal(file)
    assert problems(path) == {
        "n_ok, n_missing and n_unreadable are 19, 0, 0, but the rows' status gives 20, 0, 0": ()
    }


def test_it_is_said_what_no_checksum_covers(path: Path) -> None:
    assert judge(path).not_covered == (
        "No checksum covers data_root, label_files, created, finished, nor HDF5's own tables."
    )
    with h5py.File(path, "r+") as file:
        del file.attrs["seal"]
    assert "It was made before files had a seal: no checksum cov" in judge(path).not_covered


def test_rows_of_later_blocks_are_looked_at_too(tmp_path: Path) -> None:
    path = small_cache(tmp_path / "train.h5", 2500)
    flip(path, "features", 2300 * 16)
    assert problems(path) == {"a wrong checksum": (2300,)}


def test_the_first_five_rows_are_shown_and_all_are_counted(path: Path) -> None:
    for row in range(7):
        flip(path, "features", row * 16)
    (finding,) = verify(path)
    assert str(finding) == "7 with a wrong checksum (rows 0, 1, 2, 3, 4, ...)"
    assert str(Finding("a", 2, (1, 3))) == "2 with a (rows 1, 3)"


@pytest.mark.parametrize("kept", [0.999, 0.6, 0.3])
def test_a_truncated_file_is_named(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FormatError, match=r"train\.h5 cannot be read: it is truncated\. Extract"):
        verify(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is no HDF5 file. Extract"), (b"PK\x03\x04" * 600, "it is no HDF5 file, or damaged")],
)
def test_a_file_that_is_no_hdf5_is_named(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"train.h5 cannot be read: {words}"):
        verify(path)


def test_a_folder_in_place_of_the_file_is_named(path: Path) -> None:
    path.unlink()
    path.mkdir()
    with pytest.raises(FormatError, match=r"train\.h5 cannot be opened: Is a directory"):
        verify(path)


def test_another_version_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.modify("version", 2)
    with pytest.raises(FormatError, match="has cache version 2; this program reads version 1"):
        verify(path)


def test_an_unfinished_file_is_not_verified(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.modify("complete", 0)
    with pytest.raises(IncompleteCacheError, match="is not finished"):
        verify(path)


COLUMNS: dict[str, Callable[[FeatureCache], object]] = {
    "image_id": lambda cache: cache.labels.image_id,
    "path": lambda cache: cache.labels.path,
    "group": lambda cache: cache.labels.group,
    "votes": lambda cache: cache.labels.votes,
    "mean": lambda cache: cache.labels.mean,
    "status": lambda cache: cache.status,
    "features": lambda cache: cache.features,
    "crc32": lambda cache: cache.crc32,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound cache that no test changes."""
    return small_cache(tmp_path_factory.mktemp("sound") / "train.h5", 6)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(sorted(COLUMNS)), place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_no_flipped_bit_in_any_column_passes_as_sound(
    sound: Path, name: str, place: float, bit: int
) -> None:
    with h5py.File(sound, "r") as file:
        n_bytes = file[name].size * file[name].dtype.itemsize
    damaged = sound.with_name("damaged.h5")
    damaged.write_bytes(sound.read_bytes())
    flip(damaged, name, int(place * n_bytes), bit)
    try:
        if verify(damaged):
            return
    except AestheticError:
        return
    same = np.array_equal(COLUMNS[name](open_cache(sound)), COLUMNS[name](open_cache(damaged)))
    assert same


def test_checksums_do_not_depend_on_the_extractors_views(tmp_path: Path) -> None:
    spec = make_spec(views=("center", "center flipped"), dtype="float32")
    features = make_features(3, spec)
    path = write_cache(tmp_path / "a.h5", make_manifest(3, levels=None), spec, features)
    manifest = make_manifest(3, levels=None)
    labels = b"photo-0001" + np.float64(manifest.labels.mean[1]).tobytes()
    assert open_cache(path).crc32[1] == zlib.crc32(features[1].tobytes() + labels)
