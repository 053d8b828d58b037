"""A Keras model of one's own as a head, trained by the trainer of our networks.

The function is called as make(n_features=..., n_outputs=...), and again when a run is loaded, which
then sets the weights: nothing but arrays is read from a file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from heads.data.features import Float32Array, signed_root
from heads.errors import HeadError
from heads.models.base import About, Arrays, State, Values
from heads.models.neural.head import NeuralHead
from heads.models.neural.inputs import Standardiser
from heads.models.neural.network import Network
from heads.models.neural.settings import NetworkSettings, ResolvedSettings
from heads.models.neural.tasks import BeautifulTask, DistributionTask, Task, UnitMeanTask

Make = Callable[..., Any]
# What each loss is of, and in what the model's last layer ends.
TASKS: dict[str, tuple[type[Task], str]] = {
    "emd": (DistributionTask, "softmax"),
    "mse": (UnitMeanTask, "sigmoid"),
    "bce": (BeautifulTask, "sigmoid"),
}
PROBED, ROUNDING = 64, 1e-4


class OwnNetworkHead(NeuralHead):
    """A head of a Keras model from standardised features (n, n_features) to (n, n_outputs)."""

    def __init__(self, about: About, loss: str, make: Make, settings: NetworkSettings) -> None:
        task = TASKS[loss][0]
        super().__init__(type(task.__name__, (task,), {"about": about}), settings)
        self.loss, self.make = loss, make

    def build(
        self,
        task: Task,
        targets: Float32Array,
        settings: ResolvedSettings,
        n_features: int,
        seed: int,
    ) -> Network:
        """Return the model, which has learned nothing yet, with its optimizer and loss.

        Raises:
            HeadError: it is no model of these features and outputs, or ends in another activation.
        """
        with _seeded(seed):
            body = self.make(n_features=n_features, n_outputs=targets.shape[1])
        self._check(body, n_features, targets.shape[1])
        return Network.of(body, task, settings, len(targets))

    def _check(self, body: Any, n_features: int, width: int) -> None:
        probe = np.random.default_rng(0).standard_normal((PROBED, n_features)).astype(np.float32)
        outputs = ops.convert_to_numpy(body(probe))
        if outputs.shape != (PROBED, width):
            raise HeadError(
                f"The model of {self.about.name} gives {outputs.shape} for {PROBED} photographs of "
                f"{n_features} features; (n, n_outputs) is expected, here ({PROBED}, {width})."
            )
        inside = outputs.min() >= 0 and outputs.max() <= 1
        if not inside or (self.loss == "emd" and np.ptp(outputs.sum(axis=1)) > ROUNDING):
            raise HeadError(
                f"The model of {self.about.name} must end in the activation "
                f"{TASKS[self.loss][1]} for the loss {self.loss}; its outputs go from "
                f"{outputs.min():.3g} to {outputs.max():.3g}."
            )

    def whole(self, bodies: Sequence[Any], scaler: Standardiser) -> Any:
        """Return the model from raw features to the mean of the bodies' outputs."""
        self.scaler_, self.bodies_ = scaler, list(bodies)
        inputs = keras.Input((len(scaler.mean),))
        x = signed_root(inputs, ops) if scaler.root else inputs
        x = (x - scaler.mean) / scaler.deviation
        outputs = [body(x) for body in bodies]
        return keras.Model(inputs, sum(outputs[1:], start=outputs[0]) / len(outputs))

    def state(self) -> State:
        """Return the arrays of the model and of what standardises, and all else as JSON values."""
        arrays, values = super().state()
        scaler = {"mean": self.scaler_.mean, "deviation": self.scaler_.deviation}
        return {**arrays, **scaler}, {**values, "loss": self.loss}

    @classmethod
    def restored(
        cls, make: Make, settings: NetworkSettings, arrays: Arrays, values: Values
    ) -> Self:
        """Rebuild a trained head from `state`: the function builds, the arrays are its weights.

        Raises:
            ValueError, KeyError: the arrays do not fit what the function builds now.
        """
        loss = str(values["loss"])
        about = About(str(values["head"]), "", ranking_only=loss == "bce")
        head = cls(about, loss, make, settings)
        weights = [arrays[f"weight_{i}"] for i in range(len(arrays) - 2)]
        size = {"n_features": int(values["n_features"]), "n_outputs": int(values["width"])}
        first = make(**size)
        count = len(weights) // len(first.get_weights())
        bodies = [first, *(make(**size) for _ in range(count - 1))]
        root = settings.transform == "root"
        head.model_ = head.whole(bodies, Standardiser(arrays["mean"], arrays["deviation"], root))
        head.model_.set_weights(weights)
        head.take_state(values)
        return head


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let layers without a seed draw theirs from this one; Keras takes them from `random`."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
