"""Dropout by the batch: how many units stay, which, and that their sum keeps its expectation."""

from __future__ import annotations

import numpy as np
import pytest

from heads.models.neural.dropout import (
    FEWEST_BLOCKS,
    LARGEST_BLOCK,
    LARGEST_ERROR,
    Dropout,
    dropouts,
)
from heads.models.neural.settings import NetworkSettings


@pytest.mark.parametrize(
    ("width", "rate", "block"),
    [
        (1280, 0.5, 16),
        (2784, 0.5, 16),
        (256, 0.5, 16),
        (128, 0.5, 8),
        (100, 0.5, 2),  # 12 of 25 would be 0.52
        (6, 0.5, 1),
        (256, 0.1, 8),  # 14 of 16 would be 0.125, as for 0.15
        (256, 0.3, 4),
    ],
)
def test_blocks_divide_the_layer_and_leave_enough_to_choose_from(
    width: int, rate: float, block: int
) -> None:
    dropout = Dropout(width, rate)
    assert dropout.block == block <= LARGEST_BLOCK
    assert dropout.n_blocks * block == width
    assert block == 1 or dropout.n_blocks >= FEWEST_BLOCKS


@pytest.mark.parametrize("width", [160, 256, 512, 1280, 2784])
def test_the_share_dropped_is_close_to_the_one_asked_for(width: int) -> None:
    for rate in np.linspace(0, 0.99, 100):
        dropout = Dropout(width, float(rate))
        assert 1 - dropout.n_kept / dropout.n_blocks == pytest.approx(
            rate, abs=LARGEST_ERROR + 1e-9
        )


@pytest.mark.parametrize("rate", [0.0, 0.17, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("width", [1, 6, 256, 1280])
def test_each_step_keeps_as_many_different_blocks(width: int, rate: float) -> None:
    dropout = Dropout(width, rate)
    kept = dropout.draw(50, np.random.default_rng(0))
    assert kept.dtype == np.int32
    assert kept.shape == (50, dropout.n_kept)
    assert 1 <= dropout.n_kept <= dropout.n_blocks
    assert (np.diff(kept, axis=1) > 0).all()
    assert kept.min() >= 0
    assert kept.max() < dropout.n_blocks
    assert dropout.keeps_all == (dropout.n_kept == dropout.n_blocks)


def test_steps_differ_and_the_generator_decides() -> None:
    dropout = Dropout(64, 0.5)
    first, again = (dropout.draw(10, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({tuple(step) for step in first.tolist()}) == 10


def test_a_network_drops_features_and_every_hidden_layer() -> None:
    settings = NetworkSettings().resolve(500, (1280,))
    assert dropouts(settings, 1280) == [Dropout(1280, 0.5), Dropout(256, 0.5)]
