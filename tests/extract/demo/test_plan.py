"""The plan of a demo set: votes like AVA's, which every fault lowers, and scenes kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.types import SPLITS
from extract.demo.cli import _write_labels
from extract.demo.pictures import FAULTS, SCENES
from extract.demo.plan import Plan, make_plan
from extract.labels.csv import read_labels_csv
from extract.labels.splits import SplitSettings, assign


@pytest.fixture(scope="module")
def full_plan() -> Plan:
    return make_plan(1500, 0)


def means(votes: np.ndarray) -> np.ndarray:
    return votes @ np.arange(1, 11) / votes.sum(axis=1)


def test_the_marginal_of_the_votes_looks_like_avas(full_plan: Plan) -> None:
    # AVA itself, of 87,080 rows: mean of means 5.385, variance 0.540, 70.5 % above 5, EMD 0.089.
    mean = means(full_plan.votes)
    assert mean.mean() == pytest.approx(5.385, abs=0.06)
    assert mean.var() == pytest.approx(0.54, abs=0.06)
    assert (mean > 5).mean() == pytest.approx(0.705, abs=0.03)
    shares = full_plan.votes / full_plan.votes.sum(axis=1, keepdims=True)
    gaps = np.cumsum(shares - shares.mean(axis=0), axis=1)
    assert np.sqrt((gaps**2).mean(axis=1)).mean() == pytest.approx(0.0893, abs=0.004)


@pytest.mark.parametrize(("photographs", "seed"), [(100, 9), (300, 3), (1500, 0)])
def test_every_scene_lies_in_one_split_and_every_split_has_several(
    photographs: int, seed: int, tmp_path: Path
) -> None:
    plan = make_plan(photographs, seed)
    _write_labels(tmp_path, plan)
    labels = read_labels_csv(tmp_path)
    splits, _ = assign(labels, SplitSettings())
    scenes = {split: set(labels.table.group[splits == split].tolist()) for split in SPLITS}
    assert [len(scenes[split]) for split in SPLITS] == [9, 3, 7]
    # 9 + 3 + 7 names, all different: no scene lies in two splits.
    assert len(set.union(*scenes.values())) == len(SCENES) == 19


def test_every_fault_lowers_the_votes_and_taste_stays(full_plan: Plan) -> None:
    mean = means(full_plan.votes)
    severity = np.array([[s.severity.get(name, 0.0) for name in FAULTS] for s in full_plan.shots])
    design = np.column_stack([severity, np.ones(len(mean))])
    slopes, *_ = np.linalg.lstsq(design, mean, rcond=None)
    assert (slopes[:-1] < -0.3).all()
    explained = 1 - (mean - design @ slopes).var() / mean.var()
    assert 0.35 < explained < 0.8
