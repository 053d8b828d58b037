"""Photographs whose brightness is their beauty, extracted cheaply, and heads trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from extract.backbones.engines import EngineSettings
from extract.run.extract import extract
from extract.run.settings import Settings
from heads.data.splits import load_splits
from heads.experiments.train import train
from tests.cheap import Opener, make_weights

SPLITS = {"train": range(60), "val": range(60, 80), "test": range(80, 100)}
HEADS = ("constant", "ridge", "ridge-dist", "logistic")


@dataclass(frozen=True)
class Studio:
    """`photographs` holds images/0.jpg .. 99.jpg; `runs` one folder a head of `HEADS`.

    `weights` is the file that passes as the backbone's weights.
    """

    photographs: Path
    features: Path
    runs: Path
    weights: str

    def path(self, number: int) -> Path:
        """Return where a photograph lies."""
        return self.photographs / "images" / f"{number}.jpg"

    def run(self, head: str = "ridge") -> Path:
        """Return a run's folder."""
        return self.runs / head


def picture(number: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a blotched picture whose brightness follows from its number."""
    dice = np.random.default_rng(number)
    level = dice.uniform(30, 200)
    blotches = dice.integers(-30, 56, (6, 8, 3)) + level
    return Image.fromarray(blotches.clip(0, 255).astype(np.uint8)).resize(size)


def save_pictures(folder: Path, numbers: Sequence[int]) -> list[Path]:
    """Write FOLDER/<number>.jpg and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.jpg" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        picture(number).save(path)
    return paths


def build_studio(folder: Path) -> Studio:
    """Make photographs, labels r1..r5, features of all splits, and the runs."""
    data = folder / "data"
    everything = [number for numbers in SPLITS.values() for number in numbers]
    save_pictures(data / "images", everything)
    lines = ["file,split,r1,r2,r3,r4,r5"]
    for split, numbers in SPLITS.items():
        lines += [f"{number}.jpg,{split},{votes(number)}" for number in numbers]
    (data / "labels.csv").write_text("\n".join(lines) + "\n")
    studio = Studio(data, folder / "features", folder / "runs", make_weights(folder))
    settings = Settings(
        data=data, out=studio.features, engine=EngineSettings(cores=2), weights=studio.weights
    )
    extract(settings, Opener())
    train_heads(studio.features, studio.runs)
    return studio


def train_heads(features: Path, runs: Path) -> None:
    """Train `HEADS` on features."""
    splits = load_splits(features)
    for head in HEADS:
        train(head, splits, runs)


def votes(number: int) -> str:
    """Return a photograph's counts r1..r5, which follow from its brightness."""
    brightness = np.asarray(picture(number), np.float64).mean() / 255
    away = np.arange(1, 6) - (1 + 4 * brightness)
    shares = np.exp(-(away**2))
    counts = np.random.default_rng(number).multinomial(80, shares / shares.sum())
    return ",".join(map(str, counts))
