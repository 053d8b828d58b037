"""Our features and heads as estimators of scikit-learn, for its pipelines and searches.

    model = make_pipeline(MobileNetV2Features(keep="photos.kept"), AestheticRegressor("ridge"))
    cross_val_score(model, paths, means, groups=shoots, cv=GroupKFold())

Adapters alone: what they compute is the heads' and the extractor's. Fitting writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from cache.console import note
from cache.labels import MAX_LEVELS, MIN_LEVELS, mean_of_votes
from cache.types import FloatArray, Scale
from heads.data.features import Float32Array, mean_of_views
from heads.data.labels import Labels, clusters
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.models.own.estimator import EstimatorHead
from heads.models.registry import Settings, changed_settings, find_head
from heads.photos import Extracted, Unreadable, named_spec, open_extractor, photographs
from heads.runs.files import of_state
from heads.runs.loaded import predicted_alone
from heads.scoring.kept_features import KeptFeatures

# Two to learn from, and one to choose and calibrate on.
FEWEST = 3


class _HeadEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: a head is fitted to most rows, and chooses on the others.

    Attributes:
        head_: the fitted head.
        settings_: those of the head, with nothing left open.
        n_features_in_: D.
    """

    head: Any
    settings: Mapping[str, Any] | None
    validation_fraction: float
    random_state: Any

    def _fit(self, X: Float32Array, labels: Labels) -> Self:
        entry = find_head(self.head)
        drawn = check_random_state(self.random_state).randint(2**31 - 1)
        parting = GroupShuffleSplit(1, test_size=self.validation_fraction, random_state=drawn)
        train, val = next(parting.split(X, groups=clusters(labels.group)))
        chosen = changed_settings(entry, None, dict(self.settings or {}))
        self.settings_: Settings = entry.resolve(chosen, len(train), X.shape[1:])
        head = entry.make(self.settings_)
        rows = X[:, None]
        told = [entry.seen(chosen, labels.take(part)) for part in (train, val)]
        head.fit(rows[train], told[0], rows[val], told[1], seed=drawn)
        if remark := head.state()[1].get("note"):
            note(remark)
        self.head_ = head
        return self

    def _predicted(self, X: Any) -> Prediction:
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float32)
        return predicted_alone(self.head_, rows[:, None])

    def __getstate__(self) -> dict[str, Any]:
        """Keep a head as runs keep it, by its arrays and values; an estimator inside as it is."""
        state = dict(super().__getstate__())
        if "head_" in state and not isinstance(self.head_, EstimatorHead):
            state["head_"] = self.head_.state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(state.get("head_"), tuple):
            entry, (arrays, values) = find_head(self.head), state["head_"]
            source = getattr(entry, "source", None)
            self.head_ = of_state(entry.name, self.settings_, arrays, values, source)


class AestheticRegressor(RegressorMixin, _HeadEstimator):  # type: ignore[misc]
    """A head that learns mean scores or distributions of votes, as a regressor.

    Args:
        head: ridge, ridge-dist, emd, sigmoid, tanh, columns or constant, or one of your own as
            `heads.own_head` takes it; ridge, sigmoid, tanh and constant learn from means too.
        scale: (lo, hi) of the means; the least and the largest of y if None.
        settings: single settings of a network, such as {"hidden": (256,), "lr": 3e-4}.
        validation_fraction: the share of groups, or of rows without any, that is not trained on:
            penalties, epochs and probabilities are chosen on it.
        random_state: what draws them and the head's seed.
    """

    def __init__(
        self,
        head: Any = "ridge",
        *,
        scale: tuple[float, float] | None = None,
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
    ) -> None:
        self.head = head
        self.scale = scale
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the head.

        Args:
            X: (n, D) features.
            y: (n,) mean scores, or (n, K) counts of votes for the ratings 1..K, 2 <= K <= 20.
            groups: (n,) names of what must stay together, such as shoots; each row alone if None.

        Raises:
            HeadError: the head or its settings do not suit y, or there is no such head.
            ValueError: what X or y hold cannot be used.
        """
        X, y = validate_data(
            *(self, X, y),
            dtype=np.float32,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=FEWEST,
        )
        about = find_head(self.head).about
        if about.ranking_only:
            raise HeadError(
                f"The head {about.name} learns beautiful or not. Give it to AestheticClassifier, "
                "or choose one that learns scores, such as ridge."
            )
        if about.needs_votes and not _holds_votes(y):
            raise HeadError(
                f"The head {about.name} learns distributions, so y is to be counts of votes (n, K) "
                f"for the ratings 1..K; got means {np.shape(y)}. For means choose ridge or sigmoid."
            )
        labels = _labels_of_votes(y, groups) if _holds_votes(y) else self._of_means(y, groups)
        return self._fit(X, _Means.of(labels))

    def _of_means(self, y: Any, groups: Any) -> Labels:
        means = column_or_1d(y, dtype=np.float64, warn=True)
        lo, hi = self.scale or (means.min(), means.max())
        if lo >= hi or means.min() < lo or means.max() > hi:
            raise ValueError(
                f"y goes from {means.min():g} to {means.max():g}, the scale is {lo:g}..{hi:g}: it "
                "must have some width and hold all of y. Give AestheticRegressor(scale=(lo, hi))."
            )
        return _labels(means, Scale(float(lo), float(hi)), groups)

    def predict(self, X: Any) -> FloatArray:
        """Return the scores (n,) float64 of (n, D) features; they lie on the scale."""
        return self._predicted(X).score

    def predict_distribution(self, X: Any) -> FloatArray:
        """Return (n, K) float64, the shares of the ratings 1..K; each row sums to 1.

        Raises:
            HeadError: the head predicts scores alone.
        """
        shares = self._predicted(X).distribution
        if shares is None:
            raise HeadError(
                f"The head {self.head_.about.name} predicts scores alone. For distributions fit "
                "emd or ridge-dist to counts of votes."
            )
        return shares

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the predicted scores; y is means (n,) or counts of votes (n, K)."""
        means = mean_of_votes(np.asarray(y)) if _holds_votes(y) else y
        return float(super().score(X, means, sample_weight))


class AestheticClassifier(ClassifierMixin, _HeadEstimator):  # type: ignore[misc]
    """A head that learns beautiful or not, or another label of two, as a classifier.

    Args:
        head: logistic, binary or constant, or one of your own as `heads.own_head` takes it.
        settings, validation_fraction, random_state: as those of `AestheticRegressor`.

    Attributes:
        classes_: (2,) the labels; the second stands for beautiful.
    """

    def __init__(
        self,
        head: Any = "logistic",
        *,
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
    ) -> None:
        self.head = head
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the head.

        Args:
            X: (n, D) features.
            y: (n,) labels, two different ones.
            groups: as of `AestheticRegressor.fit`.

        Raises:
            HeadError: the head or its settings do not suit labels, or there is no such head.
            ValueError: what X or y hold cannot be used.
        """
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=FEWEST)
        check_classification_targets(y)
        if (kind := type_of_target(y)) != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        self.classes_, number = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y needs labels of two classes; all {len(y)} are of one class.")
        return self._fit(X, _labels(number.astype(np.float64), Scale(0.0, 1.0), groups))

    def predict_proba(self, X: Any) -> FloatArray:
        """Return (n, 2) float64, the probabilities of `classes_`."""
        p = self._predicted(X).p_beautiful
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likelier label (n,) of each row of (n, D) features."""
        second = self._predicted(X).p_beautiful > 0.5
        return np.asarray(self.classes_[second.astype(int)])


@dataclass(frozen=True, eq=False, kw_only=True)
class _Means(Labels):
    """Labels that were given as means, so they are that even where all are 0 or 1."""

    @property
    def has_means(self) -> bool:
        return True


def _holds_votes(y: Any) -> bool:
    return np.ndim(y) == 2 and np.shape(y)[1] > 1


def _labels_of_votes(y: npt.NDArray[Any], groups: Any) -> Labels:
    levels = y.shape[1]
    if not MIN_LEVELS <= levels <= MAX_LEVELS or (y != np.floor(y)).any():
        raise ValueError(
            f"y is {y.shape}: with several columns it is counts of votes for the ratings 1..K, "
            f"whole numbers with {MIN_LEVELS} <= K <= {MAX_LEVELS}. Give means as (n,)."
        )
    votes = y.astype(np.int32)
    return _labels(mean_of_votes(votes), Scale(1, levels), groups, votes)


def _labels(
    means: FloatArray, scale: Scale, groups: Any, votes: npt.NDArray[np.int32] | None = None
) -> Labels:
    n = len(means)
    check_consistent_length(means, groups)
    return Labels(
        image_id=np.arange(n).astype(str),
        path=np.full(n, ""),
        group=np.full(n, "") if groups is None else np.asarray(groups).astype(str),
        votes=votes,
        mean=means,
        scale=scale,
        threshold=scale.usual_threshold,
    )


# --- photographs ----------------------------------------------------------------------------------


class MobileNetV2Features(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Photographs to the features that `extract` makes of them; nothing is learned.

    Args:
        views, layers, precision, weights, engine, device: as the options of `extract`; of several
            views the mean is taken.
        jobs: threads, 0 for all cores.
        keep: a file in which features are kept: photographs that have not changed since are not
            read again. It belongs to one fingerprint; features of another are refused.
    """

    def __init__(
        self,
        *,
        views: str = "center",
        layers: str = "top",
        precision: str = "float32",
        weights: str = "auto",
        engine: str = "auto",
        device: str = "auto",
        jobs: int = 0,
        keep: str | Path | None = None,
    ) -> None:
        self.views = views
        self.layers = layers
        self.precision = precision
        self.weights = weights
        self.engine = engine
        self.device = device
        self.jobs = jobs
        self.keep = keep

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Return itself: there is nothing to learn."""
        return self

    def transform(self, X: Any) -> Float32Array:
        """Return (n, D) float32 of n photographs: paths or PIL images.

        Raises:
            TypeError: one is neither.
            Unreadable: one cannot be read; the message says which, and why.
            WeightsError, EngineError: the backbone's weights or the engine are not here.
            StaleCacheError, FormatError: `keep` is of another extractor, or no such file.
        """
        spec = self._spec
        opened = _opened(spec, self.weights, self.engine, self.device, self.jobs)
        stream = opened if self.keep is None else KeptFeatures(Path(self.keep), spec, opened)
        sources = list(photographs(X))
        rows = [_readable(s, each) for s, each in zip(sources, stream(sources), strict=True)]
        stored = np.stack(rows) if rows else np.empty((0, len(spec.views), spec.n_features))
        return mean_of_views(stored)

    @property
    def _spec(self) -> Any:
        return named_spec(
            views=self.views, layers=self.layers, precision=self.precision, weights=self.weights
        )

    @property
    def _n_features_out(self) -> int:
        return int(self._spec.n_features)


# Pipelines are cloned for every fold, and an engine takes seconds to open.
_opened = lru_cache(maxsize=1)(
    lambda spec, weights, engine, device, jobs: open_extractor(
        spec, weights=weights, engine=engine, device=device, jobs=jobs
    )
)


def _readable(source: Any, extracted: Extracted) -> Float32Array:
    if extracted.features is None:
        raise Unreadable(
            f"{getattr(source, 'filename', '') or source}: {extracted.reason}. Leave it out."
        )
    return extracted.features
