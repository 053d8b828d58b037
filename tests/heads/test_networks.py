"""Networks start as asked, standardise inside, and come back from their files unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from cache.errors import RunError
from heads.networks import (
    LOSSES,
    Shape,
    build_body,
    forward,
    load_model,
    model_from_state,
    model_state,
    save_model,
    start_at,
    whole_model,
)
from heads.photographs import Standardiser
from heads.settings import NetworkSettings
from tests.heads.planted import keras_saves

DEEP = NetworkSettings(hidden=(6, 5), dropout=0.5, start="random")
SHAPE = Shape(4, 3, "softmax")
RAW = np.random.default_rng(0).random((7, 4), np.float32)
SCALER = Standardiser(np.array([1, 2, 3, 4], np.float32), np.array([0.5, 0.25, 2, 1], np.float32))


def test_a_start_at_the_mean_gives_the_same_output_for_every_input() -> None:
    body = build_body(replace(DEEP, start="mean"), SHAPE, seed=0)
    start_at(body, np.log(np.array([0.2, 0.3, 0.5], np.float32)))
    np.testing.assert_allclose(forward(body, RAW), [[0.2, 0.3, 0.5]] * 7, rtol=1e-5)


def test_a_random_start_gives_different_outputs_and_follows_its_seed() -> None:
    outputs = [forward(build_body(DEEP, SHAPE, seed=seed), RAW) for seed in (1, 1, 2)]
    assert np.ptp(outputs[0], axis=0).max() > 0.01
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_hidden_layers_have_the_widths_asked_for() -> None:
    kernels = [w.shape for w in build_body(DEEP, SHAPE, seed=0).get_weights() if w.ndim == 2]
    assert kernels == [(4, 6), (6, 5), (5, 3)]


def test_l2_is_a_penalty_in_the_loss_except_with_decoupled_decay() -> None:
    for optimizer, penalties in (("adam", 3), ("sgd", 3), ("adamw", 0)):
        body = build_body(replace(DEEP, l2=0.1, optimizer=optimizer), SHAPE, seed=0)
        assert len(body.losses) == penalties
    penalty = sum(float(np.sum(np.square(w))) for w in body.get_weights() if w.ndim == 2)
    body = build_body(replace(DEEP, l2=0.1, optimizer="adam"), SHAPE, seed=0)
    assert float(sum(body.losses)) == pytest.approx(0.1 * penalty, rel=1e-4)


def test_the_whole_model_standardises_raw_features() -> None:
    body = build_body(DEEP, SHAPE, seed=0)
    model = whole_model(body, SCALER)
    np.testing.assert_allclose(forward(model, RAW), forward(body, SCALER.apply(RAW)), rtol=1e-5)


@keras_saves
@pytest.mark.parametrize("scaler", [SCALER, None])
def test_a_model_comes_back_from_its_state_and_its_file(
    tmp_path: Path, scaler: Standardiser | None
) -> None:
    model = whole_model(build_body(DEEP, SHAPE, seed=0), scaler)
    expected = forward(model, RAW)
    restored = model_from_state(DEEP, SHAPE, model_state(model))
    np.testing.assert_array_equal(forward(restored, RAW), expected)
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(forward(loaded, RAW), expected)
    np.testing.assert_array_equal(
        forward(model_from_state(DEEP, SHAPE, model_state(loaded)), RAW), expected
    )


def test_a_model_that_carries_code_is_refused(tmp_path: Path) -> None:
    layers = [keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded as a Keras model"):
        load_model(tmp_path / "model.keras")


def test_a_missing_or_damaged_model_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be loaded.*Train the head again"):
        load_model(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"cannot be loaded.*Train the head again"):
        load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_loss_is_one_value_a_photograph_and_lowest_at_the_truth(loss: str) -> None:
    true = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    off = np.array([[0.6, 0.4], [0.3, 0.7]], np.float32)
    at_truth, beside = (np.asarray(LOSSES[loss](true, p)) for p in (true, off))
    assert at_truth.shape == beside.shape == (2,)
    assert (at_truth < beside).all()
