"""The extractor of a cache, opened again by its description, or refused with what differs."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cache.errors import EngineError, MismatchError
from cache.types import ExtractorSpec
from extract.api import open_extractor, open_map_extractor, photographs, views_of
from extract.images.views import views
from tests.cheap import Opener, make_weights, save_photographs
from tests.wheel import needs_wheel, wheel_spec


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return make_weights(tmp_path)


@pytest.fixture
def spec(weights: str) -> ExtractorSpec:
    """The extractor of the cheap weights, its features rounded to float16."""
    sha256 = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return replace(wheel_spec(), weights_sha256=sha256, scaling="tf", dtype="float16")


def test_features_come_in_order_rounded_as_the_cache_rounds_them(
    tmp_path: Path, spec: ExtractorSpec, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = Opener()
    monkeypatch.setattr("extract.api.open_engine", opener)
    save_photographs(tmp_path, [1, 2])
    paths = [tmp_path / "images" / name for name in ("1.jpg", "gone.jpg", "2.jpg")]
    first, gone, second = open_extractor(spec, weights=weights, jobs=2)(paths)
    assert (gone.features, gone.pixels_u8, gone.size) == (None, None, (0, 0))
    assert "no such file" in gone.reason
    for extracted in (first, second):
        assert (extracted.size, extracted.reason) == ((64, 48), "")
        assert opener.engine is not None
        expected = opener.engine.features(np.repeat(extracted.pixels_u8, 16, axis=0))[:1]
        np.testing.assert_array_equal(extracted.features, expected.astype(np.float16))
    assert not np.array_equal(first.features, second.features)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decode": "otherwise"}, "made with decode otherwise; this version does pillow"),
        ({"interpolation": "bicubic"}, "made with interpolation bicubic; this version"),
        ({"weights_sha256": "9" * 64}, "made with weights 999999999999; the file .*--weights"),
        ({"layers": (("top", 0, 7),)}, "come from layers that this version does not have"),
        ({"views": ("from behind",)}, "This version cuts no such views: from behind"),
    ],
)
def test_what_this_version_cannot_make_is_refused_with_what_differs(
    spec: ExtractorSpec, weights: str, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(MismatchError, match=said):
        open_extractor(replace(spec, **changes), weights=weights)


@pytest.mark.parametrize("choice", ["center", "flip", "ten", "whole", "random:3"])
def test_the_views_of_a_cache_are_those_that_were_chosen(spec: ExtractorSpec, choice: str) -> None:
    chosen = views(choice)
    assert views_of(replace(spec, views=tuple(view.name for view in chosen))) == chosen


def test_maps_are_refused_where_the_features_were_not_computed_in_float32(
    spec: ExtractorSpec,
) -> None:
    with pytest.raises(EngineError, match=r"in float32 only, and the features in bfloat16"):
        open_map_extractor(replace(spec, precision="bfloat16"))


def cornered(corner: str) -> Image.Image:
    """A grey picture with a chequered corner."""
    pixels = np.full((256, 256, 3), 128, np.uint8)
    rows = slice(0, 96) if "top" in corner else slice(160, 256)
    columns = slice(0, 96) if "left" in corner else slice(160, 256)
    board = (np.indices((96, 96)).sum(axis=0) // 8 % 2 * 255).astype(np.uint8)
    pixels[rows, columns] = board[..., None]
    return Image.fromarray(pixels)


@needs_wheel
@pytest.mark.slow
@pytest.mark.parametrize("layers", ["top", "multi"])
def test_the_real_map_stands_upright_and_its_mean_is_the_features(layers: str) -> None:
    spec = wheel_spec(layers=layers)
    pictures = {
        corner: cornered(corner)
        for corner in ("top left", "top right", "bottom left", "bottom right")
    }
    of_map = open_map_extractor(spec, weights="wheel")
    features = open_extractor(spec, weights="wheel", engine="keras", jobs=2)
    for (corner, picture), extracted in zip(
        pictures.items(), features(pictures.values()), strict=True
    ):
        feature_map, _ = of_map(picture)
        assert extracted.features is not None
        np.testing.assert_allclose(
            feature_map.mean(axis=(0, 1)), extracted.features[0], atol=2e-4, rtol=1e-3
        )
        unlike = np.abs(feature_map - np.median(feature_map, axis=(0, 1))).sum(axis=2)
        halves = {
            "top": unlike[:3].sum() > unlike[4:].sum(),
            "left": unlike[:, :3].sum() > unlike[:, 4:].sum(),
        }
        assert halves == {"top": "top" in corner, "left": "left" in corner}


# --- what is a photograph ------------------------------------------------------------------------


def test_paths_of_any_kind_and_images_are_photographs_and_one_alone_is_one(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2))
    (tmp_path / "a.jpg").touch()
    (entry,) = os.scandir(tmp_path)
    for one in ("a.jpg", Path("a.jpg"), image):
        expected = [Path(one) if isinstance(one, str) else one]
        assert list(photographs(one)) == list(photographs([one])) == expected
    assert list(photographs(entry)) == [tmp_path / "a.jpg"]
    assert list(photographs(np.array(["a.jpg", "b.jpg"]))) == [Path("a.jpg"), Path("b.jpg")]
    column = pd.Series(["a.jpg", image], index=[7, 7])
    assert list(photographs(column)) == [Path("a.jpg"), image]
    assert list(photographs(iter([image, image]))) == [image, image]
    assert list(photographs([])) == []


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (np.zeros((4, 5, 3), np.uint8), r"Photograph 0 is numpy.ndarray \(4, 5, 3\) uint8; "),
        ([np.zeros((4, 5), np.float32)], r"Photograph 0 is numpy.ndarray \(4, 5\) float32; "),
        (["a.jpg", None], "Photograph 1 is NoneType; "),
        (["a.jpg", b"a.jpg"], "Photograph 1 is bytes; "),
        (b"\xff\xd8\xff", "Photograph 0 is bytes; "),
        (bytearray(b"\xff\xd8\xff"), "Photograph 0 is bytearray; "),
        (memoryview(b"\xff\xd8\xff"), r"Photograph 0 is memoryview \(3,\); "),
        (None, "Photograph 0 is NoneType; "),
        (7, "Photograph 0 is int; "),
        ([["a.jpg"]], "Photograph 0 is list; "),
        ([float("nan")], "Photograph 0 is float; "),
        ([io.BytesIO()], "Photograph 0 is _io.BytesIO; "),
        ({"a.jpg": 1}, "Photograph 0 is dict; "),
        (pd.DataFrame({"path": ["a.jpg"]}), r"Photograph 0 is pandas.*DataFrame \(1, 1\); "),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_taken(sources: object, said: str) -> None:
    words = (
        r"expected a path \(str or Path\) or a PIL image\. Make one of an array with "
        r"PIL\.Image\.fromarray, of bytes or an open file with PIL\.Image\.open; of a table give "
        r"the column of paths\."
    )
    with pytest.raises(TypeError, match=f"^{said}{words}$"):
        list(photographs(sources))
