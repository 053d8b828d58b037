"""The graph cuts views as Pillow does and answers as the head does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extract.images.decode import read_photograph
from extract.images.views import CROP, RESIZE, views
from heads.models.base import Head
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import HEADS, make_head, neural_heads
from tests.heads.export.exported import smooth, trained

QUICK = NetworkSettings(hidden=(), transform="none", epochs=2, lr=1e-3)
DEFAULT = NetworkSettings(hidden=(8,), epochs=2, ensemble=2)
MAKERS: dict[str, Callable[[], Head]] = {
    **{
        name: lambda name=name: make_head(name)
        for name, entry in HEADS.items()
        if entry.about.looks_at_photographs and not entry.neural
    },
    **{name: lambda name=name: make_head(name, QUICK) for name in neural_heads()},
    **{f"{name} default": lambda name=name: make_head(name, DEFAULT) for name in neural_heads()},
}


@pytest.mark.parametrize("choice", ["center", "flip", "ten", "whole", "frame"])
@pytest.mark.parametrize("size", [(640, 427), (333, 500), (256, 256), (90, 130)])
def test_views_are_cut_as_pillow_cuts_them(choice: str, size: tuple[int, int]) -> None:
    from heads.export.graph import build_crops

    photograph = smooth(1, size)
    expected = read_photograph(photograph, views(choice)).pixels_u8.astype(int)
    cut = np.asarray(build_crops(views(choice), RESIZE, CROP)(np.asarray(photograph)[None]))[0]
    away = np.abs(cut.astype(int) - expected)
    assert away.max() <= 1
    assert (away > 0).mean() < 0.001


@pytest.mark.parametrize("name", MAKERS)
def test_the_graph_of_a_head_answers_as_the_head(name: str) -> None:
    import keras

    from heads.export.graph import head_outputs

    head = trained(MAKERS[name]())
    features = np.random.default_rng(1).gamma(2.0, 0.6, (40, 1, 12)).astype(np.float32)
    inputs = keras.Input((12,))
    answers = keras.Model(inputs, head_outputs(head, inputs))(features[:, 0])
    expected = head.predict(features)
    assert ("distribution" in answers) == (expected.distribution is not None)
    for key, values in answers.items():
        np.testing.assert_allclose(np.asarray(values), getattr(expected, key), atol=2e-4)
