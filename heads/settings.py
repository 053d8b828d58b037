"""Settings of the neural heads: tuned defaults, the blog's own, and how they are saved.

Standard library only, so that the command line can show them without loading a framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cache.errors import HeadError

NEURAL_HEADS = ("emd", "sigmoid", "tanh", "binary", "columns")
OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "constant")
VIEW_USES = ("random", "mean")
STARTS = ("mean", "random")

OUTPUT_STEP, MAX_LR = 0.4, 0.01


@dataclass(frozen=True)
class NetworkSettings:
    """How a neural head is built and trained.

    `hidden` are widths of hidden layers, () for a linear head; `dropout` acts behind each hidden
    layer, `input_dropout` on the standardised features. `l2` pulls kernels towards zero: decoupled
    weight decay with adamw, else a penalty l2 * sum(w^2) in the loss. `schedule` cosine lets `lr`
    fall to zero over `epochs`. `views` random trains on a random view of each photograph in each
    epoch, mean on the mean of its views. `standardise` scales features by the mean and deviation
    of train. `start` mean begins at the constant head: zero output kernel and a bias that gives
    the mean target. `lr` and `batch_size` None are chosen by `resolved`.

    Raises:
        HeadError: a value is out of range; the message names it and what it may be.
    """

    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    input_dropout: float = 0.2
    l2: float = 0.01
    lr: float | None = None
    batch_size: int | None = None
    epochs: int = 30
    patience: int = 5
    optimizer: str = "adamw"
    schedule: str = "cosine"
    views: str = "random"
    standardise: bool = True
    start: str = "mean"

    def __post_init__(self) -> None:
        for name in ("dropout", "input_dropout"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) < 1, "in [0, 1)")
        for name in ("epochs", "patience"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        size, lr = self.batch_size, self.lr
        _require("batch_size", size, size is None or size >= 1, "at least 1")
        _require("lr", lr, lr is None or 0 < lr < float("inf"), "above 0")
        _require("l2", self.l2, 0 <= self.l2 < float("inf"), "0 or more")
        _require("hidden", self.hidden, all(width >= 1 for width in self.hidden), "widths from 1")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("views", VIEW_USES),
            ("start", STARTS),
        ):
            value = getattr(self, name)
            _require(name, value, value in known, f"one of {', '.join(known)}")

    def resolved(self, head: str, n: int, n_features: int) -> NetworkSettings:
        """Return the settings with numbers in place of None, for n photographs of D features.

        One step of Adam moves each of D weights by about lr, and so the output by up to lr D on
        standardised features: lr = 0.4 / D keeps that the same for any D. For tanh, whose slope is
        four times that of a sigmoid, it is a quarter. The batch is a hundredth of the photographs,
        within 32..1024: small sets need the steps, large ones the speed.
        """
        step = OUTPUT_STEP / 4 if head == "tanh" else OUTPUT_STEP
        lr = min(step / n_features, MAX_LR) if self.lr is None else self.lr
        size = min(max(n // 100, 32), 1024) if self.batch_size is None else self.batch_size
        return replace(self, lr=lr, batch_size=size)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Rebuild from `to_dict`; missing fields keep their defaults.

        Raises:
            HeadError: an unknown field, or a value out of range.
        """
        return override(cls(), values)


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
    if "hidden" in plain:
        plain["hidden"] = tuple(int(width) for width in plain["hidden"])
    return replace(settings, **plain)


def _require(name: str, value: object, right: bool, expected: str) -> None:
    if not right:
        flag = "--" + name.replace("_", "-")
        raise HeadError(f"{flag} must be {expected}; got {value}.")


# The blog's: random start on raw features, Adam at Keras' own rate.
_TUNED = {name: NetworkSettings() for name in NEURAL_HEADS}

_BLOG = NetworkSettings(
    input_dropout=0.0,
    l2=0.0,
    lr=1e-3,
    batch_size=128,
    epochs=50,
    patience=5,
    optimizer="adam",
    schedule="constant",
    views="mean",
    standardise=False,
    start="random",
)


def tuned(head: str) -> NetworkSettings:
    """Return a neural head's defaults."""
    return _TUNED[head]


def blog(head: str) -> NetworkSettings:
    """Return the settings of the blog post "Beautiful or not?" for a neural head."""
    return replace(_BLOG, batch_size=64, l2=0.1) if head == "binary" else _BLOG
