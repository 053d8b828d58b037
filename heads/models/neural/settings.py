"""Settings of the heads: tuned defaults, the blog's own, what is left to the data.

Standard library only, so that the command line can show them without loading a framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from heads.errors import HeadError

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "constant")
VIEW_USES = ("random", "mean")
STARTS = ("mean", "random")
TRANSFORMS = ("root", "none")
PRECISIONS = ("float32", "bfloat16")
LABELS = ("soft", "hard")
# How heads in closed form choose their penalty: by photographs left out.
LEFT_OUT = "groups of train, else val"

OUTPUT_STEP, MAX_LR = 0.5, 0.01
# A schedule makes so many passes over the photographs, and more where these are fewer optimizer
# steps than the least: a few hundred photographs are seen 75 times.
EPOCHS, LEAST_STEPS = 10, 150
# Dropout of a linear head's features is a penalty on its weights that grows with the number of
# photographs (Wager, Wang and Liang, "Dropout Training as Adaptive Regularization", 2013, section
# 2); what they need does not. So the odds of dropping a feature fall as 1 / n beyond FEW.
FEW = 1_000
DROPOUT, LINEAR_INPUT_DROPOUT = 0.5, 0.8
# Fewer features are dropped less: each carries more that no other one has.
USUAL_FEATURES = 1280
# Networks are averaged where one takes a few seconds, which is where a seed makes most of a
# difference; linear ones all find much the same.
ENSEMBLE, LARGEST_AVERAGED = 3, 10_000


@dataclass(frozen=True)
class ClosedFormSettings:
    """The settings of a head that is solved directly, null in JSON where all are None.

    `labels` are soft or hard, of the head logistic alone. `penalty` says how that is chosen, None
    for heads without one, and for runs of earlier versions, which chose on val and took no root.
    """

    labels: str | None = None
    penalty: str | None = None

    @property
    def rooted(self) -> bool:
        """Whether the head takes the signed root of features."""
        return self.penalty is not None

    def to_dict(self) -> dict[str, Any] | None:
        """Return JSON-ready values."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return given or None


@dataclass(frozen=True)
class NetworkSettings:
    """How a neural head is built and trained.

    `hidden` are widths of hidden layers, () for a linear head; `dropout` acts behind each hidden
    layer, `input_dropout` on the standardised features. `l2` shrinks kernels: by decoupled weight
    decay with adamw, else a penalty l2 * sum(w^2) in the loss. `cross_entropy` is the weight
    of cross-entropy beside the squared EMD, for the head emd alone. `schedule` cosine lets `lr`
    fall to zero over `epochs`. `patience` None trains through the schedule and keeps its end; a
    number stops early and keeps the epoch that did best on val. `views` random trains on a random
    view of each photograph in each epoch, mean on the mean of its views. `transform` root takes
    the signed square root of each feature; `standardise` then scales by mean and deviation of
    train. `layer_widths` are those of a cache with several layers, in order: each layer's features
    are scaled by width ** -1/4, so that wide layers do not drown narrow ones. `start` mean begins
    at the constant head: zero output kernel and a bias that gives the mean target. `ensemble`
    networks from as many seeds are averaged. `precision` None is the machine's choice
    (`heads.models.neural.epochs`). `labels`, of the head binary alone: soft are shares of votes
    above the threshold, hard are 1 for beautiful, else 0. What else is None, but for `patience`, is
    left to the data: see `resolve`.

    Raises:
        HeadError: a value is out of range; the message names it and what it may be.
    """

    hidden: tuple[int, ...] = (256,)
    dropout: float | None = None
    input_dropout: float | None = None
    l2: float = 0.01
    lr: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    optimizer: str = "adamw"
    cross_entropy: float = 0.3
    schedule: str = "cosine"
    views: str = "random"
    transform: str = "root"
    standardise: bool = True
    layer_widths: tuple[int, ...] = ()
    start: str = "mean"
    ensemble: int | None = None
    precision: str | None = None
    labels: str = "hard"

    def __post_init__(self) -> None:
        for name in ("dropout", "input_dropout"):
            value = getattr(self, name)
            _require(name, value, value is None or 0 <= value < 1, "in [0, 1)")
        for name in ("epochs", "patience", "batch_size", "ensemble"):
            value = getattr(self, name)
            _require(name, value, value is None or value >= 1, "at least 1")
        _require("lr", self.lr, self.lr is None or 0 < self.lr < float("inf"), "above 0")
        for name in ("l2", "cross_entropy"):
            value = getattr(self, name)
            _require(name, value, 0 <= value < float("inf"), "0 or more")
        _require("hidden", self.hidden, all(width >= 1 for width in self.hidden), "widths from 1")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("views", VIEW_USES),
            ("transform", TRANSFORMS),
            ("start", STARTS),
            ("labels", LABELS),
        ):
            value = getattr(self, name)
            _require(name, value, value in known, f"one of {', '.join(known)}")
        wanted = self.precision
        right = wanted is None or wanted in PRECISIONS
        _require("precision", wanted, right, f"one of {', '.join(PRECISIONS)}")

    def resolve(self, n: int, widths: Sequence[int], linear_rate: float = 1.0) -> ResolvedSettings:
        """Return the settings with nothing left to the data: n photographs, layers of `widths`.

        One step of Adam moves each of D weights by about lr, and so the output by up to lr D on
        standardised features: lr = 0.5 / D keeps that the same up to the usual 1,280. More are
        several layers, which carry much the same, and keep the rate. `linear_rate` multiplies it
        where there is no hidden layer. The batch is at most a hundredth of the photographs, within
        256..1024: small sets need the steps, large ones the speed. The photographs of a pass are
        dealt evenly into batches: the gradient of a last batch of a few would be all noise, and
        count as much as the others'. Up to 10,000 photographs, three networks with hidden layers
        are averaged: one takes a second to three. Resolved settings stay as they are.
        """
        n_features = sum(widths)
        step = OUTPUT_STEP if self.hidden else OUTPUT_STEP * linear_rate
        size = self.batch_size or _even_batch(n, min(max(n // 100, 256), 1024))
        least = -(-LEAST_STEPS // -(-n // size))
        first = DROPOUT if self.hidden else LINEAR_INPUT_DROPOUT
        first *= min((n_features / USUAL_FEATURES) ** 0.25, 1.0)
        chosen = {
            "lr": min(step / min(n_features, USUAL_FEATURES), MAX_LR),
            "batch_size": size,
            "epochs": max(EPOCHS, least),
            "dropout": DROPOUT,
            "input_dropout": _fallen(first, n),
            "ensemble": self.networks(n),
        }
        given = {name: value for name, value in vars(self).items() if value is not None}
        layers = tuple(widths) if len(widths) > 1 else ()
        return ResolvedSettings(**(chosen | given | {"layer_widths": layers}))

    @property
    def rooted(self) -> bool:
        """Whether the network takes the signed root of features."""
        return self.transform == "root"

    def networks(self, n: int) -> int:
        """Return how many networks are averaged for n photographs."""
        usual = ENSEMBLE if self.hidden and n <= LARGEST_AVERAGED else 1
        return self.ensemble or usual

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, hard labels left out: earlier versions knew no others."""
        lists = {"hidden": list(self.hidden), "layer_widths": list(self.layer_widths)}
        values = asdict(self) | lists
        if self.labels == "hard":
            del values["labels"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Rebuild from `to_dict`; missing fields keep their defaults.

        Raises:
            HeadError: an unknown field, or a value out of range.
        """
        return override(cls(), values)


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(NetworkSettings):
    """Settings for certain data: `patience` None is no early stopping, and nothing else is None.

    But for `precision`, which is another machine's choice where the run is repeated there.
    """

    dropout: float = field()
    input_dropout: float = field()
    lr: float = field()
    batch_size: int = field()
    epochs: int = field()
    ensemble: int = field()


def override(settings: NetworkSettings, values: Mapping[str, Any]) -> NetworkSettings:
    """Return settings with some fields replaced.

    Raises:
        HeadError: an unknown field, or a value out of range.
    """
    known = [field.name for field in fields(settings)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise HeadError(
            f"A neural head has no setting {', '.join(unknown)}; it has {', '.join(known)}."
        )
    plain = dict(values)
    for name in ("hidden", "layer_widths"):
        if name in plain:
            plain[name] = tuple(int(width) for width in plain[name])
    return replace(settings, **plain)


def _even_batch(n: int, most: int) -> int:
    """Return the size of the fewest batches of n photographs that hold at most `most` each."""
    steps = -(-n // most)
    return -(-n // max(steps, 1)) or 1


def _fallen(rate: float, n: int) -> float:
    """Return a dropout rate at up to FEW photographs as it is at n."""
    odds = rate / (1 - rate) * min(FEW / n, 1.0)
    return odds / (1 + odds)


def _require(name: str, value: object, right: bool, expected: str) -> None:
    if not right:
        flag = "--" + name.replace("_", "-")
        raise HeadError(f"{flag} must be {expected}; got {value}.")


def layer_widths(layers: Sequence[tuple[str, int, int]]) -> tuple[int, ...]:
    """Return the number of features of each layer (name, start, stop) of an extractor."""
    return tuple(stop - start for _, start, stop in layers)


# Random start on raw features, Adam at Keras' own rate.
BLOG = NetworkSettings(
    hidden=(),
    dropout=0.0,
    input_dropout=0.0,
    l2=0.0,
    lr=1e-3,
    batch_size=128,
    epochs=50,
    patience=5,
    optimizer="adam",
    cross_entropy=0.0,
    schedule="constant",
    views="mean",
    transform="none",
    standardise=False,
    start="random",
    ensemble=1,
)
