"""Settings of the neural heads are checked when made and survive being saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cache.errors import HeadError
from heads.settings import NEURAL_HEADS, NetworkSettings, blog, override, tuned


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
    ("head", "n", "features", "lr", "batch"),
    [
        ("emd", 235_000, 1280, 0.4 / 1280, 1024),
        ("emd", 5_000, 1280, 0.4 / 1280, 50),
        ("emd", 100, 1280, 0.4 / 1280, 32),
        ("emd", 100, 4, 0.01, 32),
        ("tanh", 100, 1280, 0.1 / 1280, 32),
    ],
)
def test_rate_and_batch_follow_the_data(
    head: str, n: int, features: int, lr: float, batch: int
) -> None:
    settings = NetworkSettings().resolved(head, n, features)
    assert (settings.lr, settings.batch_size) == (pytest.approx(lr), batch)


def test_a_given_rate_and_batch_stay() -> None:
    settings = NetworkSettings(lr=0.5, batch_size=7)
    assert settings.resolved("emd", 10_000, 10) == settings


def test_the_blogs_settings_start_at_random_on_raw_features() -> None:
    settings = blog("emd")
    assert (settings.start, settings.standardise, settings.optimizer) == ("random", False, "adam")
    assert (settings.lr, settings.batch_size, settings.l2) == (1e-3, 128, 0.0)
    assert (blog("binary").batch_size, blog("binary").l2) == (64, 0.1)
