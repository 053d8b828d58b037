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
from cache.text import shown
from heads.errors import HeadError
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings, override
from heads.models.own.settings import OwnSettings

if TYPE_CHECKING:
    from heads.data.labels import Labels
    from heads.models.base import About, Arrays, Head
    from heads.models.own.entry import OwnEntry

FLOOR = "constant"
# Entry points of packages that offer heads.
GROUP = "aesthetic_heads.heads"


Settings = NetworkSettings | ClosedFormSettings | OwnSettings


def settings_from_dict(values: Mapping[str, Any] | None) -> Settings:
    """Rebuild a head's settings from `to_dict`. Raises HeadError for values out of range."""
    if values is not None and "place" in values:
        return OwnSettings.from_dict(values)
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

    @property
    def draws(self) -> bool:
        """Whether the seed changes anything."""
        return self.neural

    def make(self, settings: Settings | None = None) -> Head:
        """Return an untrained head; see `make_head`."""
        return make_head(self.name, settings)

    def load(self) -> Any:
        """Import the class: keras is not loaded by that."""
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
        if isinstance(tuned, OwnSettings) or not self.about.ranking_only:
            return tuned
        return replace(tuned, labels=labels)

    def seen(self, settings: Settings, labels: Labels) -> Labels:
        """Return the labels that the head is to learn from: hard ones have no votes."""
        hard = self.about.ranking_only and getattr(settings, "labels", None) == "hard"
        return labels.without_votes() if hard else labels

    def resolve(self, settings: Settings, n: int, widths: Sequence[int]) -> Settings:
        """Return settings in which nothing is left to n photographs with layers of these widths."""
        if not isinstance(settings, NetworkSettings):
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
register("pairs", "heads.models.pairs:PairsHead")
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


def find_head(head: Any) -> HeadEntry | OwnEntry:
    """Return the entry of a head: of a registered name, or of one's own as `own_head` takes it.

    A name may be MODULE:NAME too, or that of an entry point `aesthetic_heads.heads`.

    Raises:
        HeadError: there is no such head.
    """
    if isinstance(head, HeadEntry):
        return head
    if isinstance(head, str) and head in HEADS:
        return HEADS[head]
    from heads.models.own.entry import found_head, own_head

    entry = found_head(head) if isinstance(head, str) else own_head(head)
    if entry is None:
        raise HeadError(
            f"There is no head {shown(head)}; there are {', '.join(HEADS)}, and heads of your own "
            "as MODULE:NAME."
        )
    if entry.name in HEADS:
        raise HeadError(
            f"A head of your own cannot be called {entry.name}, as one of ours is. Give it another "
            "name: own_head(..., name='my-head')."
        )
    return entry


def about_head(name: str) -> About:
    """Return what is said of a head by its name; heads of one's own look at photographs."""
    from heads.models.base import About

    return HEADS[name].about if name in HEADS else About(name, "")


def changed_settings(
    entry: HeadEntry | OwnEntry, settings: Settings | None, changes: Mapping[str, Any]
) -> Settings:
    """Return settings, the tuned ones if None, with single ones changed.

    Raises:
        HeadError: a value is out of range, or the head has no such setting.
    """
    chosen = settings or entry.default_settings
    if "labels" in changes and not (isinstance(entry, HeadEntry) and entry.about.ranking_only):
        raise HeadError(
            f"The head {entry.name} has no setting labels: it learns the votes or their mean as "
            "they are. Leave out --labels, or train logistic or binary."
        )
    if isinstance(chosen, NetworkSettings):
        return override(chosen, changes)
    if isinstance(chosen, OwnSettings) and chosen.network is not None:
        return replace(chosen, network=override(chosen.network, changes))
    if wrong := sorted(changes.keys() - {"labels"}):
        raise HeadError(
            f"The head {entry.name} has no setting {', '.join(wrong)}: it is solved directly and "
            "chooses its penalty itself. Leave them out, or train one of "
            f"{', '.join(neural_heads())}."
        )
    if changes and isinstance(entry, HeadEntry):
        return entry.with_labels(changes["labels"])
    return chosen


def make_head(name: str, settings: Settings | None = None) -> Head:
    """Make an untrained head; with its tuned settings where none are given.

    Raises:
        HeadError: there is no such head, or it takes no settings.
        EngineError: Keras' backend is not TensorFlow.
    """
    entry = find_head(name)
    if not isinstance(entry, HeadEntry):
        return entry.make(entry.default_settings)
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

    return NeuralHead.from_state(HEADS[name].load(), settings, arrays, values)


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
