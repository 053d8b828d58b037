"""More and more photographs for one head, from Python."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from heads import load_splits
from heads.cli.main import main
from heads.errors import HeadError
from heads.experiments.curve import curve


def test_sizes_rise_the_largest_has_the_plain_name_and_larger_ones_are_left_out(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_splits(planted, limit=300)
    runs = curve("ridge", data, (None, 100, 9000, 100), tmp_path)
    assert [run.metrics["n_train"] for run in runs] == [100, 300]
    assert runs[1].path == tmp_path / "ridge"
    assert runs[0].path.name.startswith("ridge-")
    assert "Left out: 9,000 photographs; train has 300." in capsys.readouterr().err


def test_no_size_that_fits_is_an_error(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted, limit=300)
    with pytest.raises(HeadError, match="No size is left: train has 300 photographs"):
        curve("ridge", data, (9000,), tmp_path)


def test_the_curve_trains_on_more_and_more(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--sizes", "50,200,all,9000", "--features", str(planted), "--out", str(tmp_path)]
    assert main(["curve", "ridge", *flags]) == 0
    shown = capfd.readouterr()
    assert "Left out: 9,000 photographs; train has 600" in shown.err
    assert len(shown.out.splitlines()) == 4
    with (tmp_path / "curve-ridge.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["n_train"] for row in rows] == ["50", "200", "600"]
    assert float(rows[0]["srcc"]) < float(rows[2]["srcc"])
    assert np.isfinite(float(rows[1]["emd_r2"] or 0))
    page = (tmp_path / "curve-ridge.html").read_text()
    assert page.count('<svg class="plot"') == 3
    said = f"srcc of ridge from {float(rows[0]['srcc']):.4g} with 50 training photographs to"
    assert said in page
    assert main(["curve", "ridge", "--sizes", "9000", *flags[2:]]) == 1
    assert "No size is left: train has 600 photographs. Add all" in capfd.readouterr().err
