"""Sweeps and curves as tables, files and pages."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cache.errors import StorageError
from heads.experiments.sweep import Point
from heads.models.neural.settings import NetworkSettings
from heads.report.experiments import curve_page, sweep_page, sweep_table, write_curve, write_sweep
from tests.heads.report.reading import read

SIZES = [
    {"n_train": n, "srcc": n / 1000, "srcc_lo": None, "srcc_hi": None}
    | {name: None for name in ("emd_r2", "mse", "auc")}
    for n in (100, 500)
]


def point(loss: float, lr: float = 0.1, l2: float = 0.0) -> Point:
    """Return a point that needs no training."""
    return Point(NetworkSettings(lr=lr, l2=l2, dropout=0.5), (loss,), (0.5,))


def test_the_page_and_the_files_show_every_point(tmp_path: Path) -> None:
    points = [point(0.3, lr=0.1), point(float("nan"), lr=9.0), point(0.2, lr=0.1, l2=1.0)]
    write_sweep(tmp_path / "sweep-emd", "emd", points, points[2])
    page = (tmp_path / "sweep-emd" / "sweep.html").read_text()
    assert page.count('<td class="washed best">') == 1
    assert "diverged" in page
    assert not read(page).wrong
    assert sweep_table(points, points[2]).splitlines()[1].endswith("* chosen")
    with (tmp_path / "sweep-emd" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] for row in rows] == ["0.3", "", "0.2"]


def test_a_single_point_gets_the_full_colour() -> None:
    (only,) = [point(0.3)]
    assert 'opacity="0.60"' in sweep_page("emd", [only], only)


def test_a_curve_is_drawn_for_each_metric_that_the_head_has(tmp_path: Path) -> None:
    path, page = write_curve(tmp_path, "ridge", SIZES, {"srcc": 0.0})
    assert path.read_text().splitlines()[1].startswith("100,0.1,,")
    reader = read(page.read_text())
    assert not reader.wrong
    assert reader.words["figcaption"] == ["srcc"]


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    path, _ = write_curve(tmp_path, "ridge", [{**SIZES[0], "run": "=a/ridge"}], {})
    assert path.read_text().splitlines()[1].endswith(",'=a/ridge")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        write_sweep(tmp_path / "file" / "sweep-emd", "emd", [point(0.3)], point(0.3))


def test_a_name_cannot_write_html() -> None:
    nasty = '"><script>alert(1)</script>'
    for page in (sweep_page(nasty, [point(0.3)], point(0.3)), curve_page(nasty, SIZES, {})):
        assert read(page).every("script") == []
        assert nasty in read(page).words["h1"][0]
