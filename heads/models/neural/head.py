"""The neural heads: networks with a task.

Owns fitting and predicting; the networks are in `heads.models.neural.network`, the loop in
`heads.models.neural.training`, the meaning of the outputs in `heads.models.neural.tasks`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from heads.data.features import FeatureRows, mean_of_views
from heads.data.labels import Labels
from heads.data.predictions import Prediction, ranking_score
from heads.errors import HeadError
from heads.models.base import Answers, Arrays, History, State, Values, need_means, need_photographs
from heads.models.calibration import calibrate, platt_probability
from heads.models.neural.epochs import for_this_machine
from heads.models.neural.inputs import spans
from heads.models.neural.network import (
    Network,
    forward,
    model_state,
    rebuilt_model,
    whole_model,
)
from heads.models.neural.settings import NetworkSettings
from heads.models.neural.tasks import BeautifulTask, StretchedTask, Task
from heads.models.neural.training import prepared, train

PREDICT_ROWS = 8192
# Between the seeds of an ensemble's members, so that runs with seeds 0, 1, 2, ... share none.
SEED_STEP = 1_000_003


class NeuralHead:
    """A head that Keras trains.

    Args:
        task: the class of what it learns.
        settings: how to build and train it.

    Attributes:
        model_: Keras model from raw features (n, D) to outputs, standardisation inside.
        task_: what was learned of the labels.
        platt_: (a, b) of p_beautiful = sigmoid(a value + b), where value is the score, or the
            log-odds of a head that only ranks.
        precision_: what it was trained in, float32 or bfloat16.
        best_epoch_: the epoch whose weights the (first) network has.
        note_: what must be said of its probabilities, mostly ''.
    """

    # From task, targets, settings, number of features and seed to a network yet to be trained.
    build = staticmethod(Network.build)
    # From trained bodies and what standardises to the model_.
    whole = staticmethod(whole_model)

    def __init__(self, task: type[Task], settings: NetworkSettings) -> None:
        self.about = task.about
        self.task = task
        self.settings = settings

    def fit(
        self, X: FeatureRows, labels: Labels, X_val: FeatureRows, labels_val: Labels, *, seed: int
    ) -> History:
        """Train on (n, V, D) features and return the history; val calibrates probabilities.

        Raises:
            HeadError: the labels do not suffice for this head, or training diverged.
        """
        need_photographs(self.about, labels, labels_val)
        need_means(self.about, labels)
        widths = self.settings.layer_widths or (X.shape[2],)
        settings = for_this_machine(
            self.settings.resolve(len(labels), widths, self.task.linear_rate)
        )
        task = self.task.learn(labels)
        data, evaluations = prepared(task, settings, (X, labels), (X_val, labels_val))
        networks, histories, epochs = [], [], []
        for member in range(settings.ensemble):
            own_seed = seed + SEED_STEP * member
            network = self.build(task, data.targets, settings, X.shape[2], own_seed)
            history, epoch = train(network, data, evaluations, seed=own_seed)
            networks.append(network)
            histories.append(history)
            epochs.append(epoch)
        self.model_ = self.whole([network.body for network in networks], data.standardiser)
        self.task_, self.precision_, self.best_epoch_ = task, str(settings.precision), epochs[0]
        if isinstance(task, StretchedTask):
            self.task_ = task.stretched(self._outputs(X))
        self._calibrate(X_val, labels_val)
        return _mean_history(histories)

    def _calibrate(self, X_val: FeatureRows, labels_val: Labels) -> None:
        value = self.task_.decode(self._outputs(X_val), np)["score"]
        middle = float(labels_val.threshold)
        if isinstance(self.task_, BeautifulTask):
            middle = self.task_.middle
        self.platt_, self.note_ = calibrate(value, labels_val.beautiful, middle)

    def predict(self, X: FeatureRows) -> Prediction:
        """Predict from the mean of each photograph's views; X is (n, V, D).

        Raises:
            HeadError: another number of features than it was trained on.
        """
        answers = self.decode(self._outputs(X), np)
        return Prediction(**answers, ranking_only=self.about.ranking_only)

    def decode(self, outputs: Any, xp: Any) -> Answers:
        """Decode as the task does, with calibrated probabilities."""
        answers = self.task_.decode(outputs, xp)
        p_beautiful = platt_probability(answers["score"], *self.platt_, xp)
        if isinstance(self.task_, BeautifulTask):
            answers["score"] = ranking_score(p_beautiful, self.task_.scale)
        return {**answers, "p_beautiful": p_beautiful}

    def _outputs(self, X: FeatureRows) -> Any:
        """Return the outputs (n, width) float64 of the mean of the views."""
        expected = self.model_.input_shape[-1]
        if X.shape[2] != expected:
            raise HeadError(
                f"The head {self.about.name} was trained on {expected} features a photograph, and "
                f"these have {X.shape[2]}. Make them as those of its own cache."
            )
        outputs = np.empty((X.shape[0], self.model_.output_shape[-1]))
        for start, stop in spans(X.shape[0], PREDICT_ROWS):
            outputs[start:stop] = forward(self.model_, mean_of_views(np.asarray(X[start:stop])))
        return outputs

    def state(self) -> State:
        """Return the model's arrays and, as JSON values, all else that predicting needs."""
        values = {
            "head": self.about.name,
            "n_features": int(self.model_.input_shape[-1]),
            "width": int(self.model_.output_shape[-1]),
            "task": asdict(self.task_),
            "platt": list(self.platt_),
            "precision": self.precision_,
            "best_epoch": self.best_epoch_,
            "note": self.note_,
        }
        return model_state(self.model_), values

    @classmethod
    def from_state(
        cls, task: type[Task], settings: NetworkSettings, arrays: Arrays, values: Values
    ) -> NeuralHead:
        """Rebuild a trained head from `state`.

        Raises:
            ValueError, KeyError: the arrays do not fit the settings.
        """
        head = cls(task, settings)
        head.model_ = rebuilt_model(arrays, settings, task.activation)
        head.take_state(values)
        return head

    def take_state(self, values: Values) -> None:
        """Take all but the model from the values of `state`."""
        self.task_ = self.task(**values["task"])
        # The log-odds of earlier versions were not calibrated.
        a, b = values["platt"] or (1.0, 0.0)
        self.platt_ = (a, b)
        self.precision_ = str(values.get("precision", "float32"))
        self.best_epoch_ = int(values["best_epoch"])
        self.note_ = str(values["note"])


def _mean_history(histories: list[History]) -> History:
    """Return the mean over the members of an ensemble, for the epochs that all of them have."""
    return [
        {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for rows in zip(*histories, strict=False)
    ]
