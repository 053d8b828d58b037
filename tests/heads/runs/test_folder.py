"""Run folders: written whole or not at all, found again by what decides their numbers."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import CacheLockedError, StorageError
from cache.files import exclusive
from heads.cli.main import main
from heads.data.splits import SplitData, load_splits
from heads.errors import RunError
from heads.experiments.train import TrainedRun, sample_of
from heads.experiments.train import train as train_head
from heads.metrics.comparison import Sample
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import make_head
from heads.runs.config import RunConfig
from heads.runs.files import load_head, read_config, read_history, read_json
from heads.runs.folder import find_runs, publishing
from heads.runs.predictions import FIRST, read_predictions
from tests.heads.planted import Plan, keras_saves, plant

pytestmark = keras_saves
QUICK = NetworkSettings(epochs=2)
ALL_FILES = ["config.json", "history.csv", "metrics.json", "model.json", "predictions.csv"]
ALL_FILES += ["yardstick.json"]


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def train(
    data: Mapping[str, SplitData], out: Path, head: str = "ridge", **changes: Any
) -> TrainedRun:
    """Train a head into a folder."""
    return train_head(head, data, out, **changes)


@pytest.mark.parametrize(("head", "model"), [("ridge-dist", "model.npz"), ("emd", "model.keras")])
def test_a_run_holds_what_is_promised(
    data: dict[str, SplitData], tmp_path: Path, head: str, model: str
) -> None:
    settings = QUICK if head == "emd" else None
    run = train(data, tmp_path, head, settings=settings)
    assert run.path == tmp_path / head
    assert sorted(p.name for p in run.path.iterdir()) == sorted([*ALL_FILES, model])
    assert [p.name for p in tmp_path.iterdir()] == [head]
    assert len(read_history(run.path)) == (2 if head == "emd" else 0)
    assert read_json(run.path / "metrics.json") == run.metrics


@pytest.mark.parametrize("head", ["constant", "ridge-dist", "logistic", "emd", "tanh"])
def test_a_loaded_head_predicts_what_the_run_has_written(
    data: dict[str, SplitData], tmp_path: Path, head: str
) -> None:
    settings = QUICK if head in ("emd", "tanh") else None
    run = train(data, tmp_path, head, settings=settings)
    prediction = load_head(run.path).predict(data["test"].X)
    stored = read_predictions(run.path)
    rows = stored.split == "test"
    np.testing.assert_array_equal(stored.score[rows], prediction.score)
    np.testing.assert_array_equal(stored.p_beautiful[rows], prediction.p_beautiful)
    if prediction.distribution is None:
        assert stored.distribution is None
    else:
        np.testing.assert_array_equal(stored.distribution[rows], prediction.distribution)


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


def test_a_config_repeats_the_run(data: dict[str, SplitData], tmp_path: Path) -> None:
    settings = replace(QUICK, hidden=(4,), lr=0.003)
    run = train(data, tmp_path, "emd", settings=settings, seed=7)
    config = read_config(run.path)
    assert (config.head, config.settings, config.seed) == ("emd", settings, 7)
    assert config.extractor == data["train"].cache.spec
    assert config.splits["val"].n == 150
    assert config.library_versions["keras"][0].isdigit()
    again = train(data, tmp_path / "again", config.head, settings=config.settings, seed=7)
    assert read_history(again.path) == read_history(run.path)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))).identity == config.identity


def test_a_run_that_streamed_says_so_and_is_repeated_block_by_block(
    planted: Path, tmp_path: Path
) -> None:
    flags = ["--hidden", "none", "--epochs", "3", "--batch-size", "50", "--features", str(planted)]
    command = ["train", "emd", *flags, "--json", "--out"]
    assert main([*command, str(tmp_path / "all")]) == 0
    assert main([*command, str(tmp_path / "all"), "--memory", "20k"]) == 0
    resident, streamed = find_runs(tmp_path / "all")
    assert read_config(resident).streamed_bytes is None
    assert read_config(streamed).streamed_bytes == 20_000
    assert read_history(resident) != read_history(streamed)
    again = ["train", "--config", str(streamed / "config.json"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert read_config(tmp_path / "again" / "emd").identity == read_config(streamed).identity
    assert read_history(tmp_path / "again" / "emd") == read_history(streamed)


# --- the same run, another run --------------------------------------------------------------------


def test_an_equal_run_is_reused_and_says_so(
    data: dict[str, SplitData], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = train(data, tmp_path)
    stamp = (first.path / "config.json").stat().st_mtime_ns
    second = train(data, tmp_path)
    assert (first.reused, second.reused) == (False, True)
    assert second.metrics == first.metrics
    assert (first.path / "config.json").stat().st_mtime_ns == stamp
    assert "this very run is already there; it is reused" in capfd.readouterr().err


def test_another_configuration_goes_beside_the_first(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    first = train(data, tmp_path, "emd", settings=QUICK)
    second = train(data, tmp_path, "emd", settings=QUICK, seed=1)
    assert first.path == tmp_path / "emd"
    assert second.path == tmp_path / f"emd-{read_config(second.path).identity[:8]}"
    assert train(data, tmp_path, "emd", settings=QUICK, seed=1).reused
    assert find_runs(tmp_path) == [first.path, second.path]


def test_other_data_is_another_configuration(tmp_path: Path) -> None:
    runs = []
    for noise in (0.3, 0.31):
        features = plant(tmp_path / f"features{noise}", Plan(noise=noise))
        runs.append(train(load_splits(features), tmp_path / "runs"))
    limited = load_splits(features, limit=500)
    runs.append(train(limited, tmp_path / "runs"))
    assert len({run.path for run in runs}) == 3


def test_the_same_data_elsewhere_is_the_same_configuration(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    train(data, tmp_path)
    moved = load_splits(plant(tmp_path / "moved"))
    assert train(moved, tmp_path).reused


def test_overwrite_replaces_the_run(data: dict[str, SplitData], tmp_path: Path) -> None:
    train(data, tmp_path, "emd", settings=QUICK)
    replaced = train(data, tmp_path, "emd", settings=QUICK, seed=1, overwrite=True)
    assert replaced.path == tmp_path / "emd"
    assert not replaced.reused
    assert read_config(tmp_path / "emd").seed == 1
    assert [p.name for p in tmp_path.iterdir()] == ["emd"]


def test_a_place_that_holds_no_run_is_not_written_over(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    (tmp_path / "ridge").mkdir()
    (tmp_path / "ridge" / "diary.txt").write_text("dear diary")
    with pytest.raises(RunError, match=r"ridge is no finished run: it has no config\.json"):
        train(data, tmp_path)
    assert (tmp_path / "ridge" / "diary.txt").exists()


# --- whole or not at all --------------------------------------------------------------------------


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with publishing(tmp_path / "emd") as folder:
            (folder / "config.json").write_text("{}")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_and_never_found(tmp_path: Path) -> None:
    left = tmp_path / ".emd.123"
    left.mkdir()
    (left / "config.json").write_text("{}")
    assert find_runs(tmp_path) == []
    with publishing(tmp_path / "emd") as folder:
        (folder / "config.json").write_text("{}")
    assert [p.name for p in tmp_path.iterdir()] == ["emd"]


def test_a_run_that_a_kill_left_aside_is_found_by_the_next_command(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path)
    run.path.rename(tmp_path / ".ridge.123.replaced")
    (tmp_path / ".ridge.124").mkdir()
    again = train(data, tmp_path)
    assert (again.path, again.reused, again.metrics) == (run.path, True, run.metrics)
    train(data, tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["ridge"]


def test_two_processes_do_not_write_the_same_run(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "emd"),
        pytest.raises(CacheLockedError, match=f"process {os.getpid()}"),
        publishing(tmp_path / "emd"),
    ):
        pass


def test_a_place_that_cannot_be_written_is_said(data: dict[str, SplitData], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written.*--out"):
        train(data, tmp_path / "file")


# --- damaged runs ---------------------------------------------------------------------------------


def test_no_run_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no finished run.*heads train HEAD"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"cannot be read.*--overwrite"),
        ("[]", "holds no JSON object"),
        ('{"format": "other", "version": 1}', r"has the format 'other' version 1; this program"),
        ('{"format": "aesthetic-run", "version": 9}', r"version 9; this program reads"),
        ('{"format": "aesthetic-run", "version": 1, "settings": null}', r"is damaged: KeyError"),
    ],
)
def test_a_damaged_or_foreign_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=said):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ranking_only": None, "n": None}, "n, ranking_only"),
        ({"intervals": 7}, "intervals"),
        ({"verdict": ["srcc"]}, "verdict"),
    ],
)
def test_damaged_metrics_are_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = train(data, tmp_path).path / "metrics.json"
    values = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in values.items() if changes.get(name, 0) is not None}
    path.write_text(json.dumps(kept))
    words = f"metrics.json is damaged: {said} cannot be read. Train the head again with --overwrite"
    with pytest.raises(RunError, match=words):
        train(data, tmp_path)


def test_a_model_whose_values_lack_one_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    for head, model in (("ridge", "npz"), ("emd", "keras")):
        run = train(data, tmp_path, head, settings=QUICK if head == "emd" else None).path
        values = json.loads((run / "model.json").read_text())
        del values["note"]
        (run / "model.json").write_text(json.dumps(values))
        words = rf"model\.{model} cannot be loaded with model\.json: KeyError\('note'\)\. Train"
        with pytest.raises(RunError, match=words):
            load_head(run)


def test_a_damaged_model_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path).path
    (run / "model.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match=r"model\.npz cannot be loaded.*--overwrite"):
        load_head(run)


def test_a_model_that_carries_a_pickle_is_not_opened(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path).path
    objects = np.array([{"code": 1}], dtype=object)
    np.savez(run / "model.npz", kernel=objects, bias=np.zeros(1))
    with pytest.raises(RunError, match=r"cannot be loaded.*allow_pickle"):
        load_head(run)
    assert zipfile.is_zipfile(run / "model.npz")


@pytest.mark.parametrize(("name", "read"), [("history", read_history), ("predictions", None)])
def test_a_damaged_table_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path, name: str, read: Any
) -> None:
    run = train(data, tmp_path).path
    (run / f"{name}.csv").write_text("epoch,loss\n1\n")
    with pytest.raises(RunError, match=rf"{name}\.csv cannot be read.*--overwrite"):
        (read or read_predictions)(run)


def test_a_run_of_a_head_that_is_not_registered_is_named(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path).path
    values = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(values | {"head": "forest"}))
    with pytest.raises(RunError, match=r"config\.json: There is no head 'forest'.*Register it"):
        read_config(run)


# --- measuring a run again ------------------------------------------------------------------------


def test_a_reused_run_measures_as_it_did_when_trained(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    fresh = train(data, tmp_path, "ridge-dist")
    reused = train(data, tmp_path, "ridge-dist")
    values = [sample_of(run, data).bootstrap.values for run in (fresh, reused)]
    assert reused.sample is None
    assert values[0] == values[1]


def test_predictions_of_other_photographs_are_refused(
    data: dict[str, SplitData], planted7: Path, tmp_path: Path
) -> None:
    train(data, tmp_path)
    other = {**data, "test": load_splits(planted7, splits=("val",))["val"]}
    with pytest.raises(RunError, match=r"does not hold the photographs of the test cache"):
        sample_of(replace(train(data, tmp_path), sample=None), other)


def test_metrics_tell_values_intervals_floor_and_verdict(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    metrics = train(data, tmp_path).metrics
    head = make_head("ridge")
    split = data["train"], data["val"]
    head.fit(split[0].X, split[0].labels, split[1].X, split[1].labels, seed=0)
    sample = Sample.of(head.predict(data["test"].X), data["test"].labels)
    assert metrics["srcc"] == sample.bootstrap.values["srcc"]
    assert metrics["intervals"]["srcc"][0] < metrics["srcc"] < metrics["intervals"]["srcc"][1]
    assert metrics["floor"]["srcc"] is None
    assert metrics["verdict"]["srcc"] == "beats"
    assert metrics["emd_r2"] is None
    assert metrics["val"]["n"] == 150
    assert (metrics["head"], metrics["split"], metrics["n"]) == ("ridge", "test", 200)
    assert metrics["n_train"] == 600
