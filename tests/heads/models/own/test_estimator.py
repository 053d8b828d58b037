"""scikit-learn estimators as heads: what they learn, how they are kept, when a run is theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

from heads import load_splits, own_head, train
from heads.data.features import mean_of_views
from heads.data.splits import SplitData
from heads.errors import HeadError, RunError, UnsuitableLabelsError
from heads.models.own.entry import own_head as make
from heads.runs.files import load_head, read_config
from tests.heads.models.own.heads_of_tests import Shift

KNN = own_head(KNeighborsRegressor(20), learns="distribution", name="knn")


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


def test_a_regressor_predicts_what_it_would_alone_and_stays_unfitted(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    ridge = Ridge(3.0)
    run = train(ridge, data, tmp_path)
    alone = Ridge(3.0).fit(mean_of_views(data["train"].X), data["train"].labels.mean)
    frame = run.predictions()
    score = frame[frame["split"] == "test"]["score"].to_numpy()
    expected = np.clip(alone.predict(mean_of_views(data["test"].X)), 1, 10)
    np.testing.assert_allclose(score, expected)
    assert not hasattr(ridge, "coef_")


def test_a_classifier_keeps_its_own_probabilities(data: dict[str, SplitData]) -> None:
    head = make(LogisticRegression()).make(make(LogisticRegression()).default_settings)
    some, val = data["train"], data["val"]
    head.fit(some.X, some.labels, val.X, val.labels, seed=0)
    alone = LogisticRegression().fit(mean_of_views(some.X), some.labels.beautiful)
    expected = alone.predict_proba(mean_of_views(val.X))[:, 1]
    np.testing.assert_allclose(head.predict(val.X).p_beautiful, expected)
    ugly = some.labels.take(~some.labels.beautiful)
    with pytest.raises(UnsuitableLabelsError, match="needs both classes, and all"):
        head.fit(some.X[: len(ugly)], ugly, val.X, val.labels, seed=0)


def test_a_run_is_reused_unless_a_parameter_changed(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    assert not train(Ridge(3.0), data, tmp_path).reused
    assert train(Ridge(3.0), data, tmp_path).reused
    other = train(Ridge(4.0), data, tmp_path)
    assert not other.reused
    assert read_config(other.path).settings.params["alpha"] == 4.0


def test_a_random_state_that_is_none_becomes_the_seed(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    trees = ExtraTreesRegressor(5)
    first, second, third = (
        train(trees, data, tmp_path / name, seed=seed).metrics["srcc"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != third


def test_a_kept_estimator_says_the_same_and_another_version_is_refused(
    data: dict[str, SplitData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skops", reason="the extra `skops` is not installed")
    run = train(KNN, data, tmp_path)
    loaded = load_head(run.path).predict(data["test"].X)
    frame = run.predictions()
    expected = frame[frame["split"] == "test"]
    np.testing.assert_array_equal(loaded.score, expected["score"])
    np.testing.assert_allclose(loaded.distribution.sum(axis=1), 1)
    monkeypatch.setattr("sklearn.__version__", "9.9")
    with pytest.raises(RunError, match=r"was fitted by sklearn 1.*here is 9.9.*--overwrite"):
        load_head(run.path)


@pytest.mark.parametrize(("estimator", "why"), [(Shift(), "not scikit-learn's"), (Ridge(), "pip")])
def test_what_cannot_be_kept_says_that_it_cannot_score(
    data: dict[str, SplitData],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    estimator: object,
    why: str,
) -> None:
    if why == "pip":
        monkeypatch.setitem(sys.modules, "skops.io", None)
    else:
        pytest.importorskip("skops", reason="the extra `skops` is not installed")
    run = train(estimator, data, tmp_path)
    with pytest.raises(RunError, match=rf"val and test and cannot score: .*{why}"):
        load_head(run.path)


def test_answers_of_another_shape_are_refused(data: dict[str, SplitData], tmp_path: Path) -> None:
    class Wide(Shift):
        def predict(self, X: object) -> object:
            return np.zeros((len(X), 3))

    with pytest.raises(HeadError, match=r"Wide predicted an array of shape \(150, 3\) for 150"):
        train(Wide(), data, tmp_path)
