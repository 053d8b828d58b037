"""What several test modules share: small manifests and caches, and when two caches are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from cache.resume import write_cache
from cache.schema import FileFacts
from cache.types import ExtractorSpec, Manifest, Scale, SplitRule, mean_of_votes

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
    return Manifest(
        image_id=ids,
        path=np.array([f"images/{i}.jpg" for i in ids], np.str_),
        group=np.array([f"group {i % 3}" if i % 2 else "" for i in range(n)], np.str_),
        votes=votes,
        mean=mean,
        scale=Scale(0, 1) if levels is None else Scale(1, levels),
        threshold="0.5" if levels is None else f"{(levels + 1) / 2:g}",
        split_rule=SplitRule("train", "hash of id", 0, 0.1, 0.2, 0),
    )


def take(manifest: Manifest, rows: npt.NDArray[np.int64] | list[int]) -> Manifest:
    """Return the manifest of some rows."""
    columns = ("image_id", "path", "group", "votes", "mean", "tags", "challenge")
    chosen = {name: getattr(manifest, name) for name in columns}
    return replace(manifest, **{name: v if v is None else v[rows] for name, v in chosen.items()})


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
