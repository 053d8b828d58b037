"""Settings of the neural heads are checked when made and survive being saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heads.errors import HeadError
from heads.models.neural.settings import BLOG, NetworkSettings, layer_widths, override
from heads.models.neural.tasks import BeautifulTask


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


@pytest.mark.parametrize(
    "settings", [NetworkSettings(), BLOG, override(BLOG, {"hidden": (8, 4), "lr": 0.1})]
)
def test_settings_survive_json(settings: NetworkSettings) -> None:
    assert NetworkSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(HeadError, match="no setting colour; it has hidden, dropout"):
        NetworkSettings.from_dict({"colour": 1})


@pytest.mark.parametrize(
    ("n", "features", "lr", "batch", "epochs"),
    [
        (235_000, 1280, 0.5 / 1280, 1022, 10),
        (50_000, 1280, 0.5 / 1280, 500, 10),
        (519, 1280, 0.5 / 1280, 173, 50),
        (373, 1280, 0.5 / 1280, 187, 75),
        (373, 2784, 0.5 / 1280, 187, 75),
        (257, 1280, 0.5 / 1280, 129, 75),
        (100, 4, 0.01, 100, 150),
    ],
)
def test_rate_batch_and_epochs_follow_the_data(
    n: int, features: int, lr: float, batch: int, epochs: int
) -> None:
    settings = NetworkSettings().resolve(n, (features,), 0.25)
    assert (settings.batch_size, settings.epochs) == (batch, epochs)
    assert settings.lr == pytest.approx(lr)


def test_a_linear_network_gets_its_tasks_share_of_the_rate() -> None:
    linear = NetworkSettings(hidden=()).resolve(100, (1280,), 0.25)
    assert linear.lr == pytest.approx(0.125 / 1280)


def test_dropout_of_features_falls_with_the_number_of_photographs() -> None:
    many = [NetworkSettings().resolve(n, (1280,)) for n in (50, 1_000, 9_000, 10**6)]
    assert [settings.input_dropout for settings in many] == pytest.approx([0.5, 0.5, 0.1, 1 / 1001])
    assert {settings.dropout for settings in many} == {0.5}
    linear = NetworkSettings(hidden=())
    rates = [linear.resolve(500, (width,)).input_dropout for width in (2784, 1280, 80)]
    assert rates == pytest.approx([0.8, 0.8, 0.4])


def test_small_sets_get_an_average_of_three_networks_with_hidden_layers() -> None:
    sizes = (50, 10_000, 10_001, 10**6)
    many = [NetworkSettings().resolve(n, (1280,)).ensemble for n in sizes]
    assert many == [3, 3, 1, 1]
    assert NetworkSettings(ensemble=2).networks(50) == 2
    assert NetworkSettings(hidden=()).networks(50) == 1
    assert BLOG.networks(50) == 1


def test_what_is_given_stays() -> None:
    settings = NetworkSettings(
        lr=0.5, batch_size=7, epochs=3, dropout=0.1, input_dropout=0.0, ensemble=2
    )
    assert settings.resolve(10_000, (10,)).to_dict() == settings.to_dict()


def test_resolved_settings_leave_nothing_open_and_stay_as_they_are() -> None:
    resolved = NetworkSettings().resolve(500, (12, 20))
    still_open = {name for name, value in resolved.to_dict().items() if value is None}
    assert still_open == {"patience", "precision"}
    assert resolved.resolve(90_000, resolved.layer_widths, 0.25) == resolved


def test_settings_know_the_widths_of_several_layers_alone() -> None:
    one, two = (("top", 0, 32),), (("low", 0, 12), ("top", 12, 32))
    wrong = NetworkSettings(layer_widths=(5,))
    assert NetworkSettings().resolve(500, layer_widths(one)).layer_widths == ()
    assert NetworkSettings().resolve(500, layer_widths(two)).layer_widths == (12, 20)
    assert wrong.resolve(500, layer_widths(one)).layer_widths == ()


def test_the_blogs_settings_start_at_random_on_raw_features() -> None:
    assert (BLOG.start, BLOG.standardise, BLOG.optimizer) == ("random", False, "adam")
    assert (BLOG.lr, BLOG.batch_size, BLOG.l2) == (1e-3, 128, 0.0)
    assert (BLOG.hidden, BLOG.transform, BLOG.cross_entropy) == ((), "none", 0.0)
    assert (BeautifulTask.blog.batch_size, BeautifulTask.blog.l2) == (64, 0.1)
