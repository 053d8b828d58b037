"""What a run notes of a head of one's own: enough to tell whether another one is the same.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from cache.text import quoted
from heads.models.neural.settings import NetworkSettings

KINDS = ("estimator", "class", "network")
LEARNS = ("mean", "beautiful", "distribution")


@dataclass(frozen=True)
class OwnSettings:
    """How a head of one's own was made.

    `place` is MODULE:NAME of its class or function; `code` its package with the version, or the
    SHA-256 of its source; `params` what it was made with, as JSON values. `learns` is one of
    `LEARNS`, '' for a class, which says so itself; `network` are the settings of a network's
    training.

    Raises:
        ValueError: a kind, or something to learn, that there is not.
    """

    kind: str
    place: str
    code: str
    learns: str
    params: dict[str, Any]
    network: NetworkSettings | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.learns not in (*LEARNS, ""):
            raise ValueError(f"there is no {quoted(self.kind)} that learns {quoted(self.learns)}")
        if (self.kind == "network") != (self.network is not None):
            raise ValueError("network settings are those of a network")

    def resolve(self, n: int, widths: Sequence[int]) -> Self:
        """Return settings in which nothing is left to n photographs with layers of these widths."""
        if self.network is None:
            return self
        return replace(self, network=self.network.resolve(n, widths))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"network": self.network and self.network.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`. Raises TypeError, ValueError or HeadError for wrong values."""
        network = values["network"]
        return cls(
            **{**values, "network": None if network is None else NetworkSettings.from_dict(network)}
        )
