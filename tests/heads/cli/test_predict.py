"""`heads predict`: a cached split scored again."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads.cli.main import main
from tests.heads.studio import Studio


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
