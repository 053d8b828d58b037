"""What a run notes of a head of one's own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from heads.models.neural.settings import NetworkSettings
from heads.models.own.settings import OwnSettings
from heads.models.registry import settings_from_dict

NETWORK = OwnSettings("network", "m:f", "m 1", "mean", {"loss": "mse"}, NetworkSettings())


def test_settings_come_back_from_json() -> None:
    plain = OwnSettings("estimator", "m:C", "m 1", "mean", {"alpha": 1.5})
    for settings in (plain, NETWORK):
        assert settings_from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_networks_settings_are_resolved_and_others_stay() -> None:
    assert NETWORK.resolve(500, [32]).network.lr > 0
    plain = OwnSettings("class", "m:C", "m 1", "", {})
    assert plain.resolve(500, [32]) is plain


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="no 'tree' that learns 'mean'"):
        replace(NETWORK, kind="tree")
    with pytest.raises(ValueError, match=r"no 'network' that learns '\\x1bx+\[\.\.\. 60 more"):
        replace(NETWORK, learns="\x1b" + "x" * 99)
    with pytest.raises(ValueError, match="network settings are those of a network"):
        replace(NETWORK, network=None)
