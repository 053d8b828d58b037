"""Our heads and features as scikit-learn uses estimators: its own checks, searches, pickles."""

from __future__ import annotations

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from cache.errors import StaleCacheError
from heads import AestheticClassifier, AestheticRegressor, MobileNetV2Features, estimators, own_head
from heads.data.features import mean_of_views
from heads.data.splits import load_splits
from heads.errors import HeadError
from heads.metrics.weighted import spearman
from heads.photos import Unreadable
from heads.testing import planted
from tests.cheap import Opener
from tests.heads.models.own.heads_of_tests import NearestHead
from tests.heads.planted import keras_saves
from tests.heads.scoring.opened import mixed
from tests.heads.studio import Studio, picture

pytestmark = keras_saves

TRAIN, TEST = planted("train"), planted("test")
X, X_TEST = mean_of_views(TRAIN.X), mean_of_views(TEST.X)
MEANS, VOTES = TRAIN.labels.mean, TRAIN.labels.votes
GROUPS = np.arange(len(X)) // 4
QUICK = {"epochs": 3, "ensemble": 1}


@parametrize_with_checks(
    [
        AestheticRegressor(),
        AestheticRegressor(own_head(KNeighborsRegressor(1), name="nearest")),
        AestheticClassifier(),
    ]
)
def test_scikit_learns_own_checks_pass(estimator: object, check: object) -> None:
    check(estimator)


def test_of_what_takes_photographs_scikit_learn_checks_what_needs_no_numbers() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator MobileNetV2Features"):
        check_estimator(MobileNetV2Features())


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["ridge-dist", "emd"])
def test_counts_of_votes_give_distributions(head: str) -> None:
    settings = QUICK if head == "emd" else None
    model = AestheticRegressor(head, settings=settings).fit(X, VOTES, groups=GROUPS)
    shares = model.predict_distribution(X_TEST)
    assert shares.shape == (120, 7)
    np.testing.assert_allclose(shares @ np.arange(1, 8), model.predict(X_TEST))
    assert spearman(model.predict(X_TEST), TEST.labels.mean) > 0.3
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_distribution(X_TEST), shares)


def test_the_score_of_votes_is_that_of_their_means() -> None:
    model = AestheticRegressor().fit(X, VOTES)
    assert model.score(X_TEST, TEST.labels.votes) == model.score(X_TEST, TEST.labels.mean) > 0.7
    again = clone(model).fit(X, VOTES)
    assert np.array_equal(again.predict(X_TEST), model.predict(X_TEST))


def test_a_head_learns_what_it_learns_without_scikit_learn() -> None:
    """All rows but those that are chosen on, as they are."""
    model = AestheticRegressor(NearestHead).fit(X, MEANS)
    known = model.head_.known_
    assert known.shape == (360, 24)
    trained = (X[:, None] == known).all(axis=2).any(axis=1)
    assert np.array_equal(model.predict(X[trained]), MEANS[trained])


class Watching(NearestHead):
    """Notes whom it was given."""

    def fit(self, X, labels, X_val, labels_val, *, seed):
        self.groups_ = set(labels.group), set(labels_val.group)
        return super().fit(X, labels, X_val, labels_val, seed=seed)


def test_groups_are_not_parted_between_what_is_trained_and_what_is_chosen_on() -> None:
    train, val = AestheticRegressor(Watching).fit(X, MEANS, groups=GROUPS).head_.groups_
    assert not train & val
    assert train | val == set(map(str, GROUPS))
    half = AestheticRegressor(Watching, validation_fraction=0.5).fit(X, MEANS, groups=GROUPS)
    assert len(half.head_.groups_[1]) == 50


def test_held_out_rows_of_one_class_are_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    AestheticClassifier().fit(X, np.arange(len(X)) == 7)
    assert "All 40 photographs that probabilities could be learned from are not beautiful" in (
        capsys.readouterr().err
    )


@config_context(enable_metadata_routing=True)
def test_groups_arrive_in_the_folds_of_a_pipeline() -> None:
    model = make_pipeline(
        StandardScaler(), AestheticRegressor(Watching).set_fit_request(groups=True)
    )
    done = cross_validate(
        model, X, MEANS, params={"groups": GROUPS}, cv=GroupKFold(2), return_estimator=True
    )
    for fitted in done["estimator"]:
        train, val = fitted[-1].head_.groups_
        assert len(train | val) == 50
        assert not train & val


def test_folds_searches_and_pipelines_take_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_pipeline(StandardScaler(), AestheticRegressor("ridge-dist"))
    folds = cross_val_score(model, X, VOTES, groups=GROUPS, cv=GroupKFold(4))
    assert folds.min() > 0.5
    search = GridSearchCV(
        AestheticClassifier(),
        {"head": ["constant", "logistic"]},
        scoring="roc_auc",
        cv=3,
        error_score="raise",
    )
    assert search.fit(X, MEANS > 4).best_params_ == {"head": "logistic"}
    assert not list(tmp_path.iterdir()), "fitting writes nothing"
    joblib.dump(search, "search.joblib")
    kept = joblib.load("search.joblib")
    assert np.array_equal(kept.predict_proba(X_TEST), search.predict_proba(X_TEST))


def test_labels_of_any_kind_come_back_as_they_were() -> None:
    names = np.where(MEANS > 4, "picked", "left")
    model = AestheticClassifier("binary", settings=QUICK).fit(X, names)
    assert model.classes_.tolist() == ["left", "picked"]
    right = np.where(TEST.labels.mean > 4, "picked", "left")
    assert model.score(X_TEST, right) > 0.6
    assert pickle.loads(pickle.dumps(model)).score(X_TEST, right) == model.score(X_TEST, right)


@pytest.mark.parametrize(
    ("model", "y", "error", "said"),
    [
        (AestheticRegressor("logistic"), MEANS, HeadError, "Give it to AestheticClassifier"),
        (AestheticRegressor("emd"), MEANS, HeadError, r"y is to be counts of votes \(n, K\)"),
        (AestheticRegressor("nothing"), MEANS, HeadError, "There is no head nothing"),
        (AestheticRegressor(settings={"lr": 1}), MEANS, HeadError, "has no setting lr"),
        (AestheticRegressor(), VOTES / 2, ValueError, r"counts of votes for the ratings 1\.\.K"),
        (AestheticRegressor(), np.ones(400), ValueError, "it must have some width"),
        (AestheticRegressor(scale=(2, 5)), MEANS, ValueError, r"the scale is 2\.\.5: it must"),
        (AestheticClassifier("ridge"), MEANS > 4, HeadError, "learns mean scores"),
        (AestheticClassifier(), MEANS > 9, ValueError, "all 400 are of one class"),
        (AestheticClassifier(), MEANS.astype(int), ValueError, "Only binary classification is"),
    ],
)
def test_what_a_head_cannot_learn_is_refused(
    model: object, y: np.ndarray, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        model.fit(X, y)


def test_a_head_of_scores_has_no_distributions() -> None:
    with pytest.raises(HeadError, match="The head ridge predicts scores alone"):
        AestheticRegressor().fit(X, VOTES).predict_distribution(X)


# --- photographs ----------------------------------------------------------------------------------


@pytest.fixture
def engine(cheap_engine: Opener) -> Opener:
    estimators._opened.cache_clear()
    return cheap_engine


def maker(studio: Studio, **options: object) -> MobileNetV2Features:
    return MobileNetV2Features(weights=studio.weights, jobs=2, **options)


@pytest.mark.usefixtures("engine")
def test_photographs_become_the_features_that_a_cache_holds(studio: Studio) -> None:
    part = load_splits(studio.features)["test"]
    paths = [studio.photographs / "images" / Path(path).name for path in part.labels.path]
    features = maker(studio).transform(paths)
    assert features.dtype == np.float32
    assert np.array_equal(features, mean_of_views(part.X))
    table = maker(studio).set_output(transform="pandas").fit_transform(map(str, paths[:2]))
    assert table.shape == (2, 1280)
    assert table.columns[1279] == "mobilenetv2features1279"
    assert maker(studio, layers="multi", views="flip").transform(paths[0]).shape == (1, 2784)
    assert maker(studio).transform([]).shape == (0, 1280)


def test_a_pipeline_goes_from_paths_to_scores_and_keeps_features(
    studio: Studio, engine: Opener, tmp_path: Path
) -> None:
    keep = tmp_path / "photos.kept"
    model = make_pipeline(maker(studio, keep=keep), AestheticRegressor())
    paths = np.array([str(studio.path(number)) for number in range(60)])
    y = np.array([np.asarray(picture(number)).mean() for number in range(60)])
    folds = cross_val_score(model, paths, y, groups=np.arange(60) // 3, cv=GroupKFold(3))
    assert folds.min() > 0.3
    opened = engine.engine
    assert opened is not None
    asked = opened.batches
    scores = model.fit(paths, y).predict(paths)
    again = pickle.loads(pickle.dumps(model)).predict(paths)
    assert np.array_equal(again, scores)
    assert (engine.engine, opened.batches) == (opened, asked), "nothing was computed again"
    with pytest.raises(StaleCacheError, match="Name another file"):
        maker(studio, keep=keep, views="whole").transform(paths)


@pytest.mark.usefixtures("engine")
def test_a_photograph_that_cannot_be_read_is_named(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"rubbish\.jpg: .*image.*\. Leave it out\."):
        maker(studio).transform(mixed(tmp_path))
