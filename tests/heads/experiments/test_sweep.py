"""Each point of a grid gives what it gives alone; curves over sizes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import HeadError
from heads.cli.main import main
from heads.data.splits import SplitData, load_splits
from heads.experiments.sweep import Grid, Point, best, sweep
from heads.models.neural.settings import NetworkSettings, ResolvedSettings
from heads.models.registry import make_head
from heads.report.sweep import heat_map, table, write_csv
from heads.runs.folder import find_runs, read_config
from tests.heads.planted import keras_saves

LINEAR = NetworkSettings(hidden=(), batch_size=100, epochs=1).resolve(600, (32,))


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def splits(data: dict[str, SplitData]) -> tuple[SplitData, SplitData]:
    """Return train and val of a planted cache."""
    return data["train"], data["val"]


def alone(data: dict[str, SplitData], head: str, settings: ResolvedSettings, seed: int) -> float:
    """Return the loss on val of a head trained by itself."""
    train, val = data["train"], data["val"]
    history = make_head(head, settings).fit(train.X, train.labels, val.X, val.labels, seed=seed)
    return history[-1]["val_loss"]


@pytest.mark.parametrize("head", ["emd", "tanh", "binary", "columns"])
def test_a_point_of_the_grid_is_what_training_it_alone_gives(
    data: dict[str, SplitData], head: str
) -> None:
    grid = Grid(lr=(0.001, 0.02), l2=(0.01, 5.0), dropout=(0.0,), seeds=1)
    points = sweep(head, LINEAR, grid, splits(data), seed=4)
    assert [(p.settings.lr, p.settings.l2) for p in points] == [
        (0.001, 0.01),
        (0.02, 0.01),
        (0.001, 5.0),
        (0.02, 5.0),
    ]
    for point in (points[0], points[3]):
        own = alone(data, head, point.settings, seed=4)
        assert point.val_loss == pytest.approx(own, rel=1e-6)
    assert len({point.val_loss for point in points}) == 4


def test_hidden_layers_and_dropout_are_swept_alike(data: dict[str, SplitData]) -> None:
    base = NetworkSettings(hidden=(16, 8), batch_size=50, epochs=8, ensemble=1)
    base = base.resolve(600, (32,))
    grid = Grid(lr=(0.01, 1e-5), l2=(0.01,), dropout=(0.1, 0.3), seeds=1)
    points = sweep("emd", base, grid, splits(data), seed=0)
    assert all(point.val_srcc > 0.75 for point in points[::2])
    assert [point.dropout for point in points] == [0.1, 0.1, 0.3, 0.3]
    own = alone(data, "emd", points[2].settings, seed=0)
    assert points[2].val_loss == pytest.approx(own, rel=1e-6)


def test_without_a_dropout_the_bases_own_is_kept() -> None:
    base = NetworkSettings(hidden=(16,), dropout=0.4, input_dropout=0.1).resolve(600, (32,))
    (settings,) = Grid(lr=(0.01,), l2=(0.5,), dropout=(), seeds=1).settings(base)
    assert settings == replace(base, lr=0.01, l2=0.5)
    (linear,) = Grid((0.01,), (0.5,), (0.7,), 1).settings(replace(base, hidden=()))
    assert (linear.input_dropout, linear.dropout) == (0.7, 0.4)


def test_features_beyond_the_memory_stream_and_seeds_differ(data: dict[str, SplitData]) -> None:
    base = replace(LINEAR, batch_size=32, epochs=3)
    grid = Grid(lr=(0.01,), l2=(0.01,), dropout=(0.2,), seeds=2)
    (point,) = sweep("sigmoid", base, grid, splits(data), 0, data["train"].X.nbytes // 2)
    assert len(set(point.val_losses)) == len(point.val_srccs) == 2
    assert min(point.val_srccs) > 0.75


def point(loss: float, lr: float = 0.1, l2: float = 0.0) -> Point:
    """Return a point that needs no training."""
    settings = NetworkSettings(lr=lr, l2=l2, dropout=0.5).resolve(600, (32,))
    return Point(settings, (loss,), (0.5,))


def test_the_lowest_loss_wins_and_what_diverged_does_not() -> None:
    points = [point(0.3), point(float("nan")), point(0.2)]
    assert best(points) is points[2]
    with pytest.raises(HeadError, match=r"Every setting of the sweep diverged\. Try smaller --lr"):
        best(points[1:2])


def test_the_page_and_the_files_show_every_point(tmp_path: Path) -> None:
    points = [point(0.3, lr=0.1), point(float("nan"), lr=9.0), point(0.2, lr=0.1, l2=1.0)]
    page = heat_map("emd", points, points[2])
    assert page.count("class=best") == 1
    assert "diverged" in page
    assert table(points, points[2]).splitlines()[1].endswith("* chosen")
    write_csv(tmp_path / "sweep.csv", points)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] for row in rows] == ["0.3", "", "0.2"]


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
    assert (tmp_path / "sweep-sigmoid" / "sweep.html").read_text().count("class=best") == 1


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


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["curve", "ridge", "--sizes", "few"], 2, "sizes such as 1000,5000,all"),
        (["curve", "ridge", "--limit", "5"], 1, "takes its sizes from --sizes; leave out --limit"),
        (["sweep", "ridge"], 2, "invalid choice: 'ridge'"),
        (["sweep", "emd", "--lr", "fast"], 2, "numbers such as 0.1,0.01"),
    ],
)
def test_wrong_usage_is_said(
    arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        got = main(arguments)
    except SystemExit as stop:
        got = int(stop.code or 0)
    assert got == code
    assert said in capfd.readouterr().err
