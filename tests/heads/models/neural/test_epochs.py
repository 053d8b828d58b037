"""The compiled pass makes Keras' own steps; bfloat16 is used where it is fast, unless asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from heads.models.neural import epochs
from heads.models.neural.dropout import Dropout
from heads.models.neural.epochs import make_epoch, multiplies_bfloat16, precision_of
from heads.models.neural.inputs import spans
from heads.models.neural.network import Network, trained_weights
from heads.models.neural.settings import NetworkSettings
from heads.models.neural.tasks import DistributionTask
from heads.models.neural.training import draw_order
from tests.heads.models.neural.trained import training_data

# --- the oracle: Keras' own training step, where a gate before each layer drops by zeros ----------


class Gate(keras.layers.Layer):
    """In training, multiplies a layer's units by one mask for the whole batch."""

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.mask = self.add_weight(
            shape=input_shape[-1:], initializer="ones", trainable=False, name="mask"
        )

    def call(self, units: Any, training: bool = False) -> Any:
        return units * self.mask if training else units


def mask(dropout: Dropout, kept: np.ndarray) -> np.ndarray:
    """Return the factor of each unit: 0, or `scale` in the kept blocks."""
    factors = np.zeros((dropout.n_blocks, dropout.block), np.float32)
    factors[kept] = dropout.scale
    return factors.ravel()


def keras_optimizer(network: Network) -> Any:
    """Return Keras' own optimizer with its course of the rate."""
    settings, optimizers = network.settings, keras.optimizers
    lr: Any = settings.lr
    if settings.schedule == "cosine":
        lr = optimizers.schedules.CosineDecay(lr, network.decay_steps)
    if settings.optimizer == "sgd":
        return optimizers.SGD(lr, momentum=0.9)
    if settings.optimizer == "adam":
        return optimizers.Adam(lr)
    optimizer = optimizers.AdamW(lr, weight_decay=settings.l2)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def keras_epoch(network: Network) -> epochs.Epoch:
    """Return a pass through `train_on_batch` over the same layers."""
    if network.settings.optimizer != "adamw":
        for layer in network.body.layers:
            layer.kernel.regularizer = keras.regularizers.L2(network.settings.l2)
    gates = [Gate() for _ in network.dropouts]
    inputs = keras.Input(network.body.input_shape[1:])
    gated = keras.Sequential(
        [
            inputs,
            *(layer for pair in zip(gates, network.body.layers, strict=True) for layer in pair),
        ]
    )
    gated.compile(optimizer=keras_optimizer(network), loss=network.loss, jit_compile=False)

    def epoch(features, targets, rows, photos, kept) -> None:  # type: ignore[no-untyped-def]
        for step, (a, b) in enumerate(spans(len(rows), network.settings.batch_size)):
            for gate, dropout, blocks in zip(gates, network.dropouts, kept, strict=True):
                gate.mask.assign(mask(dropout, blocks[step]))
            gated.train_on_batch(features[rows[a:b]].astype(np.float32), targets[photos[a:b]])

    return epoch


@pytest.mark.parametrize(
    ("optimizer", "schedule", "n_views"),
    [("adamw", "cosine", 3), ("adam", "constant", 1), ("sgd", "cosine", 1)],
)
def test_the_compiled_pass_makes_the_steps_of_keras(
    optimizer: str, schedule: str, n_views: int
) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((50, n_views, 6)).astype(np.float16)
    targets = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    settings = NetworkSettings(
        optimizer=optimizer, lr=0.01, batch_size=16, input_dropout=0.5, l2=0.05, hidden=(8, 4)
    )
    settings = replace(settings, dropout=0.5, precision="float32", start="random", epochs=4)
    settings = replace(settings, schedule=schedule)
    resolved, weights = settings.resolve(50, (6,)), []
    data = training_data(X, targets, resolved)
    for make in (make_epoch, keras_epoch):
        network = Network.build(DistributionTask(3), targets, resolved, 6, seed=3)
        start = trained_weights(network.body)
        epoch, order = make(network), np.random.default_rng(1)
        for _ in range(3):
            epoch(data.photographs.whole(), targets, *draw_order(network, data, 50, order))
        weights.append(trained_weights(network.body))
    for compiled, plain, first in zip(*weights, start, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=2e-6)
        assert np.abs(compiled - first).max() > 1e-3


def test_networks_that_differ_in_rates_seeds_and_numbers_of_photographs_share_a_graph() -> None:
    rng, graphs, task = np.random.default_rng(0), [], DistributionTask(3)
    settings = NetworkSettings(hidden=(4,), batch_size=8, precision="float32", start="random")
    for n, lr, l2, cross_entropy in (
        (20, 0.1, 0, 0),
        (31, 0.2, 1, 0),
        (42, 0.3, 2, 0),
        (42, 1, 0, 1),
    ):
        own = replace(settings, lr=lr, l2=l2, cross_entropy=cross_entropy).resolve(n, (6,))
        targets = rng.dirichlet(np.ones(3), n).astype(np.float32)
        data = training_data(rng.random((n, 1, 6)).astype(np.float16), targets, own)
        network = Network.build(task, targets, own, 6, seed=n)
        start = trained_weights(network.body)
        epoch = make_epoch(network)
        epoch(data.photographs.whole(), targets, *draw_order(network, data, n, rng))
        assert all(map(np.any, map(np.subtract, start, trained_weights(network.body))))
        graphs.append(epoch.func)
    assert graphs[0] is graphs[1] is graphs[2] is not graphs[3]
    # Once for a number of photographs, once for any.
    assert graphs[0].experimental_get_tracing_count() == 2


def test_a_mask_is_zero_where_dropped_and_keeps_the_layers_sum() -> None:
    dropout = Dropout(1280, 0.8)
    masks = [mask(dropout, kept) for kept in dropout.draw(2000, np.random.default_rng(0))]
    assert {float(value) for value in np.unique(masks)} == {0.0, 5.0}
    np.testing.assert_allclose(np.sum(masks, axis=1), 1280)
    # 2,000 draws of 0 or 5 with a mean of 1: a deviation of 2 / sqrt(2000) = 0.045.
    np.testing.assert_allclose(np.mean(masks, axis=0), 1, atol=0.2)


# --- precision ------------------------------------------------------------------------------------


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the file that lists the processor's flags; there is none yet."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(epochs, "CPUINFO", path)
    multiplies_bfloat16.cache_clear()
    yield path
    multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "chosen"), [("avx512f avx512_bf16", "bfloat16"), ("avx512f", "float32")]
)
def test_a_hidden_layer_is_multiplied_as_the_processor_likes(
    processor: Path, flags: str, chosen: str
) -> None:
    processor.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} vme\n")
    assert precision_of(NetworkSettings(hidden=(8,))) == chosen
    assert precision_of(NetworkSettings(hidden=())) == "float32"


def test_an_unknown_processor_multiplies_float32(processor: Path) -> None:
    assert not processor.exists()
    assert precision_of(NetworkSettings()) == "float32"


def test_what_is_asked_for_is_used(processor: Path) -> None:
    assert precision_of(NetworkSettings(precision="bfloat16")) == "bfloat16"
    processor.write_text("flags : avx512_bf16")
    assert precision_of(NetworkSettings(precision="float32")) == "float32"
