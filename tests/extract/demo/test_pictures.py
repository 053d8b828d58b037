"""Crops of known photographs, and faults that do what their names say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cache.errors import NoPhotographsError
from extract.demo import pictures as demo_photos
from extract.demo.pictures import FAULTS, SCENES, Shot, jpeg_quality, load_pictures, render, window


def shot(scene: str, *faults: tuple[str, float]) -> Shot:
    number = [s.name for s in SCENES].index(scene)
    return Shot(number, 0, 0.9, (0.0, 0.0), 4 / 3, 480, False, faults, seed=5)


def test_both_pictures_of_the_motorcycle_are_one_scene() -> None:
    owners = [s.name for s in SCENES for _, path in s.files if "motorcycle" in path]
    assert owners == ["motorcycle", "motorcycle"]


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_photos.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoPhotographsError, match=r"pip install 'aesthetic-heads\[demo\]'"):
        demo_photos.find_pictures()


def test_a_window_stays_inside_its_picture() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        drawn = demo_photos.draw_shot(rng)
        left, top, right, bottom = window(451, 300, drawn)
        assert -1e-9 <= left < right <= 451 + 1e-9
        assert -1e-9 <= top < bottom <= 300 + 1e-9
        assert (right - left) / (bottom - top) == pytest.approx(drawn.aspect)
        assert set(drawn.severity) != {"under", "over"}


@pytest.fixture(scope="module")
def temple() -> Image.Image:
    scene = next(s for s in SCENES if s.name == "temple")
    return load_pictures()[scene.files[0]]


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=float)


def test_each_fault_does_what_its_name_says(temple: Image.Image) -> None:
    clean = render(temple, shot("temple"))
    spoilt = {name: render(temple, shot("temple", (name, 1.0))) for name in FAULTS}
    detail = {name: np.abs(np.diff(grey(image))).mean() for name, image in spoilt.items()}
    plain = np.abs(np.diff(grey(clean))).mean()
    assert detail["blur"] < 0.5 * plain
    assert detail["noise"] > 1.5 * plain
    assert grey(spoilt["under"]).mean() < 0.6 * grey(clean).mean()
    assert grey(spoilt["over"]).mean() > 1.2 * grey(clean).mean()
    assert grey(spoilt["haze"]).std() < 0.5 * grey(clean).std()
    channels = np.asarray(spoilt["cast"], dtype=float).mean(axis=(0, 1))
    assert np.ptp(channels) > 2 * np.ptp(np.asarray(clean, dtype=float).mean(axis=(0, 1)))
    assert spoilt["tilt"].size == clean.size
    assert (grey(spoilt["tilt"]) != grey(clean)).mean() > 0.5


def test_a_tilted_photograph_has_no_black_corners() -> None:
    white = Image.new("RGB", (800, 600), "white")
    for aspect in (3 / 2, 1.0, 3 / 4):
        tilted = Shot(0, 0, 1.0, (0, 0), aspect, 480, False, (("tilt", 1.0),), seed=5)
        assert grey(render(white, tilted)).min() > 250


def test_jpeg_blocks_come_from_a_low_quality(temple: Image.Image) -> None:
    def size(made: Shot) -> int:
        buffer = io.BytesIO()
        render(temple, made).save(buffer, "JPEG", quality=jpeg_quality(made))
        return buffer.tell()

    assert size(shot("temple", ("blocks", 1.0))) < 0.3 * size(shot("temple"))
