"""A head trained into its run folder: what it holds, and its predictions measured again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.errors import FormatError, StorageError
from heads.cli.main import main
from heads.data.splits import SplitData, load_splits
from heads.errors import RunError
from heads.experiments.compare import cross_validate
from heads.experiments.folds import fold_photographs
from heads.experiments.train import sample_of
from heads.metrics.comparison import Sample
from heads.models.base import History
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import make_head
from heads.models.ridge import RidgeHead
from heads.runs.files import read_config, read_history, read_json
from heads.runs.folder import find_runs
from tests.heads.planted import keras_saves
from tests.heads.runs.training import train

pytestmark = keras_saves
QUICK = NetworkSettings(epochs=2, ensemble=1)
ALL_FILES = ["config.json", "history.csv", "metrics.json", "model.json", "predictions.csv"]


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


ALL_FILES += ["yardstick.json", "files.json"]


@pytest.mark.parametrize("head", ["ridge-dist", "emd"])
def test_a_run_holds_what_is_promised(
    data: dict[str, SplitData], tmp_path: Path, head: str
) -> None:
    settings = QUICK if head == "emd" else None
    run = train(data, tmp_path, head, settings=settings)
    assert run.path == tmp_path / head
    assert sorted(p.name for p in run.path.iterdir()) == sorted([*ALL_FILES, "model.npz"])
    assert [p.name for p in tmp_path.iterdir()] == [head]
    assert len(read_history(run.path)) == (2 if head == "emd" else 0)
    assert read_json(run.path / "metrics.json") == run.metrics


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


def test_a_run_that_streamed_says_so_and_is_repeated_block_by_block(
    planted: Path, tmp_path: Path
) -> None:
    flags = [
        "--hidden",
        "none",
        "--ensemble",
        "1",
        "--epochs",
        "3",
        "--batch-size",
        "50",
        "--features",
        str(planted),
    ]
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


def test_a_place_that_cannot_be_written_is_said(data: dict[str, SplitData], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: a file stands where"):
        train(data, tmp_path / "file")


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


@pytest.mark.parametrize("folds", [False, True])
def test_features_written_to_while_a_head_trains_make_no_run(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, folds: bool
) -> None:
    features = tmp_path / "features"
    shutil.copytree(planted, features)
    data, fit = load_splits(features), RidgeHead.fit

    def fit_while_others_write(*arguments: Any, **options: Any) -> History:
        cache = data["train"].cache
        with (features / "train.h5").open("r+b") as file:
            file.seek(cache._places["features"].offset)
            file.write(bytes(cache.features.nbytes))
        return fit(*arguments, **options)

    monkeypatch.setattr(RidgeHead, "fit", fit_while_others_write)
    out = tmp_path / "runs"

    def make() -> object:
        if folds:
            return cross_validate(data, fold_photographs(data, 2), ["ridge"], out)
        return train(data, out, "ridge")

    with pytest.raises(FormatError, match=r"train\.h5 was written to while it was read"):
        make()
    assert not list(out.rglob("ridge"))
