"""Settings of the neural heads are checked when made and survive being saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heads.errors import HeadError
from heads.models.neural.settings import NEURAL_HEADS, NetworkSettings, blog, override, tuned


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dropout": 1.0}, r"--dropout must be in \[0, 1\); got 1\.0"),
        ({"input_dropout": -0.1}, r"--input-dropout must be in \[0, 1\)"),
        ({"epochs": 0}, "--epochs must be at least 1; got 0"),
        ({"patience": 0}, "--patience must be at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr must be above 0; got nan"),
        ({"l2": -1.0}, "--l2 must be 0 or more"),
        ({"hidden": (5, 0)}, "--hidden must be widths from 1"),
        ({"optimizer": "adagrad"}, "--optimizer must be one of adamw, adam, sgd; got adagrad"),
        ({"schedule": "step"}, "--schedule must be one of cosine, constant"),
        ({"views": "all"}, "--views must be one of random, mean"),
        ({"ensemble": 0}, "--ensemble must be at least 1; got 0"),
        ({"cross_entropy": -1.0}, "--cross-entropy must be 0 or more"),
        ({"transform": "log"}, "--transform must be one of root, none; got log"),
        ({"precision": "float64"}, "--precision must be one of float32, bfloat16; got float64"),
        ({"start": "zero"}, "--start must be one of mean, random"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_flag(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(HeadError, match=said):
        NetworkSettings(**wrong)


@pytest.mark.parametrize("head", NEURAL_HEADS)
def test_settings_survive_json(head: str) -> None:
    for settings in (tuned(head), blog(head), override(tuned(head), {"hidden": (8, 4), "lr": 0.1})):
        assert NetworkSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(HeadError, match="no setting colour; it has hidden, dropout"):
        NetworkSettings.from_dict({"colour": 1})


@pytest.mark.parametrize(
    ("head", "n", "features", "lr", "batch", "epochs"),
    [
        ("emd", 235_000, 1280, 0.5 / 1280, 1022, 10),
        ("emd", 50_000, 1280, 0.5 / 1280, 500, 10),
        ("emd", 519, 1280, 0.5 / 1280, 173, 50),
        ("emd", 373, 1280, 0.5 / 1280, 187, 75),
        ("emd", 373, 2784, 0.5 / 1280, 187, 75),
        ("emd", 257, 1280, 0.5 / 1280, 129, 75),
        ("emd", 100, 4, 0.01, 100, 150),
        ("tanh", 100, 1280, 0.5 / 1280, 100, 150),
    ],
)
def test_rate_batch_and_epochs_follow_the_data(
    head: str, n: int, features: int, lr: float, batch: int, epochs: int
) -> None:
    settings = NetworkSettings().resolved(head, n, features)
    assert (settings.batch_size, settings.epochs) == (batch, epochs)
    assert settings.lr == pytest.approx(lr)


def test_a_linear_tanh_gets_a_quarter_of_the_rate() -> None:
    assert NetworkSettings(hidden=()).resolved("tanh", 100, 1280).lr == pytest.approx(0.125 / 1280)


def test_dropout_of_features_falls_with_the_number_of_photographs() -> None:
    many = [NetworkSettings().resolved("emd", n, 1280) for n in (50, 1_000, 9_000, 10**6)]
    assert [settings.input_dropout for settings in many] == pytest.approx([0.5, 0.5, 0.1, 1 / 1001])
    assert {settings.dropout for settings in many} == {0.5}
    linear = NetworkSettings(hidden=())
    rates = [linear.resolved("emd", 500, width).input_dropout for width in (2784, 1280, 80)]
    assert rates == pytest.approx([0.8, 0.8, 0.4])


def test_small_sets_get_an_average_of_three_networks_with_hidden_layers() -> None:
    sizes = (50, 10_000, 10_001, 10**6)
    many = [NetworkSettings().resolved("emd", n, 1280).ensemble for n in sizes]
    assert many == [3, 3, 1, 1]
    assert NetworkSettings(ensemble=2).averaged(50).ensemble == 2
    assert NetworkSettings(hidden=()).averaged(50).ensemble == 1
    assert blog("emd").averaged(50).ensemble == 1


def test_a_given_rate_and_batch_stay() -> None:
    settings = NetworkSettings(
        lr=0.5, batch_size=7, epochs=3, dropout=0.1, input_dropout=0.0, ensemble=2
    )
    assert settings.resolved("emd", 10_000, 10) == settings


def test_the_blogs_settings_start_at_random_on_raw_features() -> None:
    settings = blog("emd")
    assert (settings.start, settings.standardise, settings.optimizer) == ("random", False, "adam")
    assert (settings.lr, settings.batch_size, settings.l2) == (1e-3, 128, 0.0)
    assert (settings.hidden, settings.transform, settings.cross_entropy) == ((), "none", 0.0)
    assert (blog("binary").batch_size, blog("binary").l2) == (64, 0.1)
