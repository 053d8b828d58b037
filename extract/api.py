"""The function from photographs to features that made a cache, for use outside of extraction.

The one door through which stage two reaches photographs (`heads.photos`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cache.errors import EngineError, MismatchError
from cache.frameworks import importing_keras, refuse_forked
from cache.text import shown
from cache.types import ExtractorSpec
from extract.backbones.base import LAYER_CHOICES
from extract.backbones.engines import Engine, EngineSettings, open_engine
from extract.backbones.registry import DEFAULT, find_backbone
from extract.backbones.weights import Weights, find_weights
from extract.images.decode import PROFILED as PROFILED
from extract.images.decode import Photograph, read_photograph
from extract.images.decode import Unreadable as Unreadable
from extract.images.decode import peculiarity as peculiarity
from extract.images.decode import thumbnail_jpeg as thumbnail_jpeg
from extract.images.decode import upright_pixels as upright_pixels
from extract.images.pool import in_order as in_order
from extract.images.resizing import check_interpolation, find_interpolation
from extract.images.views import MEAN_COLOUR as MEAN_COLOUR
from extract.images.views import PREPROCESSING, RESIZERS, Box, views
from extract.images.views import View as View
from extract.stream import Account, Cutting, stream
from extract.stream import PhotographSource as PhotographSource

Source = str | os.PathLike[str] | Image.Image
# One photograph, or some.
Sources = Source | Iterable[Source]


def photographs(sources: Sources) -> Iterator[PhotographSource]:
    """Yield photographs as they are asked for: paths, or PIL images, which stay as they are.

    Args:
        sources: some of them, or a single one.

    Raises:
        TypeError: something else.
    """
    single = isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image))
    single = single or not hasattr(type(sources), "__iter__")
    # A picture's array would be taken row by row, a table by the names of its columns.
    single = single or isinstance(sources, Mapping) or getattr(sources, "ndim", 1) != 1
    for number, source in enumerate([sources] if single else sources):  # type: ignore[arg-type]
        if isinstance(source, Image.Image):
            yield source
        elif isinstance(source, (str, os.PathLike)) and isinstance(os.fspath(source), str):
            yield Path(source)
        else:
            raise TypeError(
                f"Photograph {number} is {_in_words(source)}; expected a path (str or Path) or a "
                "PIL image. Make one of an array with PIL.Image.fromarray, of bytes or an open "
                "file with PIL.Image.open; of a table give the column of paths."
            )


def _in_words(value: object) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return kind if shape is None else f"{kind} {shape} {'' if dtype is None else dtype}".strip()


@dataclass(frozen=True, eq=False)
class Extracted:
    """One photograph's features (V, D) float32, or the reason why there are none.

    `pixels_u8` (V, height, width, 3) is what the backbone saw, None where unreadable.
    """

    features: npt.NDArray[np.float32] | None
    pixels_u8: npt.NDArray[np.uint8] | None
    size: tuple[int, int]
    reason: str


@dataclass(frozen=True, eq=False)
class Extractor:
    """Features of photographs exactly as a cache holds them; made by `open_extractor`."""

    spec: ExtractorSpec
    weights: Weights
    engine: Engine
    cutting: Cutting

    def __call__(self, sources: Sources) -> Iterator[Extracted]:
        """Yield each photograph's features in order, in constant memory.

        Args:
            sources: as `photographs` takes them. Those that cannot be read give a reason.

        Raises:
            TypeError: a source is neither a path nor a PIL image.
            EngineError: this process was forked after the extractor was opened.
        """
        refuse_forked()
        for computed in stream(photographs(sources), self.cutting, self.engine, Account()):
            # As the cache rounds them, so that scores do not depend on where features come from.
            rounded = computed.features.astype(self.spec.dtype).astype(np.float32)
            features = iter(rounded)
            for outcome in computed.outcomes:
                if isinstance(outcome, Photograph):
                    yield Extracted(next(features), outcome.pixels_u8, outcome.size, "")
                else:
                    yield Extracted(None, None, (0, 0), str(outcome))


def spec_of(
    weights: Weights, interpolation: str, views_: str, layers: str, precision: str, dtype: str
) -> ExtractorSpec:
    """Return the description of the extractor with these weights; its hash fingerprints."""
    return ExtractorSpec(
        backbone=weights.backbone.name,
        weights_sha256=weights.sha256,
        scaling=weights.scaling,
        **PREPROCESSING,
        interpolation=interpolation,
        views=tuple(view.name for view in views(views_)),
        layers=weights.backbone.layer_slices(layers),
        precision=precision,
        dtype=dtype,
    )


def named_spec(
    *, weights: str = "auto", views: str = "center", layers: str = "top", precision: str = "float32"
) -> ExtractorSpec:
    """Return the description of what `extract` makes with such options, where nothing is yet.

    Raises:
        WeightsError: the weights are not here.
        ValueError: there are no such views, layers or precision.
    """
    found = find_weights(find_backbone(DEFAULT), weights)
    return spec_of(found, find_interpolation("auto"), views, layers, precision, "float16")


def open_extractor(
    spec: ExtractorSpec,
    *,
    weights: str = "auto",
    engine: str = "auto",
    device: str = "auto",
    jobs: int = 0,
) -> Extractor:
    """Open the extractor that a cache's `spec` describes.

    Leaves what the process shares as it is: filters of warnings, environment, signals, Pillow's
    guard. The engine's library, once loaded, keeps its threads and, on a GPU, its memory; so a
    server forks first and opens the extractor in its children.

    Args:
        spec: as stored in the cache or in a run's config.
        weights, engine, device: as the options of `extract`.
        jobs: threads, 0 for all cores.

    Raises:
        MismatchError: this program cannot make such features (another backbone, other
            preprocessing, other layers).
        WeightsError: the weights with the spec's SHA-256 are not here.
        EngineError: the engine, device, precision or resizer is not here.
    """
    refuse_forked()
    _check_preprocessing(spec)
    found = _weights_of(spec, weights)
    settings = EngineSettings(
        engine=engine,
        device=device,
        precision=spec.precision,
        layers=_layers_of(spec),
        cores=jobs or len(os.sched_getaffinity(0)),
    )
    cutting = Cutting(views_of(spec), settings.cores, interpolation=spec.interpolation)
    return Extractor(spec, found, open_engine(settings, found), cutting)


def _check_preprocessing(spec: ExtractorSpec) -> None:
    find_backbone(spec.backbone)
    known: dict[str, tuple[object, ...]] = {name: (it,) for name, it in PREPROCESSING.items()}
    for name, mine in {**known, "interpolation": tuple(RESIZERS.values())}.items():
        theirs = getattr(spec, name)
        if theirs not in mine:
            raise MismatchError(
                f"The features were made with {name} {shown(theirs)}; this version does "
                f"{' or '.join(map(shown, mine))}. Use the version that "
                "made them, or extract again and train anew."
            )
    check_interpolation(spec.interpolation)


def _weights_of(spec: ExtractorSpec, weights: str) -> Weights:
    found = find_weights(find_backbone(spec.backbone), weights, spec.weights_sha256)
    if found.sha256 != spec.weights_sha256:
        raise MismatchError(
            f"The features were made with weights {spec.weights_sha256[:12]}; {found.origin} are "
            f"{found.sha256[:12]}. Name the right file with --weights."
        )
    return found


def _layers_of(spec: ExtractorSpec) -> str:
    backbone = find_backbone(spec.backbone)
    for choice in LAYER_CHOICES:
        if backbone.layer_slices(choice) == spec.layers:
            return choice
    raise MismatchError("The features come from layers that this version does not have.")


def views_of(spec: ExtractorSpec) -> tuple[View, ...]:
    """Return the views that a spec names.

    Raises:
        MismatchError: this version cuts no such views, or has no such backbone.
    """
    find_backbone(spec.backbone)
    choices = ["center", "flip", "ten", "whole", "frame"]
    if len(spec.views) > 1:
        choices.append(f"random:{len(spec.views)}")
    for choice in choices:
        found = views(choice)
        if tuple(view.name for view in found) == spec.views:
            return found
    raise MismatchError(f"This version cuts no such views: {', '.join(spec.views)}.")


def open_map_extractor(spec: ExtractorSpec, *, weights: str = "auto") -> MapExtractor:
    """Open the extractor of the feature maps of view 0, upright, for explanations.

    Raises:
        MismatchError, WeightsError: as `open_extractor`.
        EngineError: the features were not computed in float32, or who resized is not here.
    """
    _check_preprocessing(spec)
    if spec.precision != "float32":
        raise EngineError(
            f"Feature maps are computed in float32 only, and the features in {spec.precision}. "
            "Extract with --precision float32 and train on that."
        )
    return MapExtractor(spec, _weights_of(spec, weights))


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """`cells` (rows, columns, D) float32, and the `pixels_u8` (height, width, 3) that they cover.

    `box` is what they cover of the upright photograph, (left, top, right, bottom) as fractions;
    beyond 0..1 lies the mean colour.
    """

    cells: npt.NDArray[np.float32]
    pixels_u8: npt.NDArray[np.uint8]
    box: Box


class MapExtractor:
    """The map (rows, columns, D) whose mean over cells is the feature vector of view 0."""

    def __init__(self, spec: ExtractorSpec, weights: Weights) -> None:
        with importing_keras():
            from extract.backbones.graph import build_map_extractor
        layers = _layers_of(spec)
        self._model_for = functools.cache(
            lambda size: build_map_extractor(weights, layers=layers, batch_size=1, size=size)
        )
        self._view, self._interpolation = views_of(spec)[0], spec.interpolation

    def __call__(self, source: PhotographSource) -> FeatureMap:
        """Return the map of a photograph.

        Raises:
            Unreadable: the photograph cannot be read.
        """
        refuse_forked()
        photograph = read_photograph(source, (self._view,), interpolation=self._interpolation)
        (pixels_u8,) = photograph.pixels_u8
        answer = self._model_for(pixels_u8.shape[:2])([pixels_u8[None]], training=False)
        cells = np.asarray(answer)[0].astype(np.float32)
        return FeatureMap(cells, pixels_u8, self._view.box_in(photograph.size))


def build_graph(spec: ExtractorSpec, *, weights: str = "auto") -> Any:
    """Return the extractor as a Keras model, for exports: upright pixels in, features out.

    From (batch, 224, 224, 3) uint8 RGB, or any shape of `--views frame`, to (batch, D) float32, one
    crop a row; computed in float32 and not rounded to the cache's dtype.

    Raises:
        MismatchError, WeightsError: as `open_extractor`.
        EngineError: who resizes is not here.
    """
    _check_preprocessing(spec)
    with importing_keras():
        from extract.backbones.graph import build_extractor

    return build_extractor(
        _weights_of(spec, weights),
        layers=_layers_of(spec),
        batch_size=None,
        size=(None, None) if views_of(spec)[0].shapes else None,
    )
