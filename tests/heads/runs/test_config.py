"""What decides a run's numbers gives the digits that earlier versions wrote into config.json."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cache.types import ExtractorSpec
from heads.data.metadata import WIDTH
from heads.data.splits import load_splits
from heads.experiments.train import run_config
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings
from heads.models.registry import HEADS, Settings
from heads.runs.config import Config, FoldsConfig, RunConfig, SplitFacts
from tests.heads.planted import Plan, spec, with_metadata

ONE = spec(Plan())
TWO = replace(ONE, layers=(("block", 0, 20), ("top", 20, 32)))
LINEAR = NetworkSettings(hidden=())
SIZES = {"train": 600, "val": 150, "test": 200}
SPLITS = {split: SplitFacts("a" * 64, "b" * 64, n) for split, n in SIZES.items()}


# As version 0.1.0 wrote them.
@pytest.mark.parametrize(
    ("head", "settings", "extractor", "streamed_bytes", "digits"),
    [
        (
            "constant",
            None,
            ONE,
            None,
            "ea4ab85612b0574664f0e7c0ab21fdcd927302832e37045e81c43930c8017bb9",
        ),
        (
            "ridge",
            ClosedFormSettings(),
            ONE,
            None,
            "1c5a626b4253a697446a288e9d652dd742b63a7fba9d3c5fc76e3a2aad2682d1",
        ),
        (
            "emd",
            None,
            ONE,
            None,
            "eb512a60be410058779ca5217f55ebb23ca20ddb0d950b9b595dca4c007f8f14",
        ),
        (
            "tanh",
            LINEAR,
            ONE,
            None,
            "f4de0e95ff669bab5140ada7da75c70a04bbb82c7e8901192156b46f96dcfd59",
        ),
        (
            "binary",
            HEADS["binary"].blog_settings,
            ONE,
            None,
            "be7b44d6374def6957c53d5fadab943caf8217fceabe1687c84e9d0d5827fedc",
        ),
        (
            "emd",
            NetworkSettings(ensemble=2),
            TWO,
            None,
            "a6b2925849af78c701648b68b7500f0f4b7f6d17dd6039968a0cac7084ebdf29",
        ),
        (
            "sigmoid",
            None,
            ONE,
            12345,
            "1742a07553401d3728d21408000242ea772b0eb3cfd0cc3822e55bb666f209ca",
        ),
    ],
)
def test_the_identity_of_a_run_stays(
    head: str,
    settings: Settings | None,
    extractor: ExtractorSpec,
    streamed_bytes: int | None,
    digits: str,
) -> None:
    config = RunConfig(
        head=head,
        settings=settings or HEADS[head].default_settings,
        seed=0,
        limit=None,
        extractor=extractor,
        splits=SPLITS,
        features_dir="features",
        label_note="",
        library_versions={},
        streamed_bytes=streamed_bytes,
    )
    assert config.identity == digits
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("head", "settings", "digits"),
    [
        (
            "ridge",
            ClosedFormSettings(),
            "097c1fab5d4fd22efdc0578cbb28a3960070eb9e83e4122358429b7423d032ee",
        ),
        ("tanh", LINEAR, "6818be0ca9d80705ecab05c5159681b9e10f98d1d41df0fdf92839b68c784b14"),
        ("emd", None, "f6b7957a5d5cca66d623a96c47f3a62ac308c598aa1d82b34d17dcf618a042e4"),
    ],
)
def test_the_identity_of_a_cross_validation_stays(
    head: str, settings: Settings | None, digits: str
) -> None:
    config = FoldsConfig(
        head=head,
        settings=settings or HEADS[head].default_settings,
        folds=5,
        ways=1,
        seeds=1,
        seed=0,
        limit=None,
        n_train=480,
        views=1,
        columns=(0, 32),
        extractor=ONE,
        splits=SPLITS,
        features_dir="features",
        label_note="",
        library_versions={},
        streamed_bytes=None,
    )
    assert config.identity == digits


@pytest.mark.parametrize("kind", [RunConfig, FoldsConfig])
def test_every_field_decides_the_identity_or_is_only_noted(kind: type[Config]) -> None:
    names = [field.name for field in fields(kind)]
    assert sorted([*kind.deciding, *kind.noted]) == sorted(names)


def test_other_metadata_is_another_run_of_the_heads_that_are_given_it_alone(planted: Path) -> None:
    data, others = with_metadata(load_splits(planted)), with_metadata(load_splits(planted))
    others["test"].metadata[3, 0, WIDTH] += 1
    for head in ("metadata", "challenge-mean", "ridge"):
        one, other = (run_config(head, None, 0, each).identity for each in (data, others))
        assert (one == other) == (head == "ridge")
