"""Stage two from Python: what train and compare give back, and that nothing is printed."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from heads import compare, load_splits, train
from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.report.leaderboard import csv_columns
from heads.runs.files import read_config
from tests.heads.planted import keras_saves

pytestmark = keras_saves


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def test_a_split_shows_its_labels_and_rows(data: dict[str, SplitData], planted_means: Path) -> None:
    part = data["test"]
    frame = part.frame()
    assert list(frame) == ["image_id", "group", "votes", "mean", "beautiful"]
    assert frame["votes"][3] == part.labels.votes[3].tolist()
    assert frame["beautiful"].sum() == part.labels.beautiful.sum()
    assert np.asarray(part.X).shape == (200, 1, 32)
    assert load_splits(planted_means)["test"].frame()["votes"].isna().all()


def test_a_run_has_history_and_predictions(data: dict[str, SplitData], tmp_path: Path) -> None:
    run = train("emd", data, tmp_path, hidden=(8,), epochs=2, ensemble=1)
    assert read_config(run.path).settings.hidden == (8,)
    assert run.history["epoch"].tolist() == [1, 2]
    frame = run.predictions()
    assert frame["split"].value_counts().to_dict() == {"test": 200, "val": 150}
    assert {"score", "true_mean", "r1", "p10"} <= set(frame)
    assert "fold" not in frame
    assert repr(run).startswith(f"{run.path}: emd, trained on 600 photographs")
    assert run.report() == tmp_path / "report.html"
    direct = train("ridge", data, tmp_path)
    assert direct.history.empty
    with pytest.raises(HeadError, match="head ridge has no setting hidden"):
        train("ridge", data, tmp_path, hidden=(8,))


def test_a_board_is_a_frame_a_text_and_a_report(data: dict[str, SplitData], tmp_path: Path) -> None:
    board = compare(data, heads=["ridge"], out=tmp_path)
    frame = board.frame()
    assert frame["head"].tolist() == ["constant", "ridge"]
    assert set(csv_columns()) <= set(frame)
    assert frame["srcc"][1] == board.entries[1].measures["srcc"].value
    assert "constant = floor" in repr(board)
    assert board.report() == tmp_path / "report.html"


def test_nothing_is_printed_unasked(
    data: dict[str, SplitData], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("aesthetic_heads")
    heard = logger.handlers[:]
    logger.handlers.clear()
    try:
        compare(data, ["ridge"], tmp_path)
        compare(data, ["ridge"], tmp_path)
    finally:
        logger.handlers[:] = heard
    assert capfd.readouterr() == ("", "")
