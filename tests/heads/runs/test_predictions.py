"""predictions.csv: what a head says beside the truth, under the promised names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from heads.data.predictions import Prediction
from heads.data.splits import SplitData, load_splits
from heads.errors import HeadError, RunError
from heads.runs.predictions import FIRST, SplitPrediction, read_predictions, write_predictions
from tests.heads.made import compared, noisy_prediction, random_labels
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


LINE = "a,,test,,5,1,4.5,0.5,3,4,0.25,0.75"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,,test,,nan,1,4.5,0.5,3,4,0.25,0.75", "a score or mean is no finite number"),
        ("a,,test,,5,1,1e400,0.5,3,4,0.25,0.75", "a score or mean is no finite number"),
        ("a,,test,,5,2,4.5,0.5,3,4,0.25,0.75", "true_label is 0 or 1"),
        ("a,,test,,5,1,4.5,1.5,3,4,0.25,0.75", r"p_beautiful lies outside 0\.\.1"),
        ("a,,test,,5,1,4.5,0.5,0,0,0.25,0.75", "a photograph has no votes"),
        ("a,,test,,5,1,4.5,0.5,-3,4,0.25,0.75", "a photograph has no votes, or fewer than none"),
        ("a,,test,,5,1,4.5,0.5,99999999999,4,0.25,0.75", "out of bounds|too large"),
        ("a,,test,,5,1,4.5,0.5,3,4,0.25,0.25", "a predicted distribution does not sum to 1"),
        ("a,,test,,5,1,4.5,0.5,3,4,0.25", "shorter"),
        ("a" * 200_000 + LINE[1:], "field larger than field limit"),
    ],
)
def test_numbers_that_nobody_gives_are_refused(tmp_path: Path, line: str, said: str) -> None:
    header = ",".join((*FIRST, "r1", "r2", "p1", "p2"))
    path = tmp_path / "predictions.csv"
    path.write_text(f"{header}\n{LINE}\n")
    assert read_predictions(tmp_path).votes.tolist() == [[3, 4]]
    path.write_text(f"{header}\n{LINE}\n{line}\n")
    with pytest.raises(RunError, match=rf"predictions\.csv cannot be read: .*({said})"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("r1,r1,p1,p2", "two of its columns have one name"),
        ("r1,r3,p1,p2", r"its columns r1, r3 do not count from 1"),
        ("r1,r2,p2,p1", r"its columns p2, p1 do not count from 1"),
    ],
)
def test_columns_that_do_not_count_from_one_are_refused(
    tmp_path: Path, names: str, said: str
) -> None:
    (tmp_path / "predictions.csv").write_text(f"{','.join(FIRST)},{names}\n{LINE}\n")
    with pytest.raises(RunError, match=said):
        read_predictions(tmp_path)


def test_votes_and_predictions_over_other_ratings_are_never_in_one_table(tmp_path: Path) -> None:
    five, seven = random_labels(9, levels=5), random_labels(9, levels=7)
    with pytest.raises(
        HeadError, match="predicts 5 ratings, and these photographs have votes over"
    ):
        write_predictions(
            tmp_path / "a.csv", [SplitPrediction("a", "", seven, noisy_prediction(five))]
        )
    parts = [SplitPrediction("a", "", each, noisy_prediction(each)) for each in (five, seven)]
    with pytest.raises(HeadError, match="One table needs one number of ratings"):
        write_predictions(tmp_path / "a.csv", parts)


def test_the_truth_is_blank_where_photographs_were_compared_alone(tmp_path: Path) -> None:
    labels, score = compared([(0, 1)], 2), np.array([0.75, 0.25])
    part = SplitPrediction("test", "", labels, Prediction(score, score, ranking_only=True))
    write_predictions(tmp_path / "predictions.csv", [part])
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "photo0,,test,,,,0.75,0.75",
        "photo1,,test,,,,0.25,0.25",
    ]
    stored = read_predictions(tmp_path)
    assert np.isnan(stored.true_mean).all()
    assert stored.labels("test", labels.scale, "0.5").pairs_alone
    half = (
        (tmp_path / "predictions.csv").read_text().replace("photo0,,test,,,,", "photo0,,test,,1,1,")
    )
    (tmp_path / "predictions.csv").write_text(half)
    with pytest.raises(RunError, match="could not convert"):
        read_predictions(tmp_path)
