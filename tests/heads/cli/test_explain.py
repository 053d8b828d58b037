"""`heads explain`: what it says and the drawing beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heads.cli.main import main
from heads.photos import FeatureMap
from tests.heads.studio import Studio

BOX = (0.0625, 0.0625, 0.9375, 0.9375)


class CheapMap:
    """Stands in for the map extractor."""

    def __call__(self, photograph: Path) -> FeatureMap:
        cells = np.random.default_rng(0).uniform(0, 6, (7, 7, 1280)).astype(np.float32)
        return FeatureMap(cells, np.zeros((224, 224, 3), np.uint8), BOX)


def test_the_command_draws_beside_what_it_says(
    studio: Studio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def cheap_map(*_: object, **__: object) -> CheapMap:
        return CheapMap()

    monkeypatch.setattr("heads.scoring.explain.open_map_extractor", cheap_map)
    out = tmp_path / "why.png"
    words = ["explain", str(studio.run()), str(studio.path(1)), "--out", str(out)]
    assert main(words) == 0
    assert "The head ridge is no sum over cells: each is left out" in capsys.readouterr().out
    odd = tmp_path / os.fsdecode(b"caf\xe9\x1b.jpg")
    shutil.copy(studio.path(1), odd)
    assert main([*words[:2], str(odd), "--out", str(odd.with_suffix(".png"))]) == 0
    assert r"caf\xe9\x1b.jpg: score" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.format == "PNG"
    assert main([*words, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert np.shape(values["cells"]) == (7, 7)
    assert values["output"] == pytest.approx(values["score"])


def test_another_ending_than_that_of_the_drawing_is_refused(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.html"
    assert main(["explain", str(studio.run()), str(studio.path(1)), "--out", str(out)]) == 1
    assert f"{out} does not end in .png, as a file of what would" in capsys.readouterr().err
    assert not out.exists()
