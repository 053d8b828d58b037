"""A trained run says of new features what it said when it was trained, and where they stand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from heads import load_splits, train
from heads.errors import RunError
from heads.runs.files import read_metrics
from heads.runs.loaded import load_run
from heads.runs.predictions import read_predictions
from tests.heads.unsealed import unsealed


@pytest.mark.parametrize("head", ["ridge", "ridge-dist", "constant"])
def test_a_loaded_run_says_what_it_said_when_it_was_trained(
    planted: Path, tmp_path: Path, head: str
) -> None:
    data = load_splits(planted)
    path = train(head, data, tmp_path).path
    opinions = load_run(path).opinions(np.asarray(data["test"].X[:], np.float32))
    stored = read_predictions(path).prediction("test", ranking_only=False, label_by_p=False)
    assert [o.score for o in opinions] == stored.score.tolist()
    assert [o.p_beautiful for o in opinions] == stored.p_beautiful.tolist()
    assert all((o.std is None) == (head == "ridge") for o in opinions)
    held = [
        o.lo <= mean <= o.hi for o, mean in zip(opinions, data["test"].labels.mean, strict=True)
    ]
    assert 0.8 < np.mean(held) < 1
    assert np.mean(held) == read_metrics(path)["coverage"]
    assert all(1 <= o.lo <= o.score <= o.hi <= 10 for o in opinions)


def test_training_photographs_stand_evenly_among_themselves(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted)
    loaded = load_run(train("ridge", data, tmp_path).path)
    opinions = loaded.opinions(np.asarray(data["train"].X[:], np.float32))
    percentiles = np.sort([opinion.percentile for opinion in opinions])
    np.testing.assert_allclose(percentiles, 100 * (np.arange(600) + 0.5) / 600, atol=0.2)


def test_a_model_over_other_ratings_than_the_scale_is_refused(
    planted: Path, planted7: Path, tmp_path: Path
) -> None:
    run, other = (
        unsealed(train("constant", load_splits(features), tmp_path / name).path)
        for name, features in (("ten", planted), ("seven", planted7))
    )
    for name in ("model.npz", "model.json"):
        shutil.copy(other / name, run / name)
    with pytest.raises(RunError, match="its model predicts 7 ratings, its scale is 1 to 10"):
        load_run(run)
