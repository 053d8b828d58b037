"""Every head by name: what it is, how it is made, and how it comes back from a run.

To add a head, write its class into a module of its own and `register` it here. Importing this loads
no framework and not even numpy; what a head's class says is read when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import EngineError
from cache.frameworks import importing_keras, refuse_old_keras
from cache.text import quoted
from heads.errors import HeadError
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings

if TYPE_CHECKING:
    from heads.data.labels import Labels
    from heads.models.base import About, Arrays, Head

FLOOR = "constant"


Settings = NetworkSettings | ClosedFormSettings


def settings_from_dict(values: Mapping[str, Any] | None) -> Settings:
    """Rebuild a head's settings from `to_dict`. Raises HeadError for values out of range."""
    if values is None or "penalty" in values:
        return ClosedFormSettings(**(values or {}))
    return NetworkSettings.from_dict(values)


@dataclass(frozen=True)
class HeadEntry:
    """Where a head is: `place` is MODULE:CLASS.

    The class of a `neural` head is its `Task`; a network is trained for it. Any other is
    the `Head` itself, solved in closed form.
    """

    name: str
    place: str
    neural: bool

    def load(self) -> Any:
        """Import the class: keras and scikit-learn are not loaded by that."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)

    @property
    def about(self) -> About:
        """What the class says of the head."""
        about: About = self.load().about
        return about

    @property
    def default_settings(self) -> Settings:
        """Tuned settings."""
        settings: Settings = self.load().tuned
        return settings

    @property
    def blog_settings(self) -> Settings:
        """Those of the blog post "Beautiful or not?"."""
        settings: Settings = self.load().blog if self.neural else self.with_labels("hard")
        return settings

    def with_labels(self, labels: str) -> Settings:
        """Return the tuned settings with soft or hard labels, where there is such a choice."""
        tuned = self.default_settings
        return replace(tuned, labels=labels) if self.about.ranking_only else tuned

    def seen(self, settings: Settings, labels: Labels) -> Labels:
        """Return the labels that the head is to learn from: hard ones have no votes."""
        hard = self.about.ranking_only and settings.labels == "hard"
        return labels.without_votes() if hard else labels

    def resolve(self, settings: Settings, n: int, widths: Sequence[int]) -> Settings:
        """Return settings in which nothing is left to n photographs with layers of these widths."""
        if isinstance(settings, ClosedFormSettings):
            return settings
        rate: float = self.load().linear_rate
        return settings.resolve(n, widths, rate)


HEADS: dict[str, HeadEntry] = {}


def register(name: str, place: str, *, neural: bool = False) -> None:
    """Make a head known: `place` is MODULE:CLASS, see `HeadEntry`."""
    HEADS[name] = HeadEntry(name, place, neural)


register("constant", "heads.models.constant:ConstantHead")
register("mean-ratings", "heads.models.constant:MeanRatingsHead")
register("metadata", "heads.models.metadata:MetadataHead")
register("challenge-mean", "heads.models.metadata:ChallengeMeanHead")
register("logistic", "heads.models.logistic:LogisticHead")
register("ridge", "heads.models.ridge:RidgeHead")
register("ridge-dist", "heads.models.ridge:RidgeDistHead")
register("emd", "heads.models.neural.tasks:DistributionTask", neural=True)
register("sigmoid", "heads.models.neural.tasks:UnitMeanTask", neural=True)
register("tanh", "heads.models.neural.tasks:SignedMeanTask", neural=True)
register("binary", "heads.models.neural.tasks:BeautifulTask", neural=True)
register("columns", "heads.models.neural.tasks:ColumnsTask", neural=True)


def neural_heads() -> tuple[str, ...]:
    """Return the names of the heads that take settings."""
    return tuple(name for name, entry in HEADS.items() if entry.neural)


def find_head(name: str) -> HeadEntry:
    """Return the entry of a head.

    Raises:
        HeadError: there is no such head.
    """
    if name not in HEADS:
        raise HeadError(f"There is no head {quoted(name)}; there are {', '.join(HEADS)}.")
    return HEADS[name]


def make_head(name: str, settings: Settings | None = None) -> Head:
    """Make an untrained head; with its tuned settings where none are given.

    Raises:
        HeadError: there is no such head, or it takes no settings.
        EngineError: Keras' backend is not TensorFlow.
    """
    entry = find_head(name)
    if entry.neural:
        load_keras()
        from heads.models.neural.head import NeuralHead

        chosen = settings if isinstance(settings, NetworkSettings) else NetworkSettings()
        return NeuralHead(entry.load(), chosen)
    if isinstance(settings, NetworkSettings):
        raise HeadError(
            f"The head {name} has no such settings: it is solved directly and chooses its penalty "
            f"itself. Leave out --hidden, --lr and the like, or train {', '.join(neural_heads())}."
        )
    head: Head = entry.load()()
    return head


def load_neural_head(
    name: str, settings: NetworkSettings, arrays: Arrays, values: Mapping[str, Any]
) -> Head:
    """Rebuild a neural head from the arrays and the values of its state.

    Raises:
        HeadError: there is no such head.
        EngineError: Keras' backend is not TensorFlow.
        ValueError, KeyError: the arrays do not fit the settings.
    """
    load_keras()
    from heads.models.neural.head import NeuralHead

    return NeuralHead.from_state(find_head(name).load(), settings, arrays, values)


def weights_of_keras_file(path: Path) -> Arrays:
    """Return the arrays of a model.keras, in which earlier versions kept networks.

    Raises:
        ValueError, KeyError, OSError, BadZipFile: it is damaged.
    """
    load_keras()
    from heads.models.neural.network import weights_of_keras_file

    return weights_of_keras_file(path)


def load_keras() -> None:
    """Import Keras and TensorFlow without TensorFlow's greetings on stderr.

    Raises:
        EngineError: Keras is too old, or has another backend.
    """
    refuse_old_keras()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with importing_keras():
        import keras
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise EngineError(
            f"Networks are trained and used with Keras' backend tensorflow; it is {backend}. Set "
            "KERAS_BACKEND=tensorflow, or choose heads that are solved directly, such as ridge."
        )
