"""`heads curve`: more and more photographs for one head, as a table and a page."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from heads.cli.main import main
from heads.data.features import FeatureRows
from heads.models.base import History
from heads.models.ridge import RidgeHead
from heads.runs.folder import find_runs
from tests.heads.cli.command import heads, stamp


def test_a_curve_keeps_its_largest_size_in_the_heads_own_folder_and_others_runs(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["ridge", "--features", planted, "--out", tmp_path, "--json"]
    assert heads("curve", *given, "--sizes", "100,200,all") == 0
    rows = json.loads(capfd.readouterr().out)["sizes"]
    assert [row["n_train"] for row in rows] == [100, 200, 600]
    assert rows[-1]["run"] == str(tmp_path / "ridge")
    stamps = {run: stamp(run) for run in find_runs(tmp_path)}
    assert heads("curve", *given, "--sizes", "100,300", "--overwrite") == 0
    changed = {run for run, before in stamps.items() if stamp(run) != before}
    assert changed == {Path(rows[0]["run"])}
    assert len(find_runs(tmp_path)) == 4


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
    page = (tmp_path / "curve-ridge.html").read_text()
    assert page.count('<svg class="plot"') == 3
    said = f"srcc of ridge from {float(rows[0]['srcc']):.4g} with 50 training photographs to"
    assert said in page
    # The constant head's srcc is not defined, and drawn as the 0 that tables show.
    assert re.search(r"srcc of ridge from .* with 600; the floor is 0\.", page)
    assert main(["curve", "ridge", "--sizes", "9000", *flags[2:]]) == 1
    assert "No size is left: train has 600 photographs. Add all" in capfd.readouterr().err


def test_sizes_that_are_finished_are_shown_before_an_error(
    planted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = shutil.copytree(planted, tmp_path / "features")
    fit = RidgeHead.fit

    def fit_all_alone(head: RidgeHead, X: FeatureRows, *rest: Any, **options: Any) -> History:
        if len(X) < 600:
            os.truncate(features / "train.h5", 4096)
        return fit(head, X, *rest, **options)

    monkeypatch.setattr(RidgeHead, "fit", fit_all_alone)
    flags = ["--sizes", "100,all", "--features", str(features), "--out", str(tmp_path / "runs")]
    assert main(["curve", "ridge", *flags]) == 1
    shown = capfd.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert "600" in shown.out.splitlines()[-1]
    assert "train.h5 is damaged: it ends after 4,096 bytes" in shown.err
