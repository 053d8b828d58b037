"""What a run's scores are held against: percentiles of its own training photographs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from heads.data.features import StoredRows
from heads.data.predictions import Prediction
from heads.data.splits import SplitData
from heads.errors import RunError
from heads.models.ridge import RidgeHead
from heads.runs.files import write_json
from heads.runs.reference import FILE, Reference, read_reference
from heads.scoring.scorer import open_scorer
from tests.heads.made import random_labels
from tests.heads.studio import Studio
from tests.heads.unsealed import unsealed


def test_a_percentile_counts_equal_scores_by_half() -> None:
    reference = Reference.from_dict(
        {"scale": [1, 5], "threshold": "3", "train_scores": [1.0, 2.0, 2.0, 3.0]}
    )
    percentiles = reference.percentile(np.array([0.0, 1.0, 2.0, 2.5, 9.0]))
    assert percentiles.tolist() == [0.0, 12.5, 50.0, 75.0, 100.0]


def test_a_run_without_its_reference_is_refused(studio: Studio, tmp_path: Path) -> None:
    run = tmp_path / "run"
    unsealed(shutil.copytree(studio.run("ridge"), run))
    (run / "yardstick.json").unlink()
    with pytest.raises(RunError, match=r"no yardstick\.json"):
        open_scorer(run, weights=studio.weights)
    (run / "yardstick.json").write_text("{}")
    with pytest.raises(RunError, match=r"yardstick\.json is damaged.*--overwrite"):
        open_scorer(run, weights=studio.weights)


def test_a_long_training_set_is_kept_as_even_steps_of_its_order(tmp_path: Path) -> None:
    class FirstFeature:
        about = RidgeHead.about

        def predict(self, X: np.ndarray) -> Prediction:
            return Prediction(X[:, 0, 0].astype(np.float64), np.full(len(X), 0.5))

    n = 5000
    scores = np.random.default_rng(0).permutation(n).astype(np.float32)
    rows = StoredRows(scores[:, None, None], memory_bytes=10**9)
    train = SplitData("train", rows, random_labels(n), np.arange(n), None)
    reference = Reference.of(FirstFeature(), train)
    assert len(reference.train_scores) == 2001
    np.testing.assert_allclose(reference.train_scores, np.linspace(0, n - 1, 2001), atol=0.5)
    write_json(tmp_path / FILE, reference.to_dict())
    again = read_reference(tmp_path)
    assert (again.scale, again.threshold) == (train.labels.scale, train.labels.threshold)
    np.testing.assert_array_equal(again.train_scores, reference.train_scores)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_scores": []}, "train_scores need to be numbers in rising order"),
        ({"train_scores": [2, 1]}, "train_scores need to be numbers in rising order"),
        ({"train_scores": [1, "2"]}, "train_scores cannot be"),
        ({"threshold": "1e999999999"}, "expected a decimal number"),
        ({"intervals": {"score": "1"}}, "intervals cannot be"),
        ({"intervals": {"score": 1.0}}, "missing 4 required"),
        ({"scale": [7, 1]}, "A scale needs finite bounds"),
    ],
)
def test_a_reference_of_other_kinds_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    values = {"scale": [1, 7], "threshold": "4.5", "train_scores": [1, 2.5]}
    write_json(tmp_path / FILE, values)
    assert read_reference(tmp_path).threshold == "4.5"
    write_json(tmp_path / FILE, values | changes)
    with pytest.raises(RunError, match=rf"yardstick\.json is damaged: .*{said}"):
        read_reference(tmp_path)
