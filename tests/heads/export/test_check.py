"""One model from pixels to score, equal to the run it came from, or not published."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import EngineError
from cache.types import Scale
from extract.images.decode import read_photograph
from extract.images.views import CROP, RESIZE, views
from heads.cli.main import main
from heads.errors import HeadError, RunError
from heads.export import check as exporting
from heads.export.check import FORMATS, default_photographs, export
from heads.models.base import Head
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import HEADS, ClosedFormSettings, make_head, neural_heads
from heads.models.ridge import RidgeDistHead, RidgeHead
from heads.runs.config import RunConfig, SplitFacts
from heads.runs.loaded import LoadedRun, load_run
from heads.runs.reference import Reference
from tests.heads.made import planted
from tests.heads.studio import Studio, picture, save_pictures
from tests.heads.wheel import needs_wheel, wheel_spec

QUICK = NetworkSettings(hidden=(), transform="none", epochs=2, lr=1e-3)
DEFAULT = NetworkSettings(hidden=(8,), epochs=2, ensemble=2)


def trained(head: Head, width: int = 12, views: int = 2) -> Head:
    data = planted(260, width, views)
    head.fit(*data.part(0, 200), *data.part(200, 260), seed=0)
    return head


def loaded(folder: Path, choice: str = "center") -> LoadedRun:
    """A run of ridge-dist on features of the real width, on the scale 1..7."""
    spec = wheel_spec(choice=choice)
    config = RunConfig(
        head="ridge-dist",
        settings=ClosedFormSettings(),
        seed=0,
        limit=None,
        extractor=spec,
        splits={"train": SplitFacts("", "", 200)},
        features_dir=str(folder / "no features"),
        label_note="",
        library_versions={},
    )
    head = trained(RidgeDistHead(), spec.n_features, views=1)
    reference = Reference(Scale(1, 7), "4", np.linspace(1, 7, 13))
    return LoadedRun(folder / "run", config, head, reference)


def smooth(number: int, size: tuple[int, int]) -> Image.Image:
    return picture(number).resize(size, Image.Resampling.BICUBIC)


# --- the graph ------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["center", "flip", "ten", "whole"])
@pytest.mark.parametrize("size", [(640, 427), (333, 500), (256, 256), (90, 130)])
def test_views_are_cut_as_pillow_cuts_them(choice: str, size: tuple[int, int]) -> None:
    from heads.export.graph import build_crops

    photograph = smooth(1, size)
    expected = read_photograph(photograph, views(choice)).pixels_u8.astype(int)
    cut = np.asarray(build_crops(views(choice), RESIZE, CROP)(np.asarray(photograph)[None]))[0]
    away = np.abs(cut.astype(int) - expected)
    assert away.max() <= 1
    assert (away > 0).mean() < 0.001


MAKERS: dict[str, Callable[[], Head]] = {
    **{
        name: lambda name=name: make_head(name)
        for name, entry in HEADS.items()
        if entry.about.looks_at_photographs and not entry.neural
    },
    **{name: lambda name=name: make_head(name, QUICK) for name in neural_heads()},
    **{f"{name} default": lambda name=name: make_head(name, DEFAULT) for name in neural_heads()},
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_graph_of_a_head_answers_as_the_head(name: str) -> None:
    import keras

    from heads.export.graph import head_outputs

    head = trained(MAKERS[name]())
    features = np.random.default_rng(1).gamma(2.0, 0.6, (40, 1, 12)).astype(np.float32)
    inputs = keras.Input((12,))
    answers = keras.Model(inputs, head_outputs(head, inputs))(features[:, 0])
    expected = head.predict(features)
    assert ("distribution" in answers) == (expected.distribution is not None)
    for key, values in answers.items():
        np.testing.assert_allclose(np.asarray(values), getattr(expected, key), atol=2e-4)


# --- formats --------------------------------------------------------------------------------------


@needs_wheel
@pytest.mark.slow
@pytest.mark.parametrize("to", ["keras", "tflite"])
def test_an_export_is_checked_and_put_in_its_place(to: str, tmp_path: Path) -> None:
    run = loaded(tmp_path)
    done = export(run, to, save_pictures(tmp_path / "photos", range(3)), None)
    assert done.path == tmp_path / "run" / "export" / FORMATS[to].file
    assert done.photographs == 3
    assert done.score_difference < 0.01
    assert done.allowed == pytest.approx(0.12)
    assert [p.name for p in done.path.parent.iterdir()] == [FORMATS[to].file]


@needs_wheel
@pytest.mark.slow
def test_an_export_averages_the_views_of_its_run(tmp_path: Path) -> None:
    run = loaded(tmp_path, "ten")
    out = tmp_path / "score.keras"
    done = export(run, "keras", save_pictures(tmp_path / "photos", range(2)), out)
    assert done.path == out
    assert done.score_difference < 0.01


FRESH = """
import json, sys
import tensorflow as tf
folder, photograph = sys.argv[1:]
model = tf.saved_model.load(folder)
content = open(photograph, "rb").read()
answers = model.signatures["serving_default"](image_bytes=tf.constant([content, content]))
print(json.dumps({name: value.numpy().tolist() for name, value in answers.items()}))
"""


@needs_wheel
@pytest.mark.slow
def test_a_saved_model_scores_jpegs_in_a_process_that_has_only_tensorflow(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    photograph = tmp_path / "photo.jpg"
    smooth(3, (500, 380)).save(photograph)
    first = export(run, "saved-model", [photograph], tmp_path / "served").path
    assert first == tmp_path / "served" / "1"
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(first), str(photograph)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    answers = json.loads(done.stdout)
    expected = run.head.predict(exporting._expected_features(run, [photograph], "wheel"))
    np.testing.assert_allclose(answers["score"], expected.score[[0, 0]], atol=0.01)
    np.testing.assert_allclose(answers["distribution"][1], expected.distribution[0], atol=0.01)


@needs_wheel
@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in FORMATS["onnx"].packages),
    reason="no ONNX: extra [export]",
)
def test_onnx_takes_photographs_of_any_size(tmp_path: Path) -> None:
    photographs = save_pictures(tmp_path / "photos", [1])
    smooth(2, (300, 500)).save(tmp_path / "tall.jpg")
    done = export(loaded(tmp_path), "onnx", [*photographs, tmp_path / "tall.jpg"], None)
    assert done.photographs == 2
    assert done.score_difference < 0.01


# --- refusals -------------------------------------------------------------------------------------


@needs_wheel
@pytest.mark.slow
def test_an_export_that_differs_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    run = loaded(tmp_path)
    with pytest.raises(HeadError, match=r"more apart than the 0 allowed\. Nothing was published"):
        export(run, "keras", save_pictures(tmp_path / "photos", range(2)), None)
    assert list((tmp_path / "run" / "export").iterdir()) == []


def test_outputs_that_are_missing_are_noticed(tmp_path: Path) -> None:
    expected = trained(RidgeHead()).predict(planted(5).X)
    with pytest.raises(HeadError, match="gives score instead of p_beautiful, score"):
        exporting._check_outputs({"score": np.zeros(1)}, expected)


def test_a_head_that_does_not_look_is_not_exported(studio: Studio) -> None:
    with pytest.raises(HeadError, match=r"says the same of every photograph.*nothing to export"):
        export(load_run(studio.run("constant")), "keras", [], None)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(FORMATS["onnx"], packages=("no_such_package",))
    monkeypatch.setitem(exporting.FORMATS, "onnx", absent)
    with pytest.raises(EngineError, match=r"needs no_such_package.*aesthetic-heads\[export\]"):
        export(loaded(tmp_path), "onnx", [], None)


def test_another_backend_cannot_make_tensorflow_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(EngineError, match="needs Keras' backend tensorflow; it is jax"):
        export(loaded(tmp_path), "tflite", [], None)


def test_an_export_needs_real_photographs(studio: Studio, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.jpg"
    rubbish.write_text("rubbish")
    run = load_run(studio.run())
    with pytest.raises(RunError, match=r"no upright JPEG was found among the 0 .* --photos"):
        export(run, "keras", [rubbish, tmp_path / "gone.jpg"], None)
    moved = replace(run, config=replace(run.config, features_dir=str(tmp_path)))
    with pytest.raises(RunError, match=r"There is no cache .*test\.h5.* Name some with --photos"):
        list(default_photographs(moved))


def test_by_default_photographs_of_test_are_taken(studio: Studio) -> None:
    found = list(default_photographs(load_run(studio.run())))
    assert len(found) >= 16
    assert {int(path.stem) for path in found} <= set(range(80, 100))


@needs_wheel
@pytest.mark.slow
def test_the_command_says_how_far_the_export_is_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("heads.runs.loaded.load_run", lambda path: loaded(tmp_path))
    save_pictures(tmp_path / "photos", range(2))
    words = ["export", "run", "--to", "keras", "--photos", str(tmp_path / "photos"), "--json"]
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["photographs"] == 2
    assert values["score_difference"] <= values["allowed"]
