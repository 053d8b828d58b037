"""What is not plainly stored in the file itself is refused before any of it is read."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import AestheticError, FormatError
from cache.layout import MAX_ATTRIBUTE_BYTES, read_attributes, text
from cache.store import open_cache
from cache.verify import judge
from tests.helpers import small_cache

N = 20
Change = Callable[[h5py.File], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound cache of 20 photographs."""
    return small_cache(tmp_path / "train.h5")


def replaced(name: str, **made: object) -> Change:
    """Return what replaces a dataset by another one."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **made)

    return change


def linked(name: str, link: object) -> Change:
    """Return what replaces a dataset by a link."""

    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return change


def outside(file: h5py.File) -> None:
    """Lay the means into another file."""
    del file["mean"]
    file.create_dataset("mean", (N,), "<f8", external=[("/etc/passwd", 0, N * 8)])


def virtual(file: h5py.File) -> None:
    """Put the means together from another file."""
    del file["mean"]
    virtual = h5py.VirtualLayout((N,), "<f8")
    virtual[:] = h5py.VirtualSource("other.h5", "mean", (N,))
    file.create_virtual_dataset("mean", virtual)


def of_a_named_type(file: h5py.File) -> None:
    """Give the means a type that is stored beside them."""
    del file["mean"]
    file["kind"] = np.dtype("<f8")
    file.create_dataset("mean", (N,), file["kind"], data=np.zeros(N))


def a_group(file: h5py.File) -> None:
    del file["status"]
    file.create_group("status")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced("status", shape=(N,), dtype="u1", chunks=(N,), compression="gzip"), "chunks"),
        (replaced("status", shape=(N, 1), dtype="u1", data=np.ones((N, 1))), r"is \(20, 1\), exp"),
        (replaced("status", data=np.uint8(1)), "status has no rows"),
        (replaced("status", data=h5py.Empty("u1")), "status has no rows"),
        (replaced("status", data=np.zeros(N, "<i4")), r"status is int32, expected \|u1"),
        (replaced("mean", data=np.zeros(N, ">f8")), "mean is >f8, expected <f8"),
        (replaced("mean", data=np.zeros(N, "<c16")), "neither plain numbers nor texts"),
        (replaced("group", data=["a"] * N), "group holds neither plain numbers nor texts"),
        (replaced("group", data=np.zeros(N, "<i4")), "group is int32, expected text"),
        (replaced("votes", data=np.ones(N, "<i4")), r"votes is \(20,\), expected \(rows, any\)"),
        (replaced("size", data=np.ones((N, 3), "<i4")), r"size is \(20, 3\), expected \(rows, 2\)"),
        (replaced("crc32", data=np.ones(N - 1, "<u4")), "datasets have different numbers of rows"),
        (linked("mean", h5py.SoftLink("/file_bytes")), "mean is a link to another place"),
        (linked("mean", h5py.ExternalLink("other.h5", "/mean")), "mean is a link to another"),
        (outside, "mean is not stored contiguously in this file"),
        (virtual, "mean is not stored contiguously in this file"),
        (of_a_named_type, "mean holds neither plain numbers"),
        (a_group, "status is no dataset"),
    ],
)
def test_a_dataset_that_is_not_plain_is_refused(path: Path, change: Change, words: str) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(
        FormatError, match=f"train.h5 is damaged: .*{words}.*Extract or import it again"
    ):
        open_cache(path)


@pytest.mark.parametrize("name", ["image_id", "status", "features", "group"])
def test_twenty_gigabytes_of_compressed_zeros_are_never_unpacked(path: Path, name: str) -> None:
    shape = (10**10, 1, 1) if name == "features" else (2 * 10**10,)
    with h5py.File(path, "r+") as file:
        kind = "<f2" if name == "features" else file[name].dtype
        replaced(name, shape=shape, dtype=kind, chunks=True, compression="gzip")(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=f"the dataset {name} is not stored contiguously"):
        open_cache(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def patched(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of the file where they stand."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def test_more_rows_than_the_file_has_bytes_are_refused(path: Path) -> None:
    n, many = (int(rows).to_bytes(8, "little") for rows in (N, 10**9))
    patched(path, n, many)
    with pytest.raises(FormatError, match=r"train\.h5 is damaged"):
        open_cache(path)


def test_a_dataset_outside_of_the_file_or_in_the_place_of_another_is_refused(path: Path) -> None:
    with h5py.File(path) as file:
        offsets = {name: file[name].id.get_offset() for name in ("mean", "file_bytes")}
    sound = path.read_bytes()
    for place, words in (
        (path.stat().st_size - 8, "invalid dataset size|more than the file holds"),
        (offsets["file_bytes"] - 8, "lie in the same place"),
    ):
        path.write_bytes(sound)
        patched(path, offsets["mean"].to_bytes(8, "little"), place.to_bytes(8, "little"))
        with pytest.raises(FormatError, match=words):
            open_cache(path)


def test_a_block_before_the_first_byte_is_refused(path: Path) -> None:
    path.write_bytes(bytes(512) + path.read_bytes())
    with pytest.raises(FormatError, match=r"something stands before its first byte \(a user block"):
        open_cache(path)


@pytest.mark.parametrize(
    ("place", "damaged", "words"),
    [
        (8, b"\x02", "is no HDF5 file, or damaged|not of the version of HDF5 that caches"),
        (24, b"\x08", "is no HDF5 file, or damaged|names a driver"),
        (48, bytes(8), "is no HDF5 file, or damaged|names a driver"),
        (64, b"\xff", "is no HDF5 file, or damaged|has no header of the version"),
    ],
)
def test_a_header_of_another_version_or_with_a_driver_is_refused(
    path: Path, place: int, damaged: bytes, words: str
) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:place] + damaged + content[place + len(damaged) :])
    with pytest.raises(FormatError, match=words):
        open_cache(path)


def test_a_text_that_is_announced_with_4_gigabytes_takes_none_of_them(path: Path) -> None:
    with h5py.File(path) as file:
        length = len(file.attrs["extractor"])
    content = path.read_bytes()
    place = content.index(b"extractor\0")
    place = content.index(length.to_bytes(4, "little"), place)
    path.write_bytes(content[:place] + b"\xff" * 4 + content[place + 4 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=r"an attribute has 4,294,967,295 bytes, more than a meg"):
        open_cache(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("split", 7, "the attribute split is 7, expected text"),
        ("split", ["train", "val"], "the attribute split is a list of texts"),
        ("split", "val", "split is val, and elsewhere train"),
        ("split", b"\xff\xfe", "the attribute split is no UTF-8"),
        ("format", np.zeros(3, np.dtype([("a", "<i4")])), "format is neither text nor number"),
        ("label_note", "x" * (MAX_ATTRIBUTE_BYTES + 1), "an attribute has 1,048,577 bytes"),
        ("label_note", h5py.Empty("S1"), "the attribute label_note is Empty"),
        ("scale", ["1", "2"], "the attribute scale is a list of texts"),
        ("complete", "yes", "the attribute complete is yes, expected a whole number"),
        ("n_ok", 1.5, r"the attribute n_ok is 1.5, expected a whole number"),
        ("threshold", "1e999999999", "expected a decimal number in plain digits"),
        ("view_names", "[]", r"view_names is \[\], and elsewhere"),
        ("layers", '[["top",0,1e999]]', "layers is "),
        ("extractor", "[" * 100_000, "its attributes cannot be read"),
        ("split_kind", "x" * 10_000, r"x\[\.\.\. 9,\d\d\d more"),
        ("split_rule", '{"split":["train"]}', "its attributes cannot be read"),
        ("library_versions", "[1]", "its attributes cannot be read"),
        ("value_ranges", '{"top":[1e999,0]}', "the layer top has the value range inf"),
    ],
)
def test_an_attribute_of_another_kind_is_refused_in_few_words(
    path: Path, name: str, value: object, words: str
) -> None:
    with h5py.File(path, "r+") as file:
        if isinstance(value, str) and len(value) > 60_000:
            file.attrs.create(name, value, dtype=h5py.string_dtype())
        else:
            file.attrs[name] = value
    with pytest.raises(FormatError, match=words) as error:
        open_cache(path)
    assert len(error.value.one_line()) < 1000


def test_a_text_attribute_of_either_kind_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["one"], file.attrs["two"] = "ä", np.array("ä".encode(), "S9")
        attributes = read_attributes(file, ["one", "two", "three"])
    assert [text(attributes, name) for name in ("one", "two")] == ["ä", "ä"]
    with pytest.raises(FormatError, match="the attribute three is missing"):
        text(attributes, "three")


def seen(path: Path) -> list[object]:
    """Return all that a cache says, but places and times."""
    cache = open_cache(path)
    cache.check_rows()
    provenance, labels = cache.header.provenance, cache.labels
    arrays = [cache.features, cache.status, cache.size, cache.crc32, *labels.columns().values()]
    return [
        [np.asarray(array).tobytes() for array in arrays],
        [cache.facts.size_bytes.tobytes(), cache.facts.mtime_ns.tobytes()],
        [cache.spec, cache.split, cache.split_rule, cache.label_note, labels.scale],
        [labels.threshold, provenance.engine, provenance.value_ranges],
        [provenance.library_versions, provenance.whole_manifest_sha256],
    ]


def test_no_damaged_byte_ends_in_anything_but_words_or_the_same_content(tmp_path: Path) -> None:
    path = small_cache(tmp_path / "train.h5", 3)
    sound, content = seen(path), path.read_bytes()
    refused = 0
    for place in range(0, len(content), 151):
        damaged = b"\xff" * 8 if place % 2 else bytes([content[place] ^ 0xFF])
        path.write_bytes(content[:place] + damaged + content[place + len(damaged) :])
        judge(path)
        try:
            assert seen(path) == sound, f"byte {place}"
        except AestheticError:
            refused += 1
    assert refused > 10


def test_bytes_behind_the_end_are_damage(path: Path) -> None:
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more")
    words = (
        f"it has {size + 4:,} bytes and should end after {size:,}: some were appended or cut off"
    )
    with pytest.raises(FormatError, match=words):
        open_cache(path)
    assert words in judge(path).findings[0].problem
