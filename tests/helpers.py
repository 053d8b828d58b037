"""What several test modules share: small manifests and caches, and when two caches are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cache import schema
from cache.labels import LabelTable, Manifest, mean_of_votes
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.types import ExtractorSpec, Scale, SplitRule, Status
from cache.writer import Block, now

# The only attributes in which a resumed file may differ from an uninterrupted one.
TIMES = {"created", "finished"}


def make_spec(
    *, n_features: int = 8, views: tuple[str, ...] = ("center",), dtype: str = "float16"
) -> ExtractorSpec:
    """Return an extractor of one layer `top` with few features."""
    return ExtractorSpec(
        backbone="mobilenet_v2_1.0_224",
        weights_sha256="0" * 64,
        scaling="tf",
        decode="pillow",
        resize=(256, 256),
        crop=(224, 224),
        interpolation="bilinear",
        views=views,
        layers=(("top", 0, n_features),),
        precision="float32",
        dtype=dtype,
    )


def make_manifest(n: int, *, levels: int | None = 7, seed: int = 0) -> Manifest:
    """Return n photographs `photo-0000`.. with random votes 1..levels, or means only for None."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"photo-{i:04d}" for i in range(n)], np.str_)
    votes = None if levels is None else rng.integers(1, 30, (n, levels)).astype(np.int32)
    mean = rng.uniform(0, 1, n) if votes is None else mean_of_votes(votes)
    labels = LabelTable(
        image_id=ids,
        path=np.array([f"images/{i}.jpg" for i in ids], np.str_),
        group=np.array([f"group {i % 3}" if i % 2 else "" for i in range(n)], np.str_),
        votes=votes,
        mean=mean,
        scale=Scale(0, 1) if levels is None else Scale(1, levels),
        threshold="0.5" if levels is None else f"{(levels + 1) / 2:g}",
    )
    return Manifest(labels, SplitRule("train", "hash of id", 0, 0.1, 0.2, 0))


def take(manifest: Manifest, rows: npt.NDArray[np.int64] | list[int]) -> Manifest:
    """Return the manifest of some rows."""
    return manifest.take(np.asarray(rows), manifest.split_rule)


def write_cache(
    path: Path,
    manifest: Manifest,
    spec: ExtractorSpec,
    features: npt.NDArray[np.floating[Any]],
    *,
    status: npt.NDArray[np.uint8] | None = None,
    data_root: str = "",
    label_note: str = "",
    whole_manifest_sha256: str = "",
    value_ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Path:
    """Write a complete cache in one call, from features (N, V, D) that are already there."""
    n = len(manifest)
    facts = FileFacts(np.zeros(n, np.int64), np.zeros(n, np.int64))
    origin = Provenance(
        data_root,
        label_note,
        created=now(),
        whole_manifest_sha256=whole_manifest_sha256,
        value_ranges=value_ranges or {},
    )
    writer = open_writer(path, manifest, spec, facts, origin, Reuse(overwrite=True))
    if writer is None:
        raise AssertionError("an overwriting writer always writes")
    outcome = np.full(n, Status.OK, np.uint8) if status is None else status
    reasons = {int(row): "given" for row in np.flatnonzero(outcome == Status.UNREADABLE)}
    with writer:
        size = np.zeros((n, 2), np.int32)
        writer.write(Block(np.arange(n, dtype=np.int64), features, outcome, size, reasons))
        return writer.finish()


def relabelled(manifest: Manifest, **columns: Any) -> Manifest:
    """Return the manifest with some of its labels' columns, the scale or the threshold changed."""
    return replace(manifest, labels=replace(manifest.labels, **columns))


def make_features(n: int, spec: ExtractorSpec, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return (n, V, D) float32 features in 0..6, as ReLU6 gives, exact in float16."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 6 * 64 + 1, (n, len(spec.views), spec.n_features))
    return (whole / 64).astype(np.float32)


def present(n: int, mtime_ns: int = 1) -> FileFacts:
    """Return facts of n files that are all there."""
    return FileFacts(np.full(n, 100, np.int64), np.full(n, mtime_ns, np.int64))


def small_cache(path: Path, n: int = 20, *, levels: int | None = 7, seed: int = 0) -> Path:
    """Write a complete cache of n photographs, 8 features each."""
    spec = make_spec()
    return write_cache(
        path,
        make_manifest(n, levels=levels, seed=seed),
        spec,
        make_features(n, spec, seed),
        value_ranges={"top": (0.0, 6.0)},
    )


def assert_same_cache(a: Path, b: Path) -> None:
    """Check that two caches are equal in every dataset and attribute but times."""
    with h5py.File(a, "r", locking=False) as one, h5py.File(b, "r", locking=False) as other:
        assert set(one) == set(other), "the datasets differ"
        assert set(one.attrs) == set(other.attrs), "the attributes differ"
        for name in set(one.attrs) - TIMES:
            assert np.array_equal(one.attrs[name], other.attrs[name]), f"attribute {name}"
        for name in one:
            assert one[name].dtype == other[name].dtype, f"dtype of {name}"
            assert one[name].shape == other[name].shape, f"shape of {name}"
            # Bytes, so that NaN equals NaN and 0.0 is not -0.0.
            assert one[name][()].tobytes() == other[name][()].tobytes(), f"dataset {name}"


def seal(file: h5py.File) -> None:
    """Give a finished file that a test changed the seal of what it holds now."""
    if schema.SEAL not in file.attrs:
        return
    value = schema.seal_of(file).encode()
    file.attrs.modify(schema.SEAL, np.array(value, file.attrs.get_id(schema.SEAL).dtype))
