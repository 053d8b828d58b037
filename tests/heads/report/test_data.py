"""What is read from runs and caches, and what is left out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import FormatError, IncompleteCacheError, MismatchError
from cache.store import open_cache
from heads.data.splits import load_splits
from heads.errors import RunError
from heads.experiments.train import train
from heads.metrics.comparison import Sample
from heads.report.data import floor_on_val, read_report
from heads.report.write import write_report
from heads.runs.predictions import read_predictions
from tests.heads.report.finished_runs import ALL_HEADS, PLAN, SIZES, make_features, make_runs
from tests.heads.unsealed import unsealed

OTHER_VOTES = replace(PLAN, votes=90)


def test_known_bootstraps_change_nothing(own: Path) -> None:
    plain = read_report(own).contests
    samples = {run.name: Sample.of(run.prediction, run.labels) for run in read_report(own).runs}
    assert read_report(own, samples=samples).contests == plain


def test_a_cache_without_a_data_root_has_no_photographs(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted)
    train("constant", data, tmp_path)
    report = read_report(tmp_path)
    assert report.photographs == {}
    assert report.name == "features"


def test_the_floor_on_val_is_the_constant_head_learned_on_train(tmp_path: Path) -> None:
    features = make_features(tmp_path)
    caches = {name: open_cache(features / f"{name}.h5") for name in SIZES}
    floors = floor_on_val(caches, limit=50, soft=False)
    middle = caches["train"].labels.mean[:50].mean()
    assert floors["mse"] == pytest.approx(np.mean((caches["val"].labels.mean - middle) ** 2))
    share = (caches["train"].labels.mean[:50] > 4).mean()
    truth = caches["val"].labels.mean > 4
    entropy = -np.mean(np.where(truth, np.log(share), np.log(1 - share)))
    assert floors["cross_entropy"] == pytest.approx(entropy)
    above = [
        votes[:, 4:].sum(axis=1) / votes.sum(axis=1)
        for votes in (caches["train"].labels.votes[:50], caches["val"].labels.votes)
    ]
    p = above[0].mean()
    entropy = -np.mean(above[1] * np.log(p) + (1 - above[1]) * np.log(1 - p))
    soft = floor_on_val(caches, limit=50, soft=True)
    assert soft["cross_entropy"] == pytest.approx(entropy)
    assert soft["mse"] == floors["mse"]


def test_runs_on_other_photographs_are_left_out_by_name(own: Path) -> None:
    path = unsealed(own / "logistic") / "predictions.csv"
    path.write_text(path.read_text().replace("test1,", "elsewhere,"))
    data = read_report(own)
    assert data.left_out == {"logistic": "measured on other photographs"}
    assert "Left out: logistic (measured on other photographs)" in write_report(own).read_text()


def test_labels_that_changed_since_are_refused(own: Path) -> None:
    for run in ALL_HEADS:
        if run != "ridge":
            shutil.rmtree(own / run)
    shutil.rmtree(own / "emd")
    path = unsealed(own / "ridge") / "predictions.csv"
    stored = read_predictions(own / "ridge")
    first = stored.image_id[stored.split == "test"][0]
    lines = path.read_text().splitlines()
    lines = [_flipped(line) if line.startswith(f"{first},") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(
        RunError, match="calls other photographs beautiful than its labels and the threshold 4 do"
    ):
        read_report(own)


def test_runs_on_another_scale_or_threshold_are_left_out_by_name(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("constant", "ridge"), trained=False)
    for plan, said in (
        (replace(PLAN, levels=5), "other labels of these photographs"),
        (replace(PLAN, threshold="5"), "another threshold of beautiful"),
    ):
        features = make_features(tmp_path / said, plan)
        train("ridge-dist", load_splits(features), runs, overwrite=True)
        report = read_report(runs)
        assert {run.name for run in report.runs} == {"constant", "ridge"}
        assert report.left_out["ridge-dist"].startswith("measured on another ")
    assert report.left_out == {"ridge-dist": f"measured on {said}"}


def test_a_run_whose_test_cache_has_other_votes_since_is_left_out(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("ridge",), trained=False)
    make_features(shutil.copytree(tmp_path, tmp_path / "new", ignore=_everything), OTHER_VOTES)
    shutil.rmtree(tmp_path / "features")
    (tmp_path / "new" / "features").rename(tmp_path / "features")
    words = "was measured on other labels of these photographs than .*test.h5 holds: that was made"
    with pytest.raises(RunError, match=words):
        read_report(runs)


def test_caches_under_each_others_names_are_refused(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("ridge",), trained=False)
    shutil.copy(tmp_path / "features" / "train.h5", tmp_path / "features" / "test.h5")
    with pytest.raises(MismatchError, match="is used as test and holds the split train"):
        read_report(runs)


def _everything(folder: str, names: list[str]) -> list[str]:
    return names


def _flipped(line: str) -> str:
    cells = line.split(",")
    cells[5] = "1" if cells[5] == "0" else "0"
    return ",".join(cells)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no finished run\. Make some with `heads compare`"):
        read_report(tmp_path)


def test_caches_that_moved_are_found_by_their_option(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("constant",), trained=False)
    moved = (tmp_path / "features").rename(tmp_path / "elsewhere")
    with pytest.raises(IncompleteCacheError):
        read_report(runs)
    assert len(read_report(runs, moved).labels) == 60


def test_caches_that_are_named_are_read_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = make_runs(tmp_path, PLAN, ("constant",), trained=False)
    with pytest.raises(IncompleteCacheError, match=r"There is no cache .*away/train\.h5"):
        read_report(runs, tmp_path / "away")
    other = make_features(tmp_path / "other", OTHER_VOTES)
    read_report(runs, other)
    words = f"{runs / 'constant'} was made from other features than those in {other}"
    assert f"{words}: {tmp_path / 'features'} is read." in capsys.readouterr().err
    (other / "test.h5").write_bytes((other / "test.h5").read_bytes()[:-1])
    with pytest.raises(FormatError, match="it is truncated"):
        read_report(runs, other)


def test_scores_that_are_not_those_that_were_measured_are_refused(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("ridge",), trained=False)
    path = unsealed(runs / "ridge") / "predictions.csv"
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    at = header.index("score")
    scores = [row[at] for row in rows]
    for row, score in zip(rows, scores[1:] + scores[:1], strict=True):
        row[at] = score
    path.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    with pytest.raises(RunError, match=r"has another srcc than metrics\.json says"):
        read_report(runs)


def test_predictions_of_fewer_photographs_than_were_measured_are_refused(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("ridge",), trained=False)
    path = unsealed(runs / "ridge") / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    words = r"predictions\.csv has 59 photographs of test; metrics\.json measured 60"
    with pytest.raises(RunError, match=words):
        read_report(runs)


def test_a_remark_that_came_later_is_shown_beside_the_earlier_one(own: Path) -> None:
    data = read_report(own)
    assert data.note == "votes are simulated"
    assert replace(data, note_now="by experts").note == "by experts; votes are simulated"
    assert replace(data, note_now="").note == "votes are simulated"
    assert replace(data, note_now="votes are simulated twice").note == "votes are simulated twice"
