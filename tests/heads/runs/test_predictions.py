"""predictions.csv: what a head says beside the truth, under the promised names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from heads.data.splits import SplitData, load_splits
from heads.errors import RunError
from heads.runs.predictions import FIRST, SplitPrediction, read_predictions, write_predictions
from tests.heads.made import noisy_prediction, random_labels
from tests.heads.planted import keras_saves
from tests.heads.runs.training import train

pytestmark = keras_saves


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def test_predictions_stand_beside_the_truth_under_the_promised_names(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path, "ridge")
    with (run.path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [*FIRST, *(f"r{k}" for k in range(1, 11)), *(f"p{k}" for k in range(1, 11))]
    assert list(rows[0]) == names
    assert [row["split"] for row in rows] == ["val"] * 150 + ["test"] * 200
    labels = data["test"].labels
    last, row = rows[-1], -1
    assert (last["image_id"], last["fold"]) == (labels.image_id[row], "")
    assert float(last["true_mean"]) == labels.mean[row]
    assert last["true_label"] == str(int(labels.beautiful[row]))
    assert [int(last[f"r{k}"]) for k in range(1, 11)] == labels.votes[row].tolist()
    assert {last[f"p{k}"] for k in range(1, 11)} == {""}


def test_mean_only_labels_have_no_vote_columns(planted_means: Path, tmp_path: Path) -> None:
    run = train(load_splits(planted_means), tmp_path, "ridge")
    header = (run.path / "predictions.csv").read_text().splitlines()[0]
    assert header == ",".join(FIRST)
    assert read_predictions(run.path).votes is None


def test_what_was_written_is_read_again_to_the_last_digit(tmp_path: Path) -> None:
    labels = random_labels(9, levels=5)
    prediction = noisy_prediction(labels)
    parts = [
        SplitPrediction("val", "", labels, prediction),
        SplitPrediction("test", "2.1", labels, prediction),
    ]
    write_predictions(tmp_path / "predictions.csv", parts)
    stored = read_predictions(tmp_path)
    assert stored.fold.tolist() == [""] * 9 + ["2.1"] * 9
    again = stored.prediction("test", ranking_only=True, label_by_p=True)
    assert (again.ranking_only, again.label_by_p) == (True, True)
    for name in ("score", "p_beautiful", "distribution"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prediction, name))
    read = stored.labels("val", labels.scale, labels.threshold)
    for name in ("image_id", "group", "votes", "mean", "beautiful"):
        np.testing.assert_array_equal(getattr(read, name), getattr(labels, name))


@pytest.mark.parametrize("text", [None, "", "image_id,score\na,1\n", f"{','.join(FIRST)}\na,b\n"])
def test_a_missing_or_damaged_file_is_refused_with_a_remedy(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(RunError, match=r"predictions\.csv cannot be read.*--overwrite"):
        read_predictions(tmp_path)
