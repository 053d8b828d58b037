"""Every format gives the run's scores, read back by its own runtime."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from heads.export import check as exporting
from heads.export.check import FORMATS, export
from heads.photos import build_graph
from tests.extract.images.icc import P3, of_primaries
from tests.heads.export.exported import loaded, smooth
from tests.heads.studio import save_pictures
from tests.wheel import needs_wheel

FRESH = """
import json, sys
import tensorflow as tf
folder, photograph = sys.argv[1:]
model = tf.saved_model.load(folder)
content = open(photograph, "rb").read()
answers = model.signatures["serving_default"](image_bytes=tf.constant([content, content]))
print(json.dumps({name: value.numpy().tolist() for name, value in answers.items()}))
"""


@pytest.fixture(scope="module", autouse=True)
def _opened_once() -> Iterator[None]:
    """Exports of runs with one extractor share its engine and backbone, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "open_extractor", cache(exporting.open_extractor))
        patch.setattr("heads.export.graph.build_graph", cache(build_graph))
        yield


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
def test_a_saved_model_scores_jpegs_in_a_process_that_has_only_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = loaded(tmp_path)
    photograph = tmp_path / "photo.jpg"
    smooth(3, (500, 380)).save(photograph)
    first = export(run, "saved-model", [photograph], tmp_path / "served").path
    assert first == tmp_path / "served" / "1"
    assert not list(tmp_path.glob("__autograph_generated_file*"))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(first), str(photograph)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    answers = json.loads(done.stdout)
    expected = run.head.predict(exporting._samples(run, [photograph], "wheel")[1])
    np.testing.assert_allclose(answers["score"], expected.score[[0, 0]], atol=0.01)
    np.testing.assert_allclose(answers["distribution"][1], expected.distribution[0], atol=0.01)


@needs_wheel
@pytest.mark.slow
def test_photographs_that_are_more_than_pixels_are_checked_and_counted_also_on_frames(
    tmp_path: Path,
) -> None:
    picture, clear = smooth(3, (300, 200)), smooth(4, (300, 200))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    picture.save(tmp_path / "1.jpg", exif=exif)
    clear.save(tmp_path / "2.png")
    picture.convert("CMYK").save(tmp_path / "3.jpg")
    picture.save(tmp_path / "4.webp", exif=exif)
    picture.save(tmp_path / "5.jpg", exif=exif, icc_profile=of_primaries(P3))
    photographs = sorted(tmp_path.iterdir())
    run = loaded(tmp_path, "frame")
    done = export(run, "saved-model", photographs, tmp_path / "served")
    counts = {"rotated": 2, "transparent": 1, "of mode CMYK": 1}
    assert done.prepared == counts | {"of a colour profile other than sRGB": 1}
    assert done.inputs == {"pixels_u8": 5, "image_bytes": 3}
    assert done.score_difference < 0.01


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
