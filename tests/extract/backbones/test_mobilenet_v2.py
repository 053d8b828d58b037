"""MobileNetV2's numbers are those of its paper, and its name those of caches that exist."""

from __future__ import annotations

from extract.backbones.mobilenet_v2 import BLOCK_CHANNELS, MOBILENET_V2


def test_the_top_layer_has_1280_numbers() -> None:
    assert MOBILENET_V2.layer_slices("top") == (("top", 0, 1280),)


def test_all_layers_have_2784_numbers_side_by_side() -> None:
    slices = MOBILENET_V2.layer_slices("multi")
    assert len(slices) == 18
    assert slices[-1] == ("top", 1504, 2784)
    assert [stop - start for _, start, stop in slices[:-1]] == list(BLOCK_CHANNELS)
    assert [start for _, start, _ in slices] == [0, *(stop for _, _, stop in slices[:-1])]


def test_only_the_top_layer_has_bounds_for_it_ends_in_relu6() -> None:
    assert MOBILENET_V2.value_ranges("top") == {"top": (0.0, 6.0)}
    assert MOBILENET_V2.value_ranges("multi") == {"top": (0.0, 6.0)}


def test_its_names_are_those_of_caches_that_exist() -> None:
    assert MOBILENET_V2.name == "mobilenet_v2_1.0_224"
    assert [name for name, _, _ in MOBILENET_V2.layer_slices("multi")] == [
        *(f"block_{i}" for i in range(17)),
        "top",
    ]
