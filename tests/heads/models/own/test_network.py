"""Keras models of one's own, trained by our trainer."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from heads import load_splits, own_head, train
from heads.errors import HeadError
from heads.runs.files import load_head
from tests.heads.models.own.heads_of_tests import layer_norm, logits
from tests.heads.planted import keras_saves

pytestmark = keras_saves
NET = own_head(layer_norm, loss="emd", name="layer-norm")


def test_a_model_learns_comes_back_and_is_the_same_with_the_same_seed(
    planted: Path, tmp_path: Path
) -> None:
    data, before = load_splits(planted), random.getstate()
    run = train(NET, data, tmp_path, epochs=12, lr=0.01, ensemble=2)
    assert run.metrics["srcc"] > 0.8
    assert run.metrics["verdict"]["emd_r2"] == "beats"
    assert len(run.history) == 12
    assert random.getstate() == before
    score = run.predictions()["score"][150:]
    np.testing.assert_array_equal(load_head(run.path).predict(data["test"].X).score, score)
    again = train(NET, data, tmp_path / "again", epochs=12, lr=0.01, ensemble=2)
    np.testing.assert_array_equal(again.predictions()["score"][150:], score)


def test_a_model_that_ends_otherwise_is_refused(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted)
    with pytest.raises(HeadError, match="logits must end in the activation softmax for the loss"):
        train(own_head(logits, loss="emd"), data, tmp_path)

    def narrow(n_features: int, n_outputs: int) -> object:
        return logits(n_features, n_outputs + 1)

    with pytest.raises(HeadError, match=r"narrow gives \(64, 2\) for 64 .* here \(64, 1\)"):
        train(own_head(narrow, loss="mse"), data, tmp_path)
