"""Finished runs on planted features with real photographs, for the tests of the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from cache.errors import AestheticError
from cache.labels import LabelTable, Manifest
from cache.store import open_cache
from cache.types import SplitRule
from heads.data.splits import labels_of, load_splits
from heads.experiments.train import floor_of, run_config, train_run
from heads.models.neural.settings import NetworkSettings
from heads.runs.config import RunConfig
from heads.runs.files import read_config, read_metrics, write_history, write_json
from tests.heads.planted import Plan, features_and_quality, labels_of_quality, spec
from tests.heads.unsealed import unsealed
from tests.helpers import write_cache

SIZES = {"train": 120, "val": 40, "test": 60}
PLAN = Plan(levels=7, n_features=16, threshold="4", label_note="votes are simulated")
GONE = "test7"
NASTY = (
    "</title></style>--><script>hit = 1; document.title = 'hit'</script>"
    """"'><img src=x onerror="hit = 2"><a href="javascript:hit=4" style="color:red">"""
    "&amp;{{ 7 * 7 }}\u2028<!--"
)
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
            group=np.array(
                [f"pair{i // 2}" if split == "test" and i < 40 else "" for i in range(n)]
            ),
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
        train_run(name, config, data, runs, overwrite=False, floor=floor)
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
    """Finished runs in which every text that their readers let pass tries to write HTML.

    Those of the caches' attributes and of config.json and metrics.json, ids and groups of the
    photographs, and names of folders.
    """
    folder = folder / "<img src=x onerror=hit=3>"
    runs = make_runs(folder, names=("constant", "ridge", "ridge-dist"))
    for path in (folder / "features").glob("*.h5"):
        _poison_cache(path)
    for run in runs.iterdir():
        edit_json(run / "config.json", library_versions={NASTY: NASTY, "aesthetic-heads": NASTY})
        _poison_json(run / "config.json", lambda run=run: read_config(run))
        _poison_json(run / "metrics.json", lambda run=run: read_metrics(run))
        edit_json(run / "metrics.json", split="test")
        _poison_rows(run / "predictions.csv")
        edit_json(run / "config.json", features_dir=str(folder / "features"))
    for name in ("emd", "ridge"):
        (runs / name).rename(runs / f"{NASTY} {name}".replace("/", ""))
    return runs


def _poison_cache(path: Path) -> None:
    versions = json.dumps({NASTY: NASTY, "aesthetic-heads": NASTY})
    with h5py.File(path, "r+") as file:
        del file.attrs["seal"]  # as in files that are older than it
        file.attrs["library_versions"] = versions
        texts = [name for name, value in file.attrs.items() if isinstance(value, str)]
    for name in texts:
        with h5py.File(path, "r+") as file:
            before = file.attrs[name]
            file.attrs[name] = before.replace("planted", NASTY) if before[:1] in "[{" else NASTY
        try:
            cache = open_cache(path)
            labels_of(cache, cache.ok_rows)
        except AestheticError:
            with h5py.File(path, "r+") as file:
                file.attrs[name] = before


def _poison_json(path: Path, read: Callable[[], object]) -> None:
    """Replace every text of a JSON file that can be read with it all the same."""
    values = json.loads(path.read_text())
    for place in list(_places_of_texts(values)):
        before = reduce(getitem, place, values)
        reduce(getitem, place[:-1], values)[place[-1]] = NASTY
        path.write_text(json.dumps(values))
        try:
            read()
        except AestheticError:
            reduce(getitem, place[:-1], values)[place[-1]] = before
    path.write_text(json.dumps(values))


def _places_of_texts(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(values, str):
        yield place
    elif isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _places_of_texts(value, (*place, key))


def _poison_rows(path: Path) -> None:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        row[:2] = [f"{NASTY} {row[0]}", f"{NASTY} {row[0]}"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
