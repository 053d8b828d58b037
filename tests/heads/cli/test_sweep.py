"""`heads sweep`: the best setting becomes a run, and the page shows all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cache.errors import StorageError
from heads.cli.main import main
from heads.runs.files import read_config
from heads.runs.folder import find_runs
from tests.heads.planted import keras_saves


@keras_saves
def test_json_has_null_for_what_diverged(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--lr", "0.01,1e30", "--hidden", "none", "--epochs", "2", "--json"]
    given = ["sweep", "emd", *flags, "--features", str(planted), "--out", str(tmp_path)]
    assert main(given) == 0
    points = json.loads(capfd.readouterr().out)["points"]
    assert points[0]["val_loss"] > 0
    assert points[1]["val_loss"] is None


@keras_saves
def test_the_command_trains_the_best_setting_and_measures_it_alone_on_test(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--lr", "1e-5,0.01", "--dropout", "0.1", "--hidden", "none", "--epochs", "30"]
    given = [*flags, "--features", str(planted), "--out", str(tmp_path)]
    assert main(["sweep", "sigmoid", *given, "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert [row["lr"] for row in shown["points"]] == [1e-5, 0.01]
    assert find_runs(tmp_path) == [tmp_path / "sigmoid"]
    settings = read_config(tmp_path / "sigmoid").settings
    assert settings is not None
    assert (settings.lr, settings.input_dropout, settings.hidden) == (0.01, 0.1, ())
    assert shown["metrics"]["srcc"] > 0.8
    assert (tmp_path / "sweep-sigmoid" / "sweep.html").read_text().count('class="washed best"') == 1


@keras_saves
def test_all_points_are_shown_and_kept_where_the_best_cannot_be_trained(
    planted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("heads.experiments.sweep.train", refused)
    flags = ["--lr", "1e-4,0.01", "--hidden", "none", "--epochs", "1"]
    given = ["sweep", "emd", *flags, "--features", str(planted), "--out", str(tmp_path)]
    assert main(given) == 1
    shown = capfd.readouterr()
    assert "0.0001" in shown.out
    assert "The disk is full." in shown.err
    assert (tmp_path / "sweep-emd" / "sweep.csv").read_text().count("\n") == 3
