"""The folder of a cross-validation: fitted once, found again, refused where it is of others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heads.cli.main import main
from heads.data.splits import load_splits
from heads.errors import RunError
from heads.experiments.crossval import write_folds
from heads.experiments.folds import (
    Folding,
    bounded_ways,
    fold,
    pooled,
    predict_ways,
)
from heads.models.neural.settings import BLOG, NetworkSettings
from heads.runs.files import read_config
from tests.heads.unsealed import unsealed

QUICK = NetworkSettings(hidden=(), epochs=2)


def test_several_ways_are_written_below_each_other(planted: Path, tmp_path: Path) -> None:
    pool = pooled(load_splits(planted), None, None)
    ways = tuple(tuple(fold(pool.labels, 2, seed=seed)) for seed in (0, 1))
    folding = Folding(pool, ways, seeds=2, seed=0)
    predictions, cost, intervals = predict_ways("sigmoid", QUICK, folding)
    assert cost.seconds
    assert cost.model_bytes
    assert len(predictions) == 4
    assert len({each.score for each in intervals}) == 8
    known = bounded_ways(predictions, folding, intervals)
    for number, (folds, prediction) in enumerate(zip(ways + ways, known, strict=True)):
        for part, each in zip(folds, intervals[2 * number : 2 * number + 2], strict=True):
            assert set(prediction.margin[part.test]) == {each.score}
            assert set(prediction.apart[part.test]) == {each.difference}
    assert not np.array_equal(predictions[0].score, predictions[2].score)
    path = tmp_path / "sigmoid" / "predictions.csv"
    path.parent.mkdir()
    write_folds(path, folding, predictions[:2])
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 950
    assert {row["fold"] for row in rows} == {"1.1", "1.2", "2.1", "2.2"}
    scores = dict(zip(pool.labels.image_id, predictions[1].score, strict=True))
    assert all(float(r["score"]) == scores[r["image_id"]] for r in rows if r["fold"][0] == "2")


def test_folds_are_fitted_once_and_other_settings_lie_beside_them(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["compare", "--folds", "2", "--fold-seeds", "2", "--seeds", "2", "--json"]
    given += ["--heads", "sigmoid,ridge", "--preset", "blog", "--limit", "150"]
    given += ["--features", str(planted), "--out", str(tmp_path)]

    def run(*more: str) -> tuple[dict[str, Any], str]:
        assert main([*given, *more]) == 0
        out, err = capfd.readouterr()
        return json.loads(out), err

    first, err = run()
    assert "sigmoid: trained 8 times." in err
    folder = tmp_path / "folds-2"
    files = ["config.json", "files.json", "metrics.json"]
    files += ["predictions-seed-1.csv", "predictions.csv"]
    assert sorted(path.name for path in (folder / "sigmoid").iterdir()) == files
    config = json.loads((folder / "sigmoid" / "config.json").read_text())
    assert (config["folds"], config["ways"], config["seeds"], config["limit"]) == (2, 2, 2, 150)
    assert config["settings"] == BLOG.to_dict()
    metrics = json.loads((folder / "sigmoid" / "metrics.json").read_text())
    shown = {row["head"]: row for row in first["heads"]}["sigmoid"]
    assert 0.85 < metrics["coverage"] < 0.95
    assert len(metrics["fold_intervals"]) == 8
    assert (metrics["srcc"], metrics["deviation"]) == (shown["srcc"], shown["deviation"])

    with pytest.raises(RunError, match="is a cross-validation, whose models are not kept"):
        read_config(folder / "sigmoid")

    again, err = run()
    assert again == first
    assert " times." not in err
    assert err.count("this very run is already there") == 3

    other, err = run("--views", "mean", "--seed", "5", "--seeds", "1", "--fold-seeds", "1")
    assert "sigmoid: trained 2 times." in err
    places = {row["head"]: row["run"] for row in other["heads"]}
    assert places["sigmoid"].startswith(f"{folder}/sigmoid-")
    assert json.loads((folder / "sigmoid" / "config.json").read_text()) == config

    replaced, err = run("--overwrite")
    assert "sigmoid: trained 8 times." in err
    assert replaced == first


def test_predictions_of_other_photographs_are_no_folds_of_these(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["compare", "--folds", "2", "--heads", "ridge"]
    given += ["--features", str(planted), "--out", str(tmp_path)]
    assert main(given) == 0
    path = unsealed(tmp_path / "folds-2" / "ridge") / "predictions.csv"
    header, first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, second, first, *rest]) + "\n")
    capfd.readouterr()
    assert main(given) == 1
    assert "does not hold the photographs that are folded" in capfd.readouterr().err
