"""A backbone is a module and one line: everything else asks the registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import MismatchError
from cache.store import open_cache
from cache.verify import verify
from extract import cli
from extract.api import open_extractor
from extract.backbones.base import Layer
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.registry import BACKBONES, DEFAULT, find_backbone
from extract.run.extract import extract
from tests.cheap import make_folder, settings_for


def build(scaled: Any) -> tuple[Any, list[Any]]:
    """A network of three layers, as far from MobileNetV2 as can be."""
    import keras

    low = keras.layers.Conv2D(4, 4, 4, name="low")(scaled)
    top = keras.layers.Conv2D(6, 8, 8, activation="tanh", name="top")(low)
    return keras.Model(scaled, top), [low, top]


TINY = replace(
    MOBILENET_V2,
    name="tiny",
    title="Tiny",
    layers=(Layer("low", 4), Layer("top", 6, (-1.0, 1.0))),
    wheel=None,
    build=build,
    loaders={},
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second line in the registry."""
    monkeypatch.setitem(BACKBONES, "tiny", TINY)


def test_backbones_are_registered_by_their_names() -> None:
    assert {name: backbone.name for name, backbone in BACKBONES.items()} == {
        name: name for name in BACKBONES
    }
    assert DEFAULT == "mobilenet_v2_1.0_224"


def test_an_unknown_backbone_is_an_error_with_those_that_are_there() -> None:
    with pytest.raises(MismatchError) as caught:
        find_backbone("vgg")
    assert str(caught.value) == (
        "This version has no backbone 'vgg'; it has mobilenet_v2_1.0_224. Use the version that "
        "made the features, or extract again and train anew."
    )


def test_features_that_were_imported_cannot_be_made_and_heads_predict_is_named() -> None:
    with pytest.raises(MismatchError) as caught:
        find_backbone("external: clip")
    assert str(caught.value) == (
        "These features were imported (external: clip): what makes them is not here, so "
        "photographs cannot be looked at. Make the photographs' features where those came from, "
        "give them to `cache import`, and the folder to `heads predict RUN --features DIR`."
    )


def test_the_command_offers_a_choice_where_there_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--backbone" not in cli.build_parser().format_help()
    assert cli.build_parser().parse_args(["--split", "all"]).backbone == DEFAULT
    monkeypatch.setitem(BACKBONES, "tiny", TINY)
    assert "--backbone {mobilenet_v2_1.0_224,tiny}" in cli.build_parser().format_help()
    options = cli.build_parser().parse_args(["--split", "all"])
    assert options.backbone == DEFAULT
    chosen = cli.build_parser().parse_args(["--split", "all", "--backbone", "tiny"])
    assert cli._settings(chosen).backbone == "tiny"


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_backbone_that_is_only_registered_extracts_verifies_and_scores(tmp_path: Path) -> None:
    import keras

    make_folder(tmp_path / "data", 20)
    model, _ = build(keras.Input((224, 224, 3)))
    model.save_weights(tmp_path / "tiny.weights.h5")
    settings = settings_for(tmp_path)
    engine = replace(settings.engine, engine="keras", device="cpu", layers="multi")
    settings = replace(
        settings, backbone="tiny", engine=engine, weights=str(tmp_path / "tiny.weights.h5")
    )
    (summary,) = extract(settings)
    cache = open_cache(summary.path)
    assert cache.spec.backbone == "tiny"
    assert cache.spec.layers == (("low", 0, 4), ("top", 4, 10))
    assert cache.header.provenance.value_ranges == {"top": (-1.0, 1.0)}
    assert verify(summary.path) == []
    assert np.asarray(cache.features)[:, :, 4:].min() < 0
    scorer = open_extractor(cache.spec, weights=settings.weights, engine="keras", device="cpu")
    again = next(iter(scorer([settings.data / str(cache.labels.path[0])])))
    np.testing.assert_array_equal(again.features, cache.features[0].astype(np.float32))
