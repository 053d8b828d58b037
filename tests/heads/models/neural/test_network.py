"""Networks start as asked, standardise inside, and come back from their files unchanged."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from heads.models.neural.inputs import Standardiser
from heads.models.neural.network import (
    LOSSES,
    build_body,
    forward,
    loss_of,
    model_state,
    rebuilt_model,
    squared_emd,
    start_at,
    weights_of_keras_file,
    whole_model,
)
from heads.models.neural.settings import NetworkSettings
from tests.heads.planted import keras_saves

DEEP = NetworkSettings(hidden=(6, 5), dropout=0.5, start="random")
RAW = np.random.default_rng(0).random((7, 4), np.float32)
SCALER = Standardiser(np.array([1, 2, 3, 4], np.float32), np.array([0.5, 0.25, 2, 1], np.float32))


def test_a_start_at_the_mean_gives_the_same_output_for_every_input() -> None:
    body = build_body(replace(DEEP, start="mean"), 4, 3, "softmax", seed=0)
    start_at(body, np.log(np.array([0.2, 0.3, 0.5], np.float32)))
    np.testing.assert_allclose(forward(body, RAW), [[0.2, 0.3, 0.5]] * 7, rtol=1e-5)


def test_a_random_start_gives_different_outputs_and_follows_its_seed() -> None:
    outputs = [forward(build_body(DEEP, 4, 3, "softmax", seed=seed), RAW) for seed in (1, 1, 2)]
    assert np.ptp(outputs[0], axis=0).max() > 0.01
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_hidden_layers_have_the_widths_asked_for() -> None:
    kernels = [
        w.shape for w in build_body(DEEP, 4, 3, "softmax", seed=0).get_weights() if w.ndim == 2
    ]
    assert kernels == [(4, 6), (6, 5), (5, 3)]


@pytest.mark.parametrize("scaler", [SCALER, replace(SCALER, root=True)])
def test_the_whole_model_standardises_raw_features(scaler: Standardiser) -> None:
    body = build_body(DEEP, 4, 3, "softmax", seed=0)
    signed = RAW - 0.5
    expected = forward(body, scaler.apply(signed))
    np.testing.assert_allclose(forward(whole_model([body], scaler), signed), expected, rtol=1e-5)


def test_the_whole_model_of_several_networks_is_their_mean() -> None:
    bodies = [build_body(DEEP, 4, 3, "softmax", seed=seed) for seed in (0, 10, 20)]
    mean = np.mean([forward(body, SCALER.apply(RAW)) for body in bodies], axis=0)
    np.testing.assert_allclose(forward(whole_model(bodies, SCALER), RAW), mean, rtol=1e-5)


def test_a_root_at_zero_is_zero_and_finite() -> None:
    scaler = Standardiser(np.zeros(4, np.float32), np.ones(4, np.float32), root=True)
    body = build_body(replace(DEEP, hidden=()), 4, 3, "softmax", seed=0)
    nothing = np.zeros((1, 4), np.float32)
    np.testing.assert_allclose(forward(whole_model([body], scaler), nothing), [[1 / 3] * 3])


@keras_saves
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("transform", ["root", "none"])
def test_a_model_comes_back_from_its_arrays_and_from_an_old_file(
    tmp_path: Path, transform: str, n_members: int
) -> None:
    settings = replace(DEEP, transform=transform, ensemble=n_members)
    bodies = [build_body(settings, 4, 3, "softmax", seed=10 * i) for i in range(n_members)]
    model = whole_model(bodies, replace(SCALER, root=transform == "root"))
    expected, arrays = forward(model, RAW), model_state(model)
    model.save(tmp_path / "model.keras")
    for kept in (arrays, weights_of_keras_file(tmp_path / "model.keras")):
        assert list(kept) == list(arrays)
        again = rebuilt_model(kept, settings, "softmax")
        np.testing.assert_array_equal(forward(again, RAW), expected)
    with pytest.raises(ValueError, match="arrays of weights for networks of 7 layers"):
        rebuilt_model(arrays, replace(settings, hidden=(4,) * 6), "softmax")


@keras_saves
def test_code_in_an_old_file_is_not_even_looked_at(tmp_path: Path) -> None:
    settings = replace(DEEP, hidden=())
    model = whole_model([build_body(settings, 4, 3, "softmax", seed=0)], SCALER)
    model.save(tmp_path / "plain.keras")
    with (
        zipfile.ZipFile(tmp_path / "plain.keras") as plain,
        zipfile.ZipFile(tmp_path / "model.keras", "w") as hostile,
    ):
        hostile.writestr("config.json", '{"class_name": "system", "module": "os"}')
        hostile.writestr("model.weights.h5", plain.read("model.weights.h5"))
    kept = weights_of_keras_file(tmp_path / "model.keras")
    assert [array.shape for array in kept.values()] == [(4, 3), (3,)]


@pytest.mark.parametrize("kind", ["soft", "external", "storage", "virtual"])
def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path, kind: str) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        own = file.create_group("layers/dense/vars")
        own["1"], file["other"] = np.zeros(3), np.zeros(3)
        if kind == "soft":
            own["0"] = h5py.SoftLink("/other")
        elif kind == "external":
            own["0"] = h5py.ExternalLink("/etc/passwd", "other")
        elif kind == "storage":
            own.create_dataset("0", (4,), "u1", external=[("/etc/hostname", 0, 4)])
        else:
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource("/tmp/none.h5", "other", (3,))
            own.create_virtual_dataset("0", layout)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("model.weights.h5", content.getvalue())
    with pytest.raises(ValueError, match="layers/dense/vars/0 leads to another place"):
        weights_of_keras_file(tmp_path / "model.keras")


def test_compressed_weights_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1000))
    with pytest.raises(ValueError, match=r"model\.weights\.h5 is compressed"):
        weights_of_keras_file(tmp_path / "model.keras")


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_loss_is_one_value_a_photograph_and_lowest_at_the_truth(loss: str) -> None:
    true = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    off = np.array([[0.6, 0.4], [0.3, 0.7]], np.float32)
    at_truth, beside = (np.asarray(LOSSES[loss](true, p)) for p in (true, off))
    assert at_truth.shape == beside.shape == (2,)
    assert (at_truth < beside).all()


def test_cross_entropy_beside_the_squared_emd_has_its_weight() -> None:
    true = np.array([[0.2, 0.8]], np.float32)
    off = np.array([[0.6, 0.4]], np.float32)
    plain, both = (np.asarray(loss_of("emd", weight)(true, off)) for weight in (0.0, 0.5))
    np.testing.assert_allclose(plain, [0.08], rtol=1e-5)
    entropy = -(0.2 * np.log(0.6) + 0.8 * np.log(0.4))
    np.testing.assert_allclose(both, [0.08 + 0.5 * entropy], rtol=1e-5)
    assert loss_of("mse", 0.5) is LOSSES["mse"]


def pairs(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true, predicted = rng.dirichlet(np.ones(5), (2, n)).astype(np.float32)
    return true, predicted


def numbers(values: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def test_the_squared_distance_is_the_mean_squared_gap_of_the_cdfs() -> None:
    true, predicted = pairs()
    gap = np.cumsum(true, axis=1) - np.cumsum(predicted, axis=1)
    np.testing.assert_allclose(
        numbers(squared_emd(true, predicted)), np.mean(gap**2, axis=1), rtol=1e-4, atol=1e-7
    )


def test_opposite_ends_are_as_far_apart_as_can_be() -> None:
    ends = np.eye(5, dtype=np.float32)[[0, 4]]
    assert numbers(squared_emd(ends[:1], ends[1:])) == pytest.approx([4 / 5])


def test_a_distribution_is_at_distance_zero_from_itself() -> None:
    true, _ = pairs()
    np.testing.assert_array_equal(numbers(squared_emd(true, true)), np.zeros(8))


def test_the_gradient_at_equality_is_zero_and_not_nan() -> None:
    tf = pytest.importorskip("tensorflow")
    true = tf.constant(pairs()[0])
    with tf.GradientTape() as tape:
        tape.watch(true)
        value = squared_emd(tf.stop_gradient(true), true)
    np.testing.assert_array_equal(tape.gradient(value, true).numpy(), np.zeros((8, 5)))
