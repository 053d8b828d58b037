"""The layout of a cache file, version 1: names, types, and how an empty one is made.

Owns every dataset's and attribute's name; FORMAT.md says the same in prose. Everything is
allocated when the file is made, in fixed sizes and contiguous: later writes change bytes in place
(`cache.inplace`) and never the file's structure, so a killed writer leaves a file that opens.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import numpy.typing as npt

from cache import layout
from cache.errors import FormatError, LabelError
from cache.files import reserve, write_at
from cache.labels import COLUMNS, COUNT, FLOAT, TEXT, Column, LabelTable, Manifest
from cache.layout import Expected, Place
from cache.text import quoted, shown
from cache.types import ExtractorSpec, Scale, SplitKind, SplitRule, canonical_json

FORMAT = "aesthetic-features"
VERSION = 1
# Files older than the attribute `value_ranges` hold this backbone's features.
BACKBONE_OF_OLD_FILES, RELU6 = "mobilenet_v2_1.0_224", (0.0, 6.0)
ENGINE_BYTES, TIME_BYTES, SEAL_BYTES = 512, 32, 64
# What h5py raises, and what its answers lead to, where a file's bytes are not what they should be.
DAMAGE = (
    *(LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
    *(OSError, RuntimeError, MemoryError),
)
# The attributes and columns that the seal covers. Its recipe stays: what is added later needs
# another one. Left out is what may be renewed (the place of the photographs) and when it was.
SEAL = "seal"
SEALED_ATTRIBUTES = (
    *("format", "version", "split", "split_rule", "split_kind", "scale", "threshold"),
    *("manifest_sha256", "whole_manifest_sha256", "extractor", "extractor_sha256"),
    *("view_names", "layers", "value_ranges", "label_note", "weights_origin", "engine"),
    *("library_versions", "n_ok", "n_missing", "n_unreadable"),
)
SEALED_COLUMNS = ("status", "size", "crc32", "file_bytes", "file_mtime_ns")
UNSEALED_ATTRIBUTES = ("data_root", "label_files", "created", "finished", "complete")
ATTRIBUTES = (*SEALED_ATTRIBUTES, *UNSEALED_ATTRIBUTES, SEAL)
# Fixed rows' shapes of the labels' columns; `any` number of vote levels.
LABEL_ROWS: dict[str, tuple[int | None, ...]] = {"votes": (None,), "tags": (2,)}


@dataclass(frozen=True)
class Provenance:
    """Who made a file and from what; recorded, but no part of the fingerprint.

    `whole_manifest_sha256` is that of the split a shard belongs to, '' for a file that is whole.
    `value_ranges` are the lowest and highest number, both included, of each layer that has bounds.
    `label_files` are SHA-256 of the files of labels by their names below `data_root`, '' for one
    that was not there. What is in `RENEWED` follows the data, and a file is renewed for it alone.
    """

    RENEWED: ClassVar[tuple[str, ...]] = (
        *("data_root", "label_note", "label_files", "whole_manifest_sha256"),
    )

    data_root: str = ""
    label_note: str = ""
    weights_origin: str = ""
    engine: str = ""
    library_versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    whole_manifest_sha256: str = ""
    value_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    label_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FileFacts:
    """Bytes and time of modification of every row's photograph; both (N,) int64, -1 if missing."""

    size_bytes: npt.NDArray[np.int64]
    mtime_ns: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.int64] | slice) -> FileFacts:
        """Return those of some rows."""
        return FileFacts(self.size_bytes[rows], self.mtime_ns[rows])

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """(N,) True where there is no file."""
        absent: npt.NDArray[np.bool_] = self.size_bytes < 0
        return absent


def create(
    path: Path, manifest: Manifest, spec: ExtractorSpec, facts: FileFacts, origin: Provenance
) -> None:
    """Write a file with all labels, every row pending and room for all features.

    HDF5 lays it out in memory alone: its library loses errors of a disk, and may crash on them.

    Raises:
        OSError: the disk is full or refuses.
    """
    with h5py.File(
        path, "w", "core", backing_store=False, libver=("earliest", "v110"), locking=False
    ) as file:
        _lay_out(file, manifest, spec, facts, origin)
        file.flush()
        laid_out = file.id.get_file_image()
    image = bytearray(laid_out)  # HDF5's own copy is gone by now
    del laid_out
    n_bytes = len(manifest) * len(spec.views) * spec.n_features * np.dtype(spec.dtype).itemsize
    start = _place_features(image, n_bytes) if n_bytes else len(image)
    with path.open("wb", buffering=0) as output:
        reserve(output.fileno(), start + n_bytes, path)
        write_at(output.fileno(), image, 0)
        output.truncate(start + n_bytes)


def _lay_out(
    file: h5py.File,
    manifest: Manifest,
    spec: ExtractorSpec,
    facts: FileFacts,
    origin: Provenance,
) -> None:
    n, present = len(manifest), manifest.labels.columns()
    # Counts last, as ever: equal labels give equal bytes.
    for column in sorted(COLUMNS, key=lambda each: each.stored == COUNT):
        if column.name in present:
            _store(file, column, present[column.name])
    file["file_bytes"] = facts.size_bytes.astype("<i8")
    file["file_mtime_ns"] = facts.mtime_ns.astype("<i8")
    file.create_dataset("status", (n,), "u1", fill_time="never")[...] = 0
    file.create_dataset("size", (n, 2), "<i4", fill_time="never")[...] = 0
    file.create_dataset("crc32", (n,), "<u4", fill_time="never")[...] = 0
    shape, dtype = (n, len(spec.views), spec.n_features), np.dtype(spec.dtype).newbyteorder("<")
    file.create_dataset("features", shape, dtype, fill_time="never")
    _attributes(file, manifest, spec, origin)


def _place_features(image: bytearray, n_bytes: int) -> int:
    """Give the features, so far without a place, the one behind all else; return where it starts.

    HDF5 would give it at the first write, and hold the whole file in memory for that. Two numbers
    say the same: the address in the dataset's layout message (version 3, class 1: contiguous) and
    the end of the file in the superblock (version 0), as the HDF5 File Format Specification 3.0
    has them in IV.A.2.i and II.A.
    """
    start = -(-len(image) // 8) * 8
    unplaced = struct.pack("<BBqQ", 3, 1, -1, n_bytes)
    if image.count(unplaced) != 1:
        raise RuntimeError("HDF5 laid the features out in a way that is not known here")
    at = image.index(unplaced)
    image[at : at + len(unplaced)] = struct.pack("<BBQQ", 3, 1, start, n_bytes)
    struct.pack_into("<Q", image, 40, start + n_bytes)
    return start


def _store(file: h5py.File, column: Column, values: npt.NDArray[Any]) -> None:
    """Store a column of labels; texts as UTF-8 of the longest one's length, padded with NUL."""
    if column.stored != TEXT:
        file[column.name] = np.asarray(values, column.stored)
        return
    encoded = [value.encode("utf-8") for value in values.tolist()]
    width = max((len(value) for value in encoded), default=1) or 1
    dtype = h5py.string_dtype("utf-8", width)
    file.create_dataset(column.name, data=np.array(encoded, dtype), dtype=dtype)


def _attributes(
    file: h5py.File, manifest: Manifest, spec: ExtractorSpec, origin: Provenance
) -> None:
    attrs = file.attrs
    attrs["format"], attrs["version"] = FORMAT, VERSION
    attrs["split"] = manifest.split_rule.split
    attrs["split_rule"] = canonical_json(manifest.split_rule.to_dict())
    attrs["split_kind"] = manifest.split_rule.kind.value
    labels = manifest.labels
    attrs["scale"] = np.array([labels.scale.lo, labels.scale.hi], "<f8")
    attrs["threshold"] = labels.threshold
    attrs["manifest_sha256"] = manifest.sha256
    attrs["whole_manifest_sha256"] = origin.whole_manifest_sha256
    attrs["extractor"] = canonical_json(spec.to_dict())
    attrs["extractor_sha256"] = spec.sha256
    attrs["view_names"] = canonical_json(list(spec.views))
    attrs["layers"] = canonical_json([list(layer) for layer in spec.layers])
    attrs["value_ranges"] = canonical_json(dict(origin.value_ranges))
    for name in ("data_root", "label_note", "weights_origin"):
        # With bytes that are no UTF-8, which names of folders may hold.
        text = getattr(origin, name).encode("utf-8", "surrogateescape")
        attrs.create(name, text, dtype=h5py.string_dtype())
    attrs["label_files"] = canonical_json(dict(origin.label_files))
    attrs["library_versions"] = canonical_json(origin.library_versions)
    attrs["engine"] = np.array(origin.engine.encode(), f"S{ENGINE_BYTES}")
    attrs["created"] = np.array(origin.created.encode(), f"S{TIME_BYTES}")
    attrs["finished"] = np.array(b"", f"S{TIME_BYTES}")
    for name in ("n_ok", "n_missing", "n_unreadable"):
        attrs[name] = np.int64(0)
    attrs["complete"] = np.uint8(0)
    attrs[SEAL] = np.array(b"", f"S{SEAL_BYTES}")


def seal_of(file: h5py.File) -> str:
    """Return SHA-256 of what neither the rows' checksums nor the manifest's SHA-256 covers."""
    digest = hashlib.sha256()
    for name, value in layout.read_attributes(file, SEALED_ATTRIBUTES).items():
        content = layout.encoded(value) if isinstance(value, str) else np.asarray(value).tobytes()
        digest.update(f"\n{name} {len(content)}\n".encode() + content)
    for name in SEALED_COLUMNS:
        digest.update(f"\n{name}\n".encode() + file[name][:].tobytes())
    return digest.hexdigest()


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """What a file says of itself, read and checked.

    `counts` are its numbers of rows that are ok, missing and unreadable; `seal` is None in files
    that were made before there was one.
    """

    split: str
    split_rule: SplitRule
    scale: Scale
    threshold: str
    spec: ExtractorSpec
    manifest_sha256: str
    provenance: Provenance
    finished: str
    complete: bool
    counts: tuple[int, int, int]
    seal: str | None


def read_header(file: h5py.File, path: Path) -> Header:
    """Read and check the attributes of an open file.

    Raises:
        FormatError: another format or version, a missing or damaged attribute.
    """
    with _damaged_attributes(path):
        attrs = layout.read_attributes(file, ("format", "version"))
    if str(attrs.get("format")) != FORMAT:
        raise FormatError(
            f"{path} is an HDF5 file but no feature cache: its attribute 'format' is "
            f"{quoted(attrs.get('format'))}, expected '{FORMAT}'."
        )
    if str(attrs.get("version")) != str(VERSION):
        raise FormatError(
            f"{path} has cache version {shown(attrs.get('version'))}; this program reads version "
            f"{VERSION}. Use the program that wrote it, or extract again with --overwrite."
        )
    with _damaged_attributes(path):
        attrs = layout.read_attributes(file, ATTRIBUTES)
        header = _parse_header(attrs)
    if header.spec.sha256 != attrs["extractor_sha256"]:
        raise FormatError(f"{path} is damaged: its extractor does not match its fingerprint.")
    return header


@contextmanager
def _damaged_attributes(path: Path) -> Iterator[None]:
    try:
        yield
    except (*DAMAGE, FormatError, LabelError) as error:
        raise FormatError(
            f"{path} is damaged: its attributes cannot be read ({shown(error)})."
        ) from None


def _parse_header(attrs: Mapping[str, Any]) -> Header:
    scale, threshold = Scale(*layout.numbers(attrs, "scale", 2)), layout.text(attrs, "threshold")
    scale.threshold(threshold)
    spec = ExtractorSpec.from_dict(json.loads(layout.text(attrs, "extractor")))
    split_rule = _parse_rule(attrs)
    _check_repeated(attrs, spec, split_rule)
    return Header(
        split=layout.text(attrs, "split"),
        split_rule=split_rule,
        scale=scale,
        threshold=threshold,
        spec=spec,
        manifest_sha256=layout.text(attrs, "manifest_sha256"),
        provenance=Provenance(
            data_root=layout.text(attrs, "data_root", "surrogateescape"),
            label_note=layout.text(attrs, "label_note"),
            weights_origin=layout.text(attrs, "weights_origin", "surrogateescape"),
            engine=layout.text(attrs, "engine"),
            library_versions=_library_versions(attrs),
            created=layout.text(attrs, "created"),
            whole_manifest_sha256=layout.text(attrs, "whole_manifest_sha256"),
            value_ranges=_value_ranges(attrs, spec),
            label_files=_label_files(attrs),
        ),
        finished=layout.text(attrs, "finished"),
        complete=bool(layout.number(attrs, "complete")),
        counts=(
            layout.number(attrs, "n_ok"),
            layout.number(attrs, "n_missing"),
            layout.number(attrs, "n_unreadable"),
        ),
        seal=layout.text(attrs, SEAL) if SEAL in attrs else None,
    )


def _library_versions(attrs: Mapping[str, Any]) -> dict[str, str]:
    versions = json.loads(layout.text(attrs, "library_versions"))
    return {str(name): str(version) for name, version in versions.items()}


def _check_repeated(attrs: Mapping[str, Any], spec: ExtractorSpec, rule: SplitRule) -> None:
    """Check what the file says twice."""
    for name, said in (
        ("split", rule.split),
        ("view_names", canonical_json(list(spec.views))),
        ("layers", canonical_json([list(layer) for layer in spec.layers])),
    ):
        if layout.text(attrs, name) != said:
            raise FormatError(f"{name} is {shown(attrs[name])}, and elsewhere {shown(said)}")


def _value_ranges(attrs: Mapping[str, Any], spec: ExtractorSpec) -> dict[str, tuple[float, float]]:
    """Read the bounds of each layer that has any; what old files leave unsaid is known here."""
    if "value_ranges" not in attrs:
        return {"top": RELU6} if spec.backbone == BACKBONE_OF_OLD_FILES else {}
    stored = json.loads(layout.text(attrs, "value_ranges"))
    ranges = {str(n): (float(lo), float(hi)) for n, (lo, hi) in stored.items()}
    for name, (lo, hi) in ranges.items():
        spec.layer_slice(name)
        if not lo <= hi:
            raise FormatError(f"the layer {name} has the value range {lo}..{hi}")
    return ranges


def _label_files(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Read the SHA-256 of files of labels; files that are older than the attribute have none."""
    if "label_files" not in attrs:
        return {}
    stored = json.loads(layout.text(attrs, "label_files"))
    if not isinstance(stored, dict):
        written = shown(layout.text(attrs, "label_files"))
        raise FormatError(f"the attribute label_files is {written}, not names with SHA-256")
    return {str(name): str(sha256) for name, sha256 in stored.items()}


def _parse_rule(attrs: Mapping[str, Any]) -> SplitRule:
    rule = SplitRule(**json.loads(layout.text(attrs, "split_rule")))
    if "split_kind" in attrs:
        return replace(rule, kind=SplitKind(layout.text(attrs, "split_kind")))
    return replace(rule, kind=SplitKind.of_words(rule.rule))


def find_columns(file: h5py.File, header: Header, length: int) -> dict[str, Place]:
    """Return where every column lies in an open file of `length` bytes; read none of them.

    Raises:
        FormatError: a column is missing, or is not what the header says or FORMAT.md allows.
    """
    spec = header.spec
    columns = {
        column.name: Expected(
            layout.TEXT if column.stored == TEXT else column.stored,
            LABEL_ROWS.get(column.name, ()),
            column.needed,
        )
        for column in COLUMNS
    }
    columns |= {
        "status": Expected("|u1"),
        "size": Expected("<i4", (2,)),
        "crc32": Expected("<u4"),
        "file_bytes": Expected("<i8"),
        "file_mtime_ns": Expected("<i8"),
        "features": Expected(
            np.dtype(spec.dtype).newbyteorder("<").str, (len(spec.views), spec.n_features)
        ),
    }
    return layout.find_datasets(file, columns, length)


# --- checksums ------------------------------------------------------------------------------------


def checksums(
    labels: LabelTable,
    rows: npt.NDArray[np.int64],
    features: npt.NDArray[Any] | None = None,
    ok: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint32]:
    """Return CRC-32 of rows (n,): of their stored features, then of id, votes and mean.

    `features` (n, V, D), little-endian, count where `ok` (n,); without them no row has any.
    """
    n = len(rows)
    if not n:
        return np.empty(0, np.uint32)
    starts = [0] * n
    if features is not None and ok is not None:
        bodies = _row_bytes(features, features.dtype.str)
        starts = [zlib.crc32(body) if good else 0 for body, good in zip(bodies, ok, strict=True)]
    ids = [image_id.encode() for image_id in labels.image_id[rows].tolist()]
    numbers = _row_bytes(labels.mean[rows], FLOAT)
    if labels.votes is not None:
        numbers = np.concatenate([_row_bytes(labels.votes[rows], COUNT), numbers], axis=1)
    sums = map(zlib.crc32, numbers, map(zlib.crc32, ids, starts))
    return np.fromiter(sums, np.uint32, n)


def _row_bytes(values: npt.NDArray[Any], stored: str) -> npt.NDArray[np.uint8]:
    """Return the bytes (n, b) of n rows of numbers as the file stores them."""
    return np.ascontiguousarray(values, stored).reshape(len(values), -1).view(np.uint8)
