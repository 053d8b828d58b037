"""Extraction without TensorFlow: photographs, labels and an engine that cost next to nothing.

`python -m tests.cheap ARGUMENTS` is the `extract` command with that engine in place of the real
ones, for tests that kill and interrupt it. CHEAP_SECONDS_A_BATCH makes the engine slower.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from extract.backbones.engines import EngineSettings
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.weights import Weights
from extract.images.views import FRAMES
from extract.run.settings import Settings

GRID = 14
LEVELS = 5


class CheapEngine:
    """Every 14th pixel as features in [0, 6]; counts what it is asked for."""

    batch_size = 16
    parallel = 2
    device = "cpu"
    label = "cheap"

    def __init__(self, layers: str = "top", seconds_a_batch: float = 0.0) -> None:
        self.n_features = MOBILENET_V2.layer_slices(layers)[-1][2]
        self.seconds_a_batch = seconds_a_batch
        self.batches = 0

    def features(self, pixels_u8: np.ndarray) -> np.ndarray:
        """Compute one batch: (16, height, width, 3) uint8 to (16, D) float32."""
        known = [(self.batch_size, height, width, 3) for width, height in FRAMES]
        if pixels_u8.shape not in known or pixels_u8.dtype != np.uint8:
            raise ValueError(f"a batch of {pixels_u8.shape} {pixels_u8.dtype}")
        self.batches += 1
        time.sleep(self.seconds_a_batch)
        flat = pixels_u8[:, ::GRID, ::GRID].reshape(self.batch_size, -1).astype(np.float32)
        return flat[:, np.arange(self.n_features) % flat.shape[1]] * np.float32(6 / 255)


class Opener:
    """Stands in for `open_engine`; remembers the engine that it opened, if any."""

    def __init__(self, seconds_a_batch: float = 0.0) -> None:
        self.seconds_a_batch = seconds_a_batch
        self.engine: CheapEngine | None = None

    def __call__(self, settings: EngineSettings, weights: Weights) -> CheapEngine:
        self.engine = CheapEngine(settings.layers, self.seconds_a_batch)
        return self.engine


def photograph(number: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a small picture unlike that of any other number."""
    dice = np.random.default_rng(number)
    return Image.fromarray(dice.integers(0, 256, (6, 8, 3), np.uint8)).resize(size)


def save_photographs(folder: Path, numbers: Sequence[int]) -> None:
    """Write FOLDER/images/<number>.jpg."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        photograph(number).save(folder / "images" / f"{number}.jpg")


def save_labels(folder: Path, numbers: Sequence[int], split: str = "train") -> None:
    """Write FOLDER/labels.csv with votes r1..r5 and a split, one row a number."""
    lines = ["file,split," + ",".join(f"r{k}" for k in range(1, LEVELS + 1))]
    for number in numbers:
        votes = np.random.default_rng(number).integers(1, 30, LEVELS)
        lines.append(f"{number}.jpg,{split}," + ",".join(map(str, votes)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def make_folder(folder: Path, n: int) -> Path:
    """Make a data folder of n labelled photographs, all of the split train."""
    save_photographs(folder, range(n))
    save_labels(folder, range(n))
    return folder


def make_weights(folder: Path, content: bytes = b"cheap weights") -> str:
    """Write a file that passes as backbone weights as long as nobody loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cheap.h5"
    path.write_bytes(content)
    return str(path)


def settings_for(folder: Path) -> Settings:
    """Return settings: FOLDER/data to FOLDER/features, the split train, weights of no content."""
    return Settings(
        data=folder / "data",
        out=folder / "features",
        splits=("train",),
        engine=EngineSettings(cores=2),
        weights=make_weights(folder),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `extract` command with the cheap engine."""
    import extract.run.extract
    from extract import cli

    opener = Opener(float(os.environ.get("CHEAP_SECONDS_A_BATCH", "0")))
    real = extract.run.extract.extract
    extract.run.extract.extract = lambda settings: real(settings, opener)
    try:
        return cli.main(arguments)
    finally:
        extract.run.extract.extract = real


if __name__ == "__main__":
    sys.exit(main())
