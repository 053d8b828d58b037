"""What an extraction is about to do: photographs found, weights chosen, extractors told apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cache.errors import (
    LabelError,
    NoPhotographsError,
    StaleCacheError,
)
from cache.resume import Reuse
from cache.store import open_cache, partial_path
from cache.text import shown
from cache.types import ExtractorSpec
from extract.backbones.base import Backbone
from extract.backbones.engines import EngineSettings
from extract.backbones.mobilenet_v2 import MOBILENET_V2, WHEEL
from extract.backbones.registry import BACKBONES
from extract.backbones.weights import Weights
from extract.errors import WeightsError
from extract.images.resizing import find_interpolation
from extract.images.views import PILLOW, PREPROCESSING
from extract.run import plan
from extract.run.extract import extract
from extract.run.settings import Settings
from extract.run.summary import Summary
from tests.cheap import (
    Opener,
    make_folder,
    make_weights,
    settings_for,
)

N = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Twenty photographs, all sound, all of the split train."""
    make_folder(tmp_path / "data", N)
    return settings_for(tmp_path)


def do(settings: Settings) -> Summary:
    (summary,) = extract(settings, Opener())
    return summary


def test_no_photograph_at_all_is_an_error_that_says_where_it_looked(settings: Settings) -> None:
    shutil.rmtree(settings.data / "images")
    with pytest.raises(NoPhotographsError) as caught:
        do(settings)
    assert str(caught.value) == (
        f"None of the 20 labelled photographs was found below {settings.data} (looked for 0.jpg, "
        f"for one). Put them into {settings.data}/images."
    )
    assert not settings.out.exists()


def test_a_folder_without_labels_is_refused(settings: Settings) -> None:
    (settings.data / "labels.csv").unlink()
    with pytest.raises(LabelError, match=r"holds neither AVA\.txt"):
        do(settings)


def test_a_folder_with_both_labels_is_refused(settings: Settings) -> None:
    (settings.data / "AVA.txt").write_text("1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n")
    with pytest.raises(LabelError, match="holds both"):
        do(settings)


def test_missing_photographs_are_counted_when_the_run_begins(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "images" / "4.jpg").unlink()
    do(settings)
    assert (
        f"{settings.data}/labels.csv: 20 labelled photographs, 19 found, 1 missing below "
        f"{settings.data}." in capsys.readouterr().err
    )


def other_weights(settings: Settings, _: pytest.MonkeyPatch) -> Settings:
    return replace(settings, weights=make_weights(settings.out.parent / "other", b"others"))


def constant(name: str, value: object) -> Callable[..., Settings]:
    def change(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
        patch.setitem(PREPROCESSING, name, value)
        return settings

    return change


def other_scaling(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    real = plan.find_weights
    patch.setattr(plan, "find_weights", lambda *a: replace(real(*a), scaling="torch"))
    return settings


def other_backbone(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    patch.setitem(BACKBONES, "another", replace(MOBILENET_V2, name="another"))
    return replace(settings, backbone="another")


def other_resizer(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    patch.setattr(plan, "find_interpolation", lambda *_: "bicubic")
    return settings


CHANGES: dict[str, Callable[..., Settings]] = {
    "backbone": other_backbone,
    "weights_sha256": other_weights,
    "scaling": other_scaling,
    "decode": constant("decode", "another way"),
    "resize": constant("resize", (300, 300)),
    "crop": constant("crop", (192, 192)),
    "interpolation": other_resizer,
    "views": lambda settings, _: replace(settings, views="flip"),
    "layers": lambda settings, _: replace(settings, engine=EngineSettings(layers="multi")),
    "precision": lambda settings, _: replace(settings, engine=EngineSettings(precision="bfloat16")),
    "dtype": lambda settings, _: replace(settings, dtype="float32"),
}


def test_every_field_of_the_fingerprint_is_tried() -> None:
    assert set(CHANGES) == {field.name for field in fields(ExtractorSpec)}


@pytest.mark.parametrize(
    ("layers", "fingerprint"),
    [
        ("top", "1a8e6bc9ea43af600224741e895cc958455198f7f71a31364137299c51e8b7c6"),
        ("multi", "6118cfbbf87a594f0375a1671750b7800ea7f56925f14e58fbd6543de1076731"),
    ],
)
def test_fingerprints_are_those_of_caches_that_exist(
    settings: Settings, layers: str, fingerprint: str
) -> None:
    settings = replace(settings, resizer="pillow", engine=EngineSettings(layers=layers))
    wheel = Weights(Path("any"), WHEEL.sha256, WHEEL.layout, WHEEL.scaling, "", MOBILENET_V2)
    assert plan.make_spec(settings, wheel).sha256 == fingerprint


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("partial", [False, True])
def test_another_extractor_is_refused_with_the_field_and_both_values(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, partial: bool
) -> None:
    path = do(settings).path
    theirs = open_cache(path).spec.to_dict()[name]
    if partial:
        path.rename(partial_path(path))
        path = partial_path(path)
    changed = CHANGES[name](settings, monkeypatch)
    weights = plan.find_weights(BACKBONES[changed.backbone], changed.weights)
    mine = plan.make_spec(changed, weights).to_dict()[name]
    content = path.read_bytes()
    with pytest.raises(StaleCacheError) as caught:
        do(changed)
    assert str(caught.value) == (
        f"{path} was made by another extractor: its {name} is {shown(theirs)}, this command's is "
        f"{shown(mine)}. Use the same settings, choose another --out, or replace it with "
        "--overwrite."
    )
    assert path.read_bytes() == content


def test_auto_weights_are_those_of_the_other_splits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(settings)
    asked = []

    def find(backbone: Backbone, choice: str, wanted: str | None = None) -> object:
        asked.append((choice, wanted))
        raise WeightsError("stop here")

    monkeypatch.setattr(plan, "find_weights", find)
    own = open_cache(settings.out / "train.h5").spec.weights_sha256
    for changed in (
        replace(settings, weights="auto"),
        replace(settings, weights="wheel"),
        replace(settings, weights="auto", reuse=Reuse(overwrite=True)),
        replace(settings, weights="auto", out=settings.out / "empty"),
    ):
        with pytest.raises(WeightsError, match="stop here"):
            do(changed)
    assert asked == [("auto", own), ("wheel", None), ("auto", None), ("auto", None)]


def test_auto_resizes_as_for_the_other_splits(settings: Settings) -> None:
    def resized(settings: Settings) -> str:
        return open_cache(do(settings).path).spec.interpolation

    here = find_interpolation("auto")
    assert resized(replace(settings, resizer="pillow")) == PILLOW
    assert resized(settings) == PILLOW
    assert resized(replace(settings, reuse=Reuse(overwrite=True))) == here
    assert resized(replace(settings, out=settings.out / "empty")) == here


@pytest.mark.parametrize("name", ["val.h5.partial", "test.shard-2-of-3.h5", "train.h5"])
def test_auto_weights_look_at_unfinished_files_and_shards_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = do(settings).path
    own = open_cache(path).spec.weights_sha256
    path.rename(settings.out / name)
    asked = []
    monkeypatch.setattr(plan, "find_weights", lambda _, *arguments: asked.append(arguments))
    plan.wanted_weights(replace(settings, weights="auto"))
    assert asked == [("auto", own)]
