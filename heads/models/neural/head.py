"""The neural heads emd, sigmoid, tanh, binary and columns: a network with a task.

Owns fitting and predicting; the network is in `networks`, the loop in `trainer`, the meaning of
the outputs in `tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from heads.data.distributions import emd
from heads.data.features import mean_of_views, memory_budget
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.models.base import History
from heads.models.calibration import calibration_note, fit_platt, platt_probability
from heads.models.neural.dropout import dropouts
from heads.models.neural.epochs import Learner, Measure, make_measure
from heads.models.neural.inputs import Photographs, Standardiser, spans, standardiser
from heads.models.neural.network import (
    Shape,
    build_body,
    forward,
    load_model,
    loss_of,
    model_from_state,
    model_state,
    save_model,
    start_at,
    whole_model,
)
from heads.models.neural.precision import precision_of
from heads.models.neural.settings import NetworkSettings
from heads.models.neural.tasks import TASKS, SignedMeanTask, Task, restore_task, task_values
from heads.models.neural.training import Training, make_optimizer, train

PREDICT_ROWS = 8192
# The history's figures on train are measured on so many photographs, without dropout, so that
# they compare with those on val and cost little.
MEASURED_ROWS = 5000
# Between the seeds of an ensemble's members, so that runs with seeds 0, 1, 2, ... share none.
SEED_STEP = 1_000_003


class NeuralHead:
    """A head that Keras trains.

    Args:
        name: which; a key of `heads.models.neural.tasks.TASKS`.
        settings: how to build and train it.

    Attributes:
        model_: Keras model from raw features (n, D) to outputs, standardisation inside.
        task_: what was learned of the labels.
        platt_: (a, b) of p_beautiful = sigmoid(a score + b), None where the head has its own.
        precision_: what it was trained in, float32 or bfloat16.
        best_epoch_: the epoch whose weights the (first) network has.
        note_: what must be said of its probabilities, mostly ''.
    """

    def __init__(self, name: str, settings: NetworkSettings) -> None:
        self.name = name
        self.settings = settings

    def fit(self, X: Any, labels: Labels, X_val: Any, labels_val: Labels, *, seed: int) -> History:
        """Train on (n, V, D) features and return the history; val calibrates probabilities.

        Raises:
            HeadError: the labels do not suffice for this head, or training diverged.
        """
        _check_enough(self.name, labels, labels_val)
        task = TASKS[self.name].learn(labels)
        settings = self.settings.resolved(self.name, len(labels), X.shape[2])
        photographs = Photographs(X, mean_only=settings.views == "mean")
        scaler = standardiser(photographs, settings)
        lesson = _Lesson(self.name, task, settings, scaler, photographs, labels, X_val, labels_val)
        memory = memory_budget(X)
        taught = [lesson.teach(memory, seed + SEED_STEP * i) for i in range(settings.ensemble or 1)]
        self.model_ = whole_model([member.body for member in taught], scaler)
        self.best_epoch_ = taught[0].best_epoch
        self.task_, self.precision_ = task, precision_of(settings)
        if isinstance(task, SignedMeanTask):
            self.task_ = task.stretched(self._outputs(X))
        self._calibrate(X_val, labels_val)
        return _mean_history([member.history for member in taught])

    def _calibrate(self, X_val: Any, labels_val: Labels) -> None:
        self.platt_, self.note_ = None, ""
        if not self.task_.ranking_only:
            score = self.task_.decode(self._outputs(X_val)).score
            self.platt_ = fit_platt(score, labels_val.beautiful)
            self.note_ = calibration_note(score, labels_val.beautiful)

    def predict(self, X: Any) -> Prediction:
        """Predict from the mean of each photograph's views; X is (n, V, D).

        Raises:
            HeadError: another number of features than it was trained on.
        """
        outputs = self._outputs(X)
        decoded = self.task_.decode(outputs)
        if self.platt_ is None:
            p_beautiful = outputs[:, 0].astype(np.float64)
        else:
            a, b = self.platt_
            p_beautiful = platt_probability(decoded.score, a, b)
        return Prediction(
            score=decoded.score,
            p_beautiful=p_beautiful,
            distribution=decoded.distribution,
            ranking_only=self.task_.ranking_only,
        )

    def _outputs(self, X: Any) -> npt.NDArray[np.float32]:
        expected = self.model_.input_shape[-1]
        if X.shape[2] != expected:
            raise HeadError(
                f"The head {self.name} was trained on {expected} features a photograph, and these "
                f"have {X.shape[2]}. Extract them as its cache was made."
            )
        pieces = [
            forward(self.model_, mean_of_views(np.asarray(X[start:stop])))
            for start, stop in spans(X.shape[0], PREDICT_ROWS)
        ]
        return np.concatenate([np.zeros((0, self.model_.output_shape[-1]), np.float32), *pieces])

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, object]]:
        """Return the model's arrays and, as JSON values, all else that predicting needs."""
        values: dict[str, object] = {
            "head": self.name,
            "n_features": int(self.model_.input_shape[-1]),
            "width": int(self.model_.output_shape[-1]),
            "task": task_values(self.task_),
            "platt": None if self.platt_ is None else list(self.platt_),
            "precision": self.precision_,
            "best_epoch": self.best_epoch_,
            "note": self.note_,
        }
        return model_state(self.model_), values

    @classmethod
    def from_state(
        cls,
        settings: NetworkSettings,
        arrays: Mapping[str, npt.NDArray[Any]],
        values: Mapping[str, Any],
    ) -> NeuralHead:
        """Rebuild a trained head from `state`."""
        shape = Shape(values["n_features"], values["width"], TASKS[values["head"]].activation)
        return cls._restored(settings, model_from_state(settings, shape, arrays), values)

    @classmethod
    def _restored(
        cls, settings: NetworkSettings, model: Any, values: Mapping[str, Any]
    ) -> NeuralHead:
        head = cls(values["head"], settings)
        head.model_ = model
        head.task_ = restore_task(values["head"], values["task"])
        head.platt_ = None if values["platt"] is None else (values["platt"][0], values["platt"][1])
        head.precision_ = str(values.get("precision", "float32"))
        head.best_epoch_ = int(values["best_epoch"])
        head.note_ = str(values["note"])
        return head

    def save_model(self, path: Path) -> None:
        """Write the Keras model, from raw features to outputs."""
        save_model(self.model_, path)

    @classmethod
    def load_model(
        cls, settings: NetworkSettings, path: Path, values: Mapping[str, Any]
    ) -> NeuralHead:
        """Rebuild a trained head from a saved model and the values of `state`.

        Raises:
            RunError: the file is missing or no Keras model.
        """
        return cls._restored(settings, load_model(path), values)


def _check_enough(head: str, labels: Labels, labels_val: Labels) -> None:
    for split, given, hint in (
        ("training", labels, "Extract more photographs or raise --limit."),
        ("validation", labels_val, "Extract a val split (--val-fraction above 0)."),
    ):
        if len(given) < 1 + (split == "training"):
            raise HeadError(f"The head {head} has {len(given)} {split} photographs. {hint}")


@dataclass(frozen=True, eq=False)
class _Taught:
    body: Any
    history: History
    best_epoch: int


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What every member of an ensemble is taught; `settings` are resolved."""

    head: str
    task: Task
    settings: NetworkSettings
    scaler: Standardiser
    photographs: Photographs
    labels: Labels
    X_val: Any
    labels_val: Labels

    def teach(self, memory_bytes: int, seed: int) -> _Taught:
        """Train one network."""
        targets, n, X = self.task.encode(self.labels), len(self.photographs), self.photographs.X
        body = build_body(
            self.settings, Shape(X.shape[2], targets.shape[1], self.task.activation), seed
        )
        if self.settings.start == "mean":
            start_at(body, self.task.start_bias(targets))
        learner = Learner(
            body,
            make_optimizer(self.settings, n),
            loss_of(self.task.loss, self.settings),
            dropouts(self.settings, X.shape[2]),
            self.settings,
        )
        measure = make_measure(body, learner.loss)
        step = -(-n // MEASURED_ROWS)
        part = self.labels.take(np.arange(0, n, step))
        training = Training(
            photographs=self.photographs,
            standardiser=self.scaler,
            targets=targets,
            memory_bytes=memory_bytes,
            on_train=_Measured.of(self, measure, np.asarray(X[::step]), part),
            on_val=_Measured.of(self, measure, self.X_val, self.labels_val),
            label=self.head,
        )
        return _Taught(body, *train(learner, training, seed=seed))


def _mean_history(histories: list[History]) -> History:
    """Return the mean over the members of an ensemble, for the epochs that all of them have."""
    return [
        {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for rows in zip(*histories, strict=False)
    ]


@dataclass(frozen=True, eq=False)
class _Measured:
    """Photographs whose loss, MSE of the mean and EMD are taken again and again.

    `inputs` (n, D) and `targets` (n, width) are tensors, what `measure` takes.
    """

    task: Task
    measure: Measure
    inputs: Any
    targets: Any
    labels: Labels

    @classmethod
    def of(cls, lesson: _Lesson, measure: Measure, X: Any, labels: Labels) -> _Measured:
        inputs = ops.convert_to_tensor(lesson.scaler.apply(mean_of_views(X)))
        targets = ops.convert_to_tensor(lesson.task.encode(labels))
        return cls(lesson.task, measure, inputs, targets, labels)

    def __call__(self) -> dict[str, float]:
        """Return loss and, where the head has them, mse and emd_r2 as the network is now."""
        outputs, loss = map(ops.convert_to_numpy, self.measure(self.inputs, self.targets))
        figures = {"loss": float(loss)}
        if self.task.ranking_only:
            return figures
        decoded = self.task.decode(outputs)
        figures["mse"] = float(np.mean((decoded.score - self.labels.mean) ** 2))
        if decoded.distribution is not None:
            gaps = emd(decoded.distribution, self.labels.distribution, r=2)
            figures["emd_r2"] = float(np.mean(gaps))
        return figures
