"""Heads compared from Python: the floor first, what does not fit left out, runs reused."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads import compare, load_splits, train
from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.experiments.compare import cross_validate
from heads.experiments.folds import fold_photographs
from heads.metrics.comparison import contest
from heads.models.neural.settings import NetworkSettings
from tests.heads.planted import Plan, keras_saves, plant

pytestmark = keras_saves

QUICK = NetworkSettings(hidden=(), epochs=2)


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(str(planted), limit=300)


def test_the_floor_comes_first_and_runs_are_those_of_train(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train("ridge", data, tmp_path)
    comparison = compare(data, ["ridge", "constant"], tmp_path)
    floor, ridge = comparison.entries
    assert (floor.head, ridge.head) == ("constant", "ridge")
    assert ridge.run == str(run.path)
    assert ridge.measures["srcc"].value == run.metrics["srcc"]
    assert ridge.measures["mse"].floor == floor.measures["mse"].value
    assert (comparison.title.n, comparison.title.trained_on) == (len(data["test"]), "300")
    assert comparison.folder == tmp_path


def test_settings_are_given_by_name_and_seeds_are_averaged(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    comparison = compare(data, ["sigmoid"], tmp_path, settings={"sigmoid": QUICK}, seeds=2, seed=5)
    entry = comparison.entries[1]
    values = [
        train("sigmoid", data, tmp_path, settings=QUICK, seed=seed).metrics["srcc"]
        for seed in (5, 6)
    ]
    assert entry.repeats == 2
    assert entry.measures["srcc"].value == pytest.approx(sum(values) / 2)
    assert entry.deviation["srcc"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_heads_that_need_votes_are_left_out_unless_asked_for(
    planted_means: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    means = load_splits(planted_means)
    with pytest.raises(HeadError, match="distributions need vote counts"):
        compare(means, ["ridge-dist"], tmp_path)
    compare(means, ["ridge"], tmp_path)
    assert "Left out" not in capsys.readouterr().err


def test_folds_predict_every_photograph_once(data: dict[str, SplitData], tmp_path: Path) -> None:
    folding = fold_photographs(data, 3, limit=200)
    comparison = cross_validate(data, folding, ["ridge"], tmp_path)
    assert comparison.folder == tmp_path / "folds-3"
    assert comparison.title.n == sum(len(part) for part in data.values())
    assert comparison.title.trained_on == "about 200 in each of 3 folds"
    assert comparison.entries[1].n_train == 200
    assert comparison.entries[1].measures["srcc"].verdict
    assert comparison.layers == {}


def test_folds_of_several_layers_set_closed_forms_on_all_against_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_splits(plant(tmp_path / "features", Plan(block=24)), limit=100)
    given = ["ridge", "ridge-dist", "constant"]
    both = cross_validate(data, fold_photographs(data, 2), given, tmp_path / "both")
    assert "Trained again, on the last layer alone: ridge, ridge-dist." in capsys.readouterr().err
    top = cross_validate(data, fold_photographs(data, 2, layers="top"), given, tmp_path / "top")
    assert top.layers == {}
    for name in ("ridge", "ridge-dist"):
        found = both.layers[name][0]
        all_of_them, last = (
            next(e.sample for e in done.entries if e.head == name) for done in (both, top)
        )
        (expected,) = contest(("multi", all_of_them), ("top", last), ("srcc",))
        assert found == expected
        assert found.winner == "multi"
    runs = sorted(path.name for path in (tmp_path / "both" / "folds-2").iterdir())
    assert len(runs) == 5
    assert {*given} < {*runs}


def test_a_network_alone_is_set_against_itself_on_the_last_layer(tmp_path: Path) -> None:
    data = load_splits(plant(tmp_path / "features", Plan(block=24)), limit=100)
    folding = fold_photographs(data, 2)
    done = cross_validate(data, folding, ["sigmoid"], tmp_path, settings={"sigmoid": QUICK})
    assert list(done.layers) == ["sigmoid"]
    assert done.entries[1].cost.seconds
    assert cross_validate(data, folding, ["constant"], tmp_path).layers == {}
