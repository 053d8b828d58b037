"""What may be given as a head, and what it is made into: an entry as the registered ones have.

Loads no framework but the one of the head that is given.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any

from cache.text import quoted, shown
from heads.data.labels import Labels
from heads.errors import HeadError
from heads.models.base import About, Arrays, Head, Values
from heads.models.neural.settings import NetworkSettings
from heads.models.own.code import code_of, described, imported, place_of
from heads.models.own.estimator import EstimatorHead, undecided
from heads.models.own.settings import LEARNS, OwnSettings
from heads.models.registry import GROUP, load_keras

HEAD_PARTS = ("about", "fit", "predict", "state", "from_state")
SIZES = ["n_features", "n_outputs"]
LOSSES = {"emd": "distribution", "mse": "mean", "bce": "beautiful"}
# Layers and dropout are the model's own affair.
NETWORK = NetworkSettings(hidden=(), dropout=0.0, input_dropout=0.0, precision="float32")
# The name becomes that of a folder.
NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,79}")
SUMMARIES = {
    "mean": "the mean score",
    "beautiful": "beautiful or not",
    "distribution": "the vote distribution",
}


@dataclass(frozen=True, eq=False)
class OwnEntry:
    """A head of one's own by its name, as `heads.models.registry.HeadEntry` is a registered one.

    `source` is the estimator, class or object that was given, of which every training gets a new
    copy; `draws` whether the seed changes anything.
    """

    name: str
    about: About
    default_settings: OwnSettings
    source: Any
    draws: bool
    neural: bool = False

    def seen(self, settings: object, labels: Labels) -> Labels:
        """Return the labels that the head is to learn from."""
        return labels

    def resolve(self, settings: Any, n: int, widths: Sequence[int]) -> OwnSettings:
        """Return settings in which nothing is left to n photographs with layers of `widths`."""
        resolved: OwnSettings = settings.resolve(n, widths)
        return resolved

    def make(self, settings: Any) -> Head:
        """Return an untrained head; `settings` are an `OwnSettings`."""
        if settings.kind == "estimator":
            return EstimatorHead(self.about, settings.learns, self.source)
        if settings.network is not None:
            load_keras()
            from heads.models.own.network import OwnNetworkHead

            loss = str(settings.params["loss"])
            return OwnNetworkHead(self.about, loss, self.source, settings.network)
        made: Any = self.source() if inspect.isclass(self.source) else copy.deepcopy(self.source)
        head: Head = made
        return head


def own_head(
    source: Any, *, learns: str | None = None, loss: str | None = None, name: str | None = None
) -> OwnEntry:
    """Make a head of a scikit-learn estimator, of a class with the protocol `Head`, of a function
    (n_features, n_outputs) that builds a Keras model, or of what a function without arguments
    returns.

    Args:
        source: the estimator, class, object or function.
        loss: of a Keras model: emd (of distributions, the model ends in softmax), mse (of the mean
            between 0 and 1, it ends in sigmoid) or bce (of beautiful-or-not, sigmoid).
        learns: mean, beautiful or distribution, of an estimator; by default a regressor learns the
            mean and a classifier beautiful-or-not.
        name: what it is called in tables and its run; by default its class's or function's name.

    Raises:
        HeadError: it is none of these, or cannot learn that.
    """
    if isinstance(source, OwnEntry):
        return _named(source, name)
    if all(hasattr(source, part) for part in HEAD_PARTS):
        return _named(_of_class(source), name)
    if hasattr(source, "get_params") and hasattr(source, "fit") and not inspect.isclass(source):
        return _named(_of_estimator(source, learns), name)
    if inspect.isclass(source) and hasattr(source, "get_params"):
        raise HeadError(f"{source.__name__} is a class: give an estimator, {source.__name__}().")
    if _builds_model(source):
        return _named(_of_function(source, loss), name)
    if inspect.isfunction(source) and not inspect.signature(source).parameters:
        made = own_head(source(), learns=learns, name=name)
        return _named(made, source.__name__) if _is_unnamed(made) and not name else made
    raise HeadError(
        f"{shown(repr(source))} cannot be a head. Give a name, an estimator of scikit-learn, a "
        f"class with {', '.join(HEAD_PARTS)}, or a function without arguments that returns one."
    )


def found_head(name: str) -> OwnEntry | None:
    """Return the head that MODULE:NAME is, or that a package offers by this name; else None.

    Packages offer heads as entry points of the group `aesthetic_heads.heads`.

    Raises:
        HeadError: it cannot be imported, or is no head.
    """
    if ":" in name:
        return _from_place(name, name.rpartition(":")[2].rpartition(".")[2])
    for point in entry_points(group=GROUP, name=name):
        return _from_place(point.value, name)
    return None


def restored(settings: OwnSettings, arrays: Arrays, values: Values, source: Any = None) -> Head:
    """Rebuild a trained head from its state, by its class or function: `source`, or imported.

    Raises:
        HeadError: the class cannot be imported, or is no head by now.
    """
    found = imported(settings.place) if source is None else source
    if settings.network is not None:
        if not _builds_model(found):
            raise HeadError(f"{settings.place} is no function of n_features and n_outputs.")
        load_keras()
        from heads.models.own.network import OwnNetworkHead

        return OwnNetworkHead.restored(found, settings.network, arrays, values)
    if not all(hasattr(found, part) for part in HEAD_PARTS):
        raise HeadError(f"{settings.place} is no head: it needs {', '.join(HEAD_PARTS)}.")
    head: Head = found.from_state(arrays, values)
    return head


def check_version(settings: OwnSettings) -> None:
    """Refuse to load an estimator that another version of its package fitted.

    Raises:
        HeadError: the versions differ, or the package is not here.
    """
    name, _, version = settings.code.partition(" ")
    here = str(imported(f"{name}:__version__"))
    if here != version:
        raise HeadError(
            f"it was fitted by {name} {version}, and here is {here}, which may compute otherwise. "
            "Install that version, or train the head again with --overwrite."
        )


def _from_place(place: str, name: str) -> OwnEntry:
    source = imported(place)
    made = own_head(source)
    return _named(made, name) if _is_unnamed(made, source) else made


def _is_unnamed(entry: OwnEntry, *sources: Any) -> bool:
    """Whether an entry is called as its class or function is, or one of the sources."""
    named = (getattr(each, "__name__", type(each).__name__) for each in (entry.source, *sources))
    return entry.name in named


def _named(entry: OwnEntry, name: str | None) -> OwnEntry:
    chosen = name or entry.name
    if not NAME.fullmatch(chosen):
        raise HeadError(
            f"A head cannot be called {quoted(chosen)}, since its run's folder gets that name: use "
            "up to 80 letters, digits and . _ + -, such as own_head(..., name='knn-20')."
        )
    return replace(entry, name=chosen, about=replace(entry.about, name=chosen))


def _of_class(source: Any) -> OwnEntry:
    params = {} if inspect.isclass(source) else described(vars(source))
    settings = OwnSettings("class", place_of(source), code_of(source), "", params)
    return OwnEntry(source.about.name, source.about, settings, source, draws=True)


def _of_estimator(source: Any, learns: str | None) -> OwnEntry:
    chosen = learns or _usual(source)
    if chosen not in LEARNS:
        raise HeadError(f"A head learns one of {', '.join(LEARNS)}; got {quoted(learns)}.")
    if (chosen == "beautiful") != hasattr(source, "predict_proba"):
        needs = "a classifier with predict_proba" if chosen == "beautiful" else "a regressor"
        raise HeadError(
            f"{type(source).__name__} cannot learn {chosen}: that needs {needs}. Give another "
            "estimator, or another learns."
        )
    about = About(
        type(source).__name__,
        f"{SUMMARIES[chosen]}, {type(source).__name__}",
        needs_votes=chosen == "distribution",
        needs_means=chosen == "mean",
        ranking_only=chosen == "beautiful",
    )
    settings = OwnSettings(
        *("estimator", place_of(source), code_of(source), chosen),
        described(source.get_params(deep=False)),
    )
    return OwnEntry(about.name, about, settings, source, draws=bool(undecided(source)))


def _builds_model(source: Any) -> bool:
    """Whether it is a plain function of n_features and n_outputs: nothing else is ever called."""
    return inspect.isfunction(source) and list(inspect.signature(source).parameters) == SIZES


def _of_function(source: Any, loss: str | None) -> OwnEntry:
    if loss not in LOSSES:
        raise HeadError(
            f"What loss the model of {source.__name__} is trained with must be said: "
            f"own_head({source.__name__}, loss=...), one of {', '.join(LOSSES)}; got {shown(loss)}."
        )
    learns = LOSSES[loss]
    about = About(
        source.__name__,
        f"{SUMMARIES[learns]}, a Keras model",
        needs_votes=learns == "distribution",
        needs_means=learns == "mean",
        ranking_only=learns == "beautiful",
    )
    settings = OwnSettings(
        *("network", place_of(source), code_of(source), learns), {"loss": loss}, NETWORK
    )
    return OwnEntry(about.name, about, settings, source, draws=True)


def _usual(source: Any) -> str:
    from sklearn.base import is_classifier, is_regressor

    usual: dict[str, Callable[[Any], bool]] = {"beautiful": is_classifier, "mean": is_regressor}
    for learns, fits in usual.items():
        if fits(source):
            return learns
    raise HeadError(
        f"{type(source).__name__} says neither that it is a regressor nor that it is a "
        "classifier. Say what it learns: own_head(..., learns='mean')."
    )
