"""Finished runs on planted features with real photographs, for the tests of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cache.labels import LabelTable, Manifest
from cache.types import SplitRule
from heads.data.splits import load_splits
from heads.experiments.train import floor_of, run_config, train_run
from heads.models.neural.settings import NetworkSettings
from heads.runs.config import RunConfig
from heads.runs.files import read_config, write_history, write_json
from tests.heads.planted import Plan, features_and_quality, labels_of_quality, spec
from tests.heads.unsealed import unsealed
from tests.helpers import write_cache

SIZES = {"train": 120, "val": 40, "test": 60}
PLAN = Plan(levels=7, n_features=16, threshold="4", label_note="votes are simulated")
GONE = "test7"
NASTY = """<script>hit = 1</script>"'><img src=x onerror="hit = 2">&amp;{{ 7 * 7 }}"""
ALL_HEADS = ("constant", "ridge", "ridge-dist", "logistic")
HISTORY = [
    {"epoch": k, "train_loss": 0.1 / k, "val_loss": 0.1 / k + 0.01 * k}
    | {"train_mse": 1.0 / k, "val_mse": 1.1 / k + 0.1, "train_emd_r2": 0.2 / k}
    | {"val_emd_r2": 0.2 / k + 0.01 * k}
    for k in range(1, 6)
]


def make_features(folder: Path, plan: Plan = PLAN) -> Path:
    """Write train.h5, val.h5 and test.h5, and the photographs that they name, all but one."""
    root = folder / "data"
    (root / "images").mkdir(parents=True)
    for split, n in SIZES.items():
        ids = [f"{split}{i}" for i in range(n)]
        features, quality = features_and_quality(plan, n, split)
        votes, mean = labels_of_quality(plan, quality)
        labels = LabelTable(
            image_id=np.array(ids),
            path=np.array([f"images/{name}.jpg" for name in ids]),
            group=np.full(n, ""),
            votes=votes,
            mean=mean,
            scale=plan.scale,
            threshold=plan.decimal_threshold,
        )
        manifest = Manifest(labels, SplitRule(split, "planted", 0, 0.1, 0.2, 0))
        path = folder / "features" / f"{split}.h5"
        path.parent.mkdir(exist_ok=True)
        write_cache(
            path, manifest, spec(plan), features, data_root=str(root), label_note=plan.label_note
        )
    _save_photographs(root / "images")
    return folder / "features"


def _save_photographs(folder: Path) -> None:
    for number in range(SIZES["test"]):
        dice = np.random.default_rng(number)
        small = Image.fromarray(dice.integers(0, 256, (6, 8, 3), np.uint8))
        size = (320, 240) if number % 3 else (240, 320)
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"test{number}.jpg")
    (folder / f"{GONE}.jpg").unlink()


def make_runs(
    folder: Path, plan: Plan = PLAN, names: tuple[str, ...] = ALL_HEADS, *, trained: bool = True
) -> Path:
    """Train heads in closed form; `trained` adds one with a history, as if it had had epochs."""
    features, runs = make_features(folder, plan), folder / "runs"
    data = load_splits(features)
    floor = floor_of(data)
    for name in names:
        config = run_config(name, None, 0, data)
        train_run(config, data, runs, overwrite=False, floor=floor)
    if trained:
        _pretend_epochs(runs / "ridge-dist", runs / "emd")
    return runs


def _pretend_epochs(source: Path, target: Path) -> None:
    """Copy a run as one of the head `emd` with five epochs."""
    target.mkdir()
    for name in ("predictions.csv", "metrics.json", "yardstick.json"):
        (target / name).write_bytes((source / name).read_bytes())
    config = replace(read_config(source), head="emd", settings=NetworkSettings())
    write_json(target / "config.json", RunConfig.to_dict(config))
    write_history(target / "history.csv", HISTORY)


def forget_metric(run: Path, metric: str, unknown: str = "sharpness") -> None:
    """Make metrics.json one of an earlier version that lacks a metric, and of a later with one."""
    path = unsealed(run) / "metrics.json"
    values = json.loads(path.read_text())
    for part in (
        values,
        *(values[name] for name in ("intervals", "floor", "difference", "verdict")),
    ):
        del part[metric]
    values[unknown], values["intervals"][unknown] = 0.5, [0.4, 0.6]
    values["floor"][unknown], values["verdict"][unknown] = 0.1, "better-than-ever"
    path.write_text(json.dumps(values))


def edit_json(path: Path, **values: object) -> None:
    """Replace some values of a JSON object of a run, of an earlier version then."""
    unsealed(path.parent)
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def make_hostile_runs(folder: Path) -> Path:
    """Finished runs whose note, names and photographs try to write HTML."""
    runs = make_runs(folder, replace(PLAN, label_note=NASTY))
    for path in runs.glob("*/predictions.csv"):
        unsealed(path.parent)
        quoted = NASTY.replace('"', '""')
        path.write_text(path.read_text().replace("test1,", f'"{quoted}",'))
    for name in ("emd", "ridge"):
        (runs / name).rename(runs / f"{NASTY} {name}".replace("/", ""))
    return runs
