"""A scikit-learn estimator as a head: a clone of it is fitted to the mean of a photograph's views.

scikit-learn, and skops where it is installed, are imported when they are used. Never imports keras.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np

from cache.types import FloatArray, Scale
from heads.data.distributions import distribution_mean, project_onto_simplex
from heads.data.features import FeatureRows, mean_of_views
from heads.data.labels import Labels
from heads.data.predictions import Prediction, ranking_score
from heads.errors import HeadError, UnsuitableLabelsError
from heads.models.base import About, History, State, Values, need_means, need_photographs
from heads.models.calibration import calibrate, platt_probability
from heads.models.own.code import imported

PREDICT_ROWS = 8192
NO_SKOPS = "skops is not installed (pip install 'aesthetic-heads[skops]')"


class EstimatorHead:
    """A head that fits a clone of a scikit-learn estimator; the estimator itself stays as it is.

    It is given the mean of each photograph's views, (n, D) float32, and learns what `learns` says:
    the mean score (n,), `beautiful` (n,) bool, or the distribution, shares (n, K). Predicted means
    are clipped to the scale and distributions projected onto the simplex; their probabilities are
    calibrated on val, those of a classifier are its own. `random_state` that is None becomes the
    seed.
    """

    def __init__(self, about: About, learns: str, estimator: Any) -> None:
        self.about, self.learns, self.estimator = about, learns, estimator

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Fit the clone on train, and calibrate on val.

        Raises:
            HeadError: mean-only labels where the distribution is learned, labels of 0 and 1 where
                the mean is, one class where there must be two, or too few photographs.
        """
        from sklearn.base import clone

        need_photographs(self.about, labels, labels_val)
        need_means(self.about, labels)
        self.scale_, self.n_features_ = (labels.scale.lo, labels.scale.hi), X.shape[2]
        self.platt_, self.note_ = None, ""
        self.fitted_ = clone(self.estimator)
        self.fitted_.set_params(**dict.fromkeys(undecided(self.fitted_), seed))
        self.fitted_.fit(mean_of_views(X), self._targets(labels))
        if self.learns != "beautiful":
            score = self._answers(self._outputs(X_val))["score"]
            middle = float(labels_val.threshold)
            self.platt_, self.note_ = calibrate(score, labels_val.beautiful, middle)
        return []

    def _targets(self, labels: Labels) -> Any:
        if self.learns == "mean":
            return labels.mean
        if self.learns == "distribution":
            labels.need_votes()
            return labels.distribution
        if labels.beautiful.all() == labels.beautiful.any():
            raise UnsuitableLabelsError(
                f"The head {self.about.name} needs both classes, and all {len(labels)} training "
                "photographs are of one. Choose another --threshold, or train a regressor."
            )
        return labels.beautiful

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from the mean of each photograph's views; X is (n, V, D).

        Raises:
            HeadError: another number of features than it was trained on, or answers of another
                shape than (n,), or (n, K) for distributions.
        """
        if X.shape[2] != self.n_features_:
            raise HeadError(
                f"The head {self.about.name} was trained on {self.n_features_} features a "
                f"photograph, and these have {X.shape[2]}. Make them as those of its own cache."
            )
        answers = self._answers(self._outputs(X))
        if self.platt_ is not None:
            answers["p_beautiful"] = platt_probability(answers["score"], *self.platt_)
        return Prediction(ranking_only=self.about.ranking_only, **answers)

    def _outputs(self, X: FeatureRows) -> FloatArray:
        """Return (n, width) float64 from the estimator, some thousand photographs at a time."""
        width = round(self.scale_[1]) if self.learns == "distribution" else 1
        outputs = np.empty((len(X), width))
        for start in range(0, len(X), PREDICT_ROWS):
            rows = slice(start, min(start + PREDICT_ROWS, len(X)))
            block = mean_of_views(np.asarray(X[rows]))
            outputs[rows] = self._checked(self._asked(block), len(block), width)
        return outputs

    def _asked(self, block: Any) -> Any:
        if self.learns != "beautiful":
            return self.fitted_.predict(block)
        return self.fitted_.predict_proba(block)[:, list(self.fitted_.classes_).index(True)]

    def _checked(self, answers: Any, n: int, width: int) -> FloatArray:
        found = np.asarray(answers, np.float64)
        if found.shape != (n, width) and (width > 1 or found.shape != (n,)):
            raise HeadError(
                f"The head {self.about.name} predicted an array of shape {found.shape} for {n} "
                f"photographs; what learns {self.learns} predicts ({n}, {width})."
            )
        return found.reshape(n, width)

    def _answers(self, outputs: FloatArray) -> dict[str, Any]:
        if self.learns == "mean":
            return {"score": np.clip(outputs[:, 0], *self.scale_), "p_beautiful": outputs[:, 0]}
        if self.learns == "distribution":
            shares = project_onto_simplex(outputs)
            score = distribution_mean(shares)
            return {"score": score, "p_beautiful": score, "distribution": shares}
        score = ranking_score(outputs[:, 0], Scale(*self.scale_))
        return {"score": score, "p_beautiful": outputs[:, 0]}

    def state(self) -> State:
        """Return all that predicting needs besides the estimator (see `packed`)."""
        values = {
            "learns": self.learns,
            "scale": list(self.scale_),
            "n_features": self.n_features_,
            "platt": None if self.platt_ is None else list(self.platt_),
            "note": self.note_,
        }
        return {}, values

    def packed(self) -> tuple[bytes | None, str]:
        """Return the fitted estimator as skops keeps it; or None, and why it cannot be kept.

        Nothing is kept that could not be loaded again without trusting more than the types of
        scikit-learn, numpy and scipy.
        """
        try:
            from skops.io import dumps, get_untrusted_types
        except ImportError:
            return None, NO_SKOPS
        try:
            content: bytes = dumps(self.fitted_)
            foreign = [t for t in get_untrusted_types(data=content) if not _is_sklearns(t)]
        except Exception as error:  # of any estimator, in any way
            return None, f"skops cannot keep it: {error}"
        if foreign:
            return None, f"it holds what is not scikit-learn's: {', '.join(foreign)}"
        return content, ""

    @classmethod
    def from_packed(cls, about: About, values: Values, content: bytes) -> Self:
        """Rebuild a fitted head; no code is run from the file, only types of scikit-learn made.

        Raises:
            HeadError: skops is not installed.
            ValueError, KeyError, TypeError: the file is damaged, or holds other types.
        """
        try:
            from skops.io import get_untrusted_types, loads
        except ImportError:
            raise HeadError(f"{NO_SKOPS}, and this run's model is kept by it.") from None
        trusted = [t for t in get_untrusted_types(data=content) if _is_sklearns(t)]
        head = cls(about, str(values["learns"]), None)
        head.fitted_ = loads(content, trusted=trusted)
        head.scale_, head.n_features_ = tuple(values["scale"]), int(values["n_features"])
        head.platt_ = None if values["platt"] is None else tuple(values["platt"])
        head.note_ = str(values["note"])
        return head


def undecided(estimator: Any) -> list[str]:
    """Return the names of parameters of an estimator that leave its draws to chance."""
    params = estimator.get_params(deep=True).items()
    return [k for k, v in params if k.rpartition("__")[2] == "random_state" and v is None]


def _is_sklearns(name: str) -> bool:
    """Whether a type's full name is that of a class in scikit-learn: no function, no other's."""
    if not name.startswith("sklearn."):
        return False
    try:
        return inspect.isclass(imported(":".join(name.rsplit(".", 1))))
    except HeadError:
        return False
