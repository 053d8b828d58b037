"""One model from pixels to score, equal to the run it came from, or not published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import EngineError, StorageError
from heads.errors import HeadError, RunError
from heads.export import check as exporting
from heads.export.check import FORMATS, default_photographs, export
from heads.export.formats import Sample
from heads.models.ridge import RidgeHead
from heads.runs.loaded import load_run
from tests.documents import CHECKOUT, python_blocks, read
from tests.extract.images.icc import P3, of_primaries
from tests.heads.export.exported import PICTURE, PICTURES, exif, loaded, trained
from tests.heads.made import planted
from tests.heads.studio import Studio, save_pictures
from tests.wheel import needs_wheel

# --- what is published ----------------------------------------------------------------------------


@needs_wheel
@pytest.mark.slow
def test_an_export_averages_the_views_of_its_run(tmp_path: Path) -> None:
    run = loaded(tmp_path, "ten")
    out = tmp_path / "score.keras"
    done = export(run, "keras", save_pictures(tmp_path / "photos", range(2)), out)
    assert done.path == out
    assert done.score_difference < 0.01


def test_pixels_prepared_as_the_documents_show_are_those_of_the_check(tmp_path: Path) -> None:
    (shown,) = [
        block
        for block in python_blocks(read(CHECKOUT, "docs/scoring-and-export.md"))
        if "def pixels_u8" in block
    ]
    names: dict[str, Any] = {}
    exec(shown.partition("print(")[0], names)
    for name, image in PICTURES.items():
        image.save(tmp_path / name)
    PICTURE.save(tmp_path / "turned.jpg", exif=exif(6))
    PICTURE.save(tmp_path / "wide.jpg", exif=exif(6), icc_profile=of_primaries(P3))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(names["pixels_u8"](path), Sample.of(path).pixels_u8[None])


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
    with pytest.raises(HeadError, match=r"looks at no photograph: there is nothing to export"):
        export(load_run(studio.run("constant")), "keras", [], None)


def test_a_run_on_frames_is_not_exported_to_tflite(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    spec = replace(run.config.extractor, views=("frame",))
    run = replace(run, config=replace(run.config, extractor=spec))
    with pytest.raises(HeadError) as caught:
        export(run, "tflite", [], None)
    assert str(caught.value) == (
        "The run was trained on --views frame, whose shape depends on the photograph, which --to "
        "tflite cannot express. Choose --to keras, onnx or saved-model, or export a run of other "
        "views."
    )


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
    with pytest.raises(RunError, match=r"none was found that can be read\. .* --photos"):
        export(run, "keras", [rubbish, tmp_path / "gone.jpg"], None)
    moved = replace(run, config=replace(run.config, features_dir=str(tmp_path)))
    with pytest.raises(RunError, match=r"There is no cache .*test\.h5.* Name some with --photos"):
        list(default_photographs(moved))


def test_by_default_photographs_of_test_are_taken(studio: Studio) -> None:
    found = list(default_photographs(load_run(studio.run())))
    assert len(found) >= 16
    assert {int(path.stem) for path in found} <= set(range(80, 100))


def test_tensorflows_own_errors_of_a_disk_are_told_in_words(tmp_path: Path) -> None:
    import tensorflow as tf

    words = r"model\.tflite cannot be written: No space left on device\."
    with (
        pytest.raises(StorageError, match=words),
        exporting._disk_errors(FORMATS["tflite"], tmp_path / "model.tflite"),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    with (
        pytest.raises(ZeroDivisionError),
        exporting._disk_errors(FORMATS["tflite"], tmp_path / "model.tflite"),
    ):
        raise ZeroDivisionError
