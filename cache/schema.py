"""The layout of a cache file, version 1: names, types, and how an empty one is made.

Owns every dataset's and attribute's name; FORMAT.md says the same in prose. Everything is
allocated when the file is made, in fixed sizes and contiguous: later writes change bytes in place
and never the file's structure, so a killed writer leaves a file that opens.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cache.errors import FormatError, LabelError
from cache.labels import COLUMNS, COUNT, FLOAT, TEXT, Column, LabelTable, Manifest
from cache.types import ExtractorSpec, Scale, SplitKind, SplitRule, canonical_json

FORMAT = "aesthetic-features"
VERSION = 1
# Files older than the attribute `value_ranges` hold this backbone's features.
BACKBONE_OF_OLD_FILES, RELU6 = "mobilenet_v2_1.0_224", (0.0, 6.0)
ENGINE_BYTES, TIME_BYTES = 512, 32
# What h5py raises, and what its answers lead to, where a file's bytes are not what they should be.
DAMAGE = (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError)


@dataclass(frozen=True)
class Provenance:
    """Who made a file and from what; recorded, but no part of the fingerprint.

    `whole_manifest_sha256` is that of the split a shard belongs to, '' for a file that is whole.
    `value_ranges` are the lowest and highest number, both included, of each layer that has bounds.
    """

    data_root: str = ""
    label_note: str = ""
    weights_origin: str = ""
    engine: str = ""
    library_versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    whole_manifest_sha256: str = ""
    value_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


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
    """Write a file with all labels, every row pending and room for all features."""
    with h5py.File(path, "w", libver=("earliest", "v110"), locking=False) as file:
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
        features = file.create_dataset("features", shape, dtype, fill_time="never")
        # HDF5 gives a dataset its place at the first write: one number at the very end, so that
        # the file has its full length and structure from the start.
        if n:
            features[-1, -1, -1] = 0
        _attributes(file, manifest, spec, origin)


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
    attrs["data_root"], attrs["label_note"] = origin.data_root, origin.label_note
    attrs["weights_origin"] = origin.weights_origin
    attrs["library_versions"] = canonical_json(origin.library_versions)
    attrs["engine"] = np.array(origin.engine.encode(), f"S{ENGINE_BYTES}")
    attrs["created"] = np.array(origin.created.encode(), f"S{TIME_BYTES}")
    attrs["finished"] = np.array(b"", f"S{TIME_BYTES}")
    for name in ("n_ok", "n_missing", "n_unreadable"):
        attrs[name] = np.int64(0)
    attrs["complete"] = np.uint8(0)


def set_in_place(file: h5py.File, name: str, value: Any) -> None:
    """Change an attribute's bytes without moving it; its type and size stay."""
    file.attrs.modify(name, np.array(value, file.attrs.get_id(name).dtype))


@dataclass(frozen=True)
class Header:
    """What a file says of itself, read and checked."""

    split: str
    split_rule: SplitRule
    scale: Scale
    threshold: str
    spec: ExtractorSpec
    manifest_sha256: str
    provenance: Provenance
    finished: str
    complete: bool


def read_header(file: h5py.File, path: Path) -> Header:
    """Read and check the attributes of an open file.

    Raises:
        FormatError: another format or version, a missing or damaged attribute.
    """
    attrs = file.attrs
    if attrs.get("format") != FORMAT:
        raise FormatError(
            f"{path} is an HDF5 file but no feature cache: its attribute 'format' is "
            f"{attrs.get('format')!r}, expected {FORMAT!r}."
        )
    if attrs.get("version") != VERSION:
        raise FormatError(
            f"{path} has cache version {attrs.get('version')}; this program reads version "
            f"{VERSION}. Use the program that wrote it, or extract again with --overwrite."
        )
    try:
        header = _parse_header(attrs)
    except (*DAMAGE, FormatError, LabelError) as error:
        raise FormatError(f"{path} is damaged: its attributes cannot be read ({error}).") from None
    if header.spec.sha256 != attrs["extractor_sha256"]:
        raise FormatError(f"{path} is damaged: its extractor does not match its fingerprint.")
    return header


def _parse_header(attrs: h5py.AttributeManager) -> Header:
    lo, hi = (float(bound) for bound in attrs["scale"])
    scale, threshold = Scale(lo, hi), str(attrs["threshold"])
    scale.threshold(threshold)
    spec = ExtractorSpec.from_dict(json.loads(attrs["extractor"]))
    return Header(
        split=str(attrs["split"]),
        split_rule=_parse_rule(attrs),
        scale=scale,
        threshold=threshold,
        spec=spec,
        manifest_sha256=str(attrs["manifest_sha256"]),
        provenance=Provenance(
            data_root=str(attrs["data_root"]),
            label_note=str(attrs["label_note"]),
            weights_origin=str(attrs["weights_origin"]),
            engine=bytes(attrs["engine"]).decode(),
            library_versions=json.loads(attrs["library_versions"]),
            created=bytes(attrs["created"]).decode(),
            whole_manifest_sha256=str(attrs["whole_manifest_sha256"]),
            value_ranges=_value_ranges(attrs, spec),
        ),
        finished=bytes(attrs["finished"]).decode(),
        complete=bool(attrs["complete"]),
    )


def _value_ranges(
    attrs: h5py.AttributeManager, spec: ExtractorSpec
) -> dict[str, tuple[float, float]]:
    """Read the bounds of each layer that has any; what old files leave unsaid is known here."""
    if "value_ranges" not in attrs:
        return {"top": RELU6} if spec.backbone == BACKBONE_OF_OLD_FILES else {}
    stored = json.loads(attrs["value_ranges"])
    ranges = {str(n): (float(lo), float(hi)) for n, (lo, hi) in stored.items()}
    for name, (lo, hi) in ranges.items():
        spec.layer_slice(name)
        if not lo <= hi:
            raise FormatError(f"the layer {name} has the value range {lo}..{hi}")
    return ranges


def _parse_rule(attrs: h5py.AttributeManager) -> SplitRule:
    rule = SplitRule(**json.loads(attrs["split_rule"]))
    if "split_kind" in attrs:
        return replace(rule, kind=SplitKind(str(attrs["split_kind"])))
    return replace(rule, kind=SplitKind.of_words(rule.rule))


def checksums(
    labels: LabelTable,
    rows: npt.NDArray[np.int64],
    features: npt.NDArray[Any] | None = None,
    ok: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint32]:
    """Return CRC-32 of rows (n,): of their stored features, then of id, votes and mean.

    `features` (n, V, D), little-endian, count where `ok` (n,); without them no row has any.
    """
    sums = np.zeros(len(rows), np.uint32)
    for i, row in enumerate(rows.tolist()):
        start = 0
        if features is not None and ok is not None and ok[i]:
            start = zlib.crc32(np.ascontiguousarray(features[i]).data)
        counts = b"" if labels.votes is None else np.asarray(labels.votes[row], COUNT).tobytes()
        mean = np.array(labels.mean[row], FLOAT).tobytes()
        sums[i] = zlib.crc32(str(labels.image_id[row]).encode() + counts + mean, start)
    return sums
