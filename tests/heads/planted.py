"""Caches with a planted signal, so that every head can beat its floor in a second or two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cache.labels import LabelTable, Manifest, mean_of_votes
from cache.pairs import pairs_path, write_pairs
from cache.types import ExtractorSpec, Scale, SplitKind, SplitRule, Status
from heads.data.metadata import CHALLENGE, COLUMNS, HEIGHT, WIDTH
from heads.data.splits import SplitData
from tests.helpers import write_cache

# Keras 3 saves its variables through a numpy protocol that numpy 2 calls outdated.
keras_saves = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

SIZES = {"train": 600, "val": 150, "test": 200}


@dataclass(frozen=True)
class Plan:
    """What to plant: `levels` K (0: mean-only labels 0..100), D features, V views.

    The first `block` features are those of another layer, if there are any.
    """

    levels: int = 10
    n_features: int = 32
    n_views: int = 1
    block: int = 0
    noise: float = 0.3
    votes: int = 100
    seed: int = 0
    threshold: str = ""
    label_note: str = ""
    weights_sha256: str = "0" * 64
    unreadable: tuple[int, ...] = ()

    @property
    def scale(self) -> Scale:
        """1..K, or 0..100 for means."""
        return Scale(1, self.levels) if self.levels else Scale(0, 100)

    @property
    def decimal_threshold(self) -> str:
        """The given threshold, else the middle of the scale."""
        return self.threshold or f"{(self.scale.lo + self.scale.hi) / 2:g}"


def spec(plan: Plan) -> ExtractorSpec:
    """Return a description of an extractor that never was."""
    blocks = (("block", 0, plan.block),) if plan.block else ()
    return ExtractorSpec(
        backbone="planted",
        weights_sha256=plan.weights_sha256,
        scaling="none",
        decode="none",
        resize=(256, 256),
        crop=(224, 224),
        interpolation="bilinear",
        views=tuple(f"view{i}" for i in range(plan.n_views)),
        layers=(*blocks, ("top", plan.block, plan.n_features)),
        precision="float32",
        dtype="float16",
    )


def features_and_quality(plan: Plan, n: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, V, D) float16 in [0, 6] and the quality (n,) that they tell."""
    direction = np.random.default_rng(99).standard_normal(plan.n_features)
    rng = np.random.default_rng([plan.seed, len(split), ord(split[0])])
    hidden = rng.standard_normal((n, 1, plan.n_features))
    wobble = 0.3 * rng.standard_normal((n, plan.n_views, plan.n_features))
    quality = hidden[:, 0] @ direction / np.linalg.norm(direction)
    quality += plan.noise * rng.standard_normal(n)
    return np.clip(2 + 0.7 * (hidden + wobble), 0, 6).astype(np.float16), quality


def labels_of_quality(plan: Plan, quality: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return votes (n, K), or None, and means (n,)."""
    share = 1 / (1 + np.exp(-quality))
    if not plan.levels:
        return None, 100 * share
    middle = plan.scale.lo + share * (plan.scale.hi - plan.scale.lo)
    away = np.arange(1, plan.levels + 1) - middle[:, None]
    chance = np.exp(-0.5 * (away / 1.2) ** 2)
    chance /= chance.sum(axis=1, keepdims=True)
    votes = np.random.default_rng(plan.seed + 1).multinomial(plan.votes, chance).astype(np.int32)
    return votes, mean_of_votes(votes)


def plant_split(
    path: Path,
    plan: Plan,
    split: str,
    ids: list[str],
    groups: list[str],
    kind: SplitKind = SplitKind.OTHER,
) -> None:
    """Write one cache."""
    features, quality = features_and_quality(plan, len(ids), split)
    votes, mean = labels_of_quality(plan, quality)
    status = np.full(len(ids), Status.OK, np.uint8)
    if split == "train":
        status[list(plan.unreadable)] = Status.UNREADABLE
    labels = LabelTable(
        image_id=np.array(ids),
        path=np.array([f"images/{name}.jpg" for name in ids]),
        group=np.array(groups),
        votes=votes,
        mean=mean,
        scale=plan.scale,
        threshold=plan.decimal_threshold,
    )
    manifest = Manifest(labels, SplitRule(split, "planted", 0, 0.1, 0.2, 0, kind=kind))
    write_cache(path, manifest, spec(plan), features, status=status, label_note=plan.label_note)


def compare_alone(folder: Path, n: int = 500) -> Path:
    """Plant caches that hold nothing but n comparisons of each split's photographs."""
    for split, size in SIZES.items():
        path, plan = folder / f"{split}.h5", Plan(levels=0)
        ids = [f"{split}{i}" for i in range(size)]
        features, quality = features_and_quality(plan, size, split)
        labels = LabelTable(
            image_id=np.array(ids),
            path=np.array([f"images/{name}.jpg" for name in ids]),
            group=np.full(size, ""),
            mean=np.full(size, np.nan),
            scale=Scale(0, 1),
            threshold="0.5",
        )
        manifest = Manifest(labels, SplitRule(split, "planted", 0, 0.1, 0.2, 0))
        write_cache(path, manifest, spec(plan), features)
        pairs = np.random.default_rng(size).choice(size, (n, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        best_first = np.take_along_axis(pairs, np.argsort(-quality[pairs], axis=1), axis=1)
        write_pairs(pairs_path(path), [(ids[i], ids[j]) for i, j in best_first])
    return folder


def plant(folder: Path, plan: Plan = Plan()) -> Path:
    """Write train.h5, val.h5 and test.h5 into a folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, n in SIZES.items():
        ids = [f"{split}{i}" for i in range(n)]
        plant_split(folder / f"{split}.h5", plan, split, ids, [""] * n)
    return folder


def plant_rule(folder: Path, plan: Plan, kind: SplitKind) -> Path:
    """Write the three caches with another rule of splitting."""
    for split, n in SIZES.items():
        ids = [f"{split}{i}" for i in range(n)]
        plant_split(folder / f"{split}.h5", plan, split, ids, [""] * n, kind)
    return folder


def with_metadata(data: dict[str, SplitData]) -> dict[str, SplitData]:
    """Plant the signal into shapes and challenges too, which the caches do not hold."""
    for part in data.values():
        labels = part.labels
        place = (labels.mean - labels.scale.lo) / (labels.scale.hi - labels.scale.lo)
        known = np.ones((len(part), 1, COLUMNS))
        known[:, 0, [WIDTH, HEIGHT]] = 500
        known[:, 0, WIDTH] += np.round(500 * place)
        known[:, 0, CHALLENGE] = 1 + np.round(20 * place)
        vars(part)["metadata"] = known
    return data
