"""Each point of a grid gives what it gives alone; the best one becomes a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cache.types import Scale
from heads.data.labels import Labels
from heads.data.splits import SplitData, load_splits
from heads.errors import HeadError
from heads.experiments.sweep import Grid, Point, best, measure_points, sweep
from heads.models.neural.settings import NetworkSettings, ResolvedSettings
from heads.models.registry import make_head
from heads.report.experiments import sweep_table
from heads.runs.files import read_config
from tests.heads.made import with_budget
from tests.heads.planted import keras_saves

LINEAR = NetworkSettings(hidden=(), batch_size=100, epochs=1)


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


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
    points = measure_points(head, data, grid, LINEAR, seed=4)
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
    grid = Grid(lr=(0.01, 1e-5), l2=(0.01,), dropout=(0.1, 0.3), seeds=1)
    points = measure_points("emd", data, grid, base, seed=0)
    assert all(point.val_value > 0.75 for point in points[::2])
    assert [point.dropout for point in points] == [0.1, 0.1, 0.3, 0.3]
    own = alone(data, "emd", points[2].settings, seed=0)
    assert points[2].val_loss == pytest.approx(own, rel=1e-6)


def test_labels_of_0_and_1_are_ranked_by_auc(data: dict[str, SplitData]) -> None:
    picked = {split: replace(part, labels=as_picked(part.labels)) for split, part in data.items()}
    (point,) = measure_points("binary", picked, Grid(lr=(0.01,)), LINEAR, seed=0)
    assert (point.metric, point.val_value > 0.75) == ("auc", True)
    assert "val_auc" in sweep_table([point], point).splitlines()[0]
    with pytest.raises(HeadError, match="head sigmoid learns mean scores, and the labels are 0"):
        measure_points("sigmoid", picked, Grid(), LINEAR, seed=0)


def as_picked(labels: Labels) -> Labels:
    """Return 0 and 1 in place of votes."""
    mean = labels.beautiful.astype(float)
    return replace(labels, votes=None, mean=mean, scale=Scale(0, 1), threshold="0.5")


def test_without_a_dropout_the_bases_own_is_kept() -> None:
    base = NetworkSettings(hidden=(16,), dropout=0.4, input_dropout=0.1).resolve(600, (32,))
    (settings,) = Grid(lr=(0.01,), l2=(0.5,), dropout=(), seeds=1).settings(base)
    assert settings == replace(base, lr=0.01, l2=0.5)
    (linear,) = Grid((0.01,), (0.5,), (0.7,), 1).settings(replace(base, hidden=()))
    assert (linear.input_dropout, linear.dropout) == (0.7, 0.4)


def test_features_beyond_the_memory_stream_and_seeds_differ(data: dict[str, SplitData]) -> None:
    base = replace(LINEAR, batch_size=32, epochs=3)
    grid = Grid(lr=(0.01,), l2=(0.01,), dropout=(0.2,), seeds=2)
    small = with_budget(data, data["train"].X.nbytes // 2)
    (point,) = measure_points("sigmoid", small, grid, base, seed=0)
    assert len(set(point.val_losses)) == len(point.val_values) == 2
    assert min(point.val_values) > 0.75


def point(loss: float, lr: float = 0.1, l2: float = 0.0) -> Point:
    """Return a point that needs no training."""
    settings = NetworkSettings(lr=lr, l2=l2, dropout=0.5).resolve(600, (32,))
    return Point(settings, (loss,), (0.5,))


def test_the_lowest_loss_wins_and_what_diverged_does_not() -> None:
    points = [point(0.3), point(float("nan")), point(0.2)]
    assert best(points) is points[2]
    with pytest.raises(HeadError, match=r"Every setting of the sweep diverged\. Try smaller --lr"):
        best(points[1:2])


@keras_saves
def test_a_notebook_sweeps_and_gets_the_run(data: dict[str, SplitData], tmp_path: Path) -> None:
    done = sweep("sigmoid", data, Grid(lr=(1e-5, 0.01)), tmp_path, settings=LINEAR, seed=3)
    assert [point.settings.lr for point in done.points] == [1e-5, 0.01]
    assert done.chosen is done.points[1]
    assert done.run.path == tmp_path / "sigmoid"
    assert read_config(done.run.path).settings.to_dict() == done.chosen.settings.to_dict()
