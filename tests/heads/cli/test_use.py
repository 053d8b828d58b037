"""`heads list` and `heads predict`: runs shown, and cached splits scored again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from heads.cli.main import main
from tests.heads.studio import HEADS, Studio


def test_runs_are_listed_with_what_they_were_trained_on_and_how_good_they_are(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(studio.runs)]) == 0
    text = capsys.readouterr().out
    for head in HEADS:
        assert f"  {head} " in text
    assert f"60 photographs of {studio.features}" in text
    assert main(["list", str(studio.runs), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    metrics = {row["head"]: row["metrics"] for row in rows}
    assert metrics["ridge"]["srcc"] > 0.5
    assert metrics["constant"]["srcc"] is None


def test_a_damaged_run_is_listed_as_such(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(studio.run(), tmp_path / "ridge")
    (tmp_path / "ridge" / "metrics.json").write_text("{")
    assert main(["list", str(tmp_path)]) == 0
    assert "metrics.json cannot be read" in capsys.readouterr().out


def test_without_runs_the_heads_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(tmp_path / "none")]) == 0
    text = capsys.readouterr().out
    assert "No finished run" in text
    assert "earth mover's distance" in text


def test_predicting_test_again_gives_the_rows_of_the_run(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (studio.run() / "predictions.csv").read_text().splitlines()
    expected = [lines[0], *(line for line in lines if ",test," in line)]
    assert main(["predict", str(studio.run()), "--split", "test"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    out = tmp_path / "test.csv"
    assert main(["predict", str(studio.run()), "--split", "test", "--out", str(out)]) == 0
    assert out.read_text().splitlines() == expected


def test_predicting_refuses_other_features(
    studio: Studio, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(studio.run()), "--split", "val", "--features", str(planted)]
    assert main(words) == 1
    assert "was trained on features with backbone = " in capsys.readouterr().err
