"""A backbone's facts are checked once, when it is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extract.backbones.base import Layer
from extract.backbones.mobilenet_v2 import MOBILENET_V2

SMALL = replace(
    MOBILENET_V2,
    name="small",
    layers=(Layer("low", 3), Layer("middle", 2, (-1.0, 1.0)), Layer("top", 5, (0.0, 6.0))),
)


def test_layers_lie_side_by_side_in_the_feature_vector() -> None:
    assert SMALL.layer_slices("multi") == (("low", 0, 3), ("middle", 3, 5), ("top", 5, 10))
    assert SMALL.layer_slices("top") == (("top", 0, 5),)


def test_layers_without_bounds_have_no_value_range() -> None:
    assert SMALL.value_ranges("multi") == {"middle": (-1.0, 1.0), "top": (0.0, 6.0)}
    assert SMALL.value_ranges("top") == {"top": (0.0, 6.0)}


def test_an_input_of_another_size_is_an_error() -> None:
    message = r"small takes \(299, 299\); photographs are cut to \(224, 224\)\."
    with pytest.raises(ValueError, match=message):
        replace(SMALL, input_size=(299, 299))


@pytest.mark.parametrize(
    "layers",
    [(), (Layer("last", 5),), (Layer("top", 5), Layer("top", 5)), (Layer("top", 5), Layer("a", 1))],
)
def test_layers_without_top_at_their_end_are_an_error(layers: tuple[Layer, ...]) -> None:
    with pytest.raises(ValueError, match="small needs layers of different names, `top` last"):
        replace(SMALL, layers=layers)
