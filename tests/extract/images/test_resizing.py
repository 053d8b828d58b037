"""Both resizers give the same photograph to a grey level; the fast one is taken where it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from cache.errors import EngineError
from extract.images import resizing
from extract.images.resizing import check_interpolation, find_interpolation, resized
from extract.images.views import CROP, CYKOOZ, PILLOW, RESIZE, views


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    resizing._problem.cache_clear()
    yield
    resizing._problem.cache_clear()


def hard_image(rng: np.random.Generator) -> Image.Image:
    """Random, black and white or plain pixels of any size and shape."""
    width, height = np.exp(rng.uniform(0, np.log(1500), 2)).astype(int).tolist()
    values = rng.integers(0, 256, (height, width, 3))
    made = [values, values // 128 * 255, np.full_like(values, rng.integers(256))]
    return Image.fromarray(made[rng.integers(3)].astype(np.uint8))


def test_the_two_differ_by_one_grey_level_at_most() -> None:
    pytest.importorskip("cykooz_resizer")
    rng = np.random.default_rng(0)
    for view in (*views("whole"), *views("ten"), *views("random:20")):
        image = hard_image(rng)
        box = tuple((view.box * np.array([*image.size, *image.size])).tolist())
        for size, part in ((CROP, box), (RESIZE, None)):
            fast, slow = (resized(image, size, part, who) for who in (CYKOOZ, PILLOW))
            assert fast.shape == slow.shape == (size[1], size[0], 3)
            assert np.abs(fast.astype(int) - slow).max() <= 1


def test_pillow_resizes_as_pillow_does() -> None:
    image = hard_image(np.random.default_rng(0))
    expected = np.asarray(image.resize(CROP, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resized(image, CROP, None, PILLOW), expected)


def test_auto_takes_the_fast_one_unless_another_cache_was_made_otherwise() -> None:
    pytest.importorskip("cykooz_resizer")
    assert find_interpolation("auto") == find_interpolation("cykooz") == CYKOOZ
    assert find_interpolation("auto", "not known") == CYKOOZ
    assert find_interpolation("auto", CYKOOZ) == find_interpolation("cykooz", PILLOW) == CYKOOZ
    assert find_interpolation("auto", PILLOW) == find_interpolation("pillow", CYKOOZ) == PILLOW


def test_without_the_package_auto_is_pillow_and_what_needs_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_interpolation("auto") == find_interpolation("auto", PILLOW) == PILLOW
    assert not capsys.readouterr().err
    for asked in (
        lambda: find_interpolation("cykooz"),
        lambda: find_interpolation("auto", CYKOOZ),
        lambda: check_interpolation(CYKOOZ),
    ):
        with pytest.raises(EngineError) as caught:
            asked()
        assert str(caught.value) == (
            "The photographs are to be resized by cykooz-resizer, which is not installed. Install "
            "or update it: pip install -U cykooz-resizer. Or extract anew with --resizer pillow."
        )


def shifted(image: Image.Image, size: tuple[int, int], box: resizing.PixelBox) -> np.ndarray:
    return resizing._by_pillow(image, size, box)[:, ::-1]


def broken(image: Image.Image, size: tuple[int, int], box: resizing.PixelBox) -> np.ndarray:
    raise ValueError("unknown layout")


@pytest.mark.parametrize(
    ("way", "problem"),
    [
        (shifted, "cykooz-resizer differs from Pillow by"),
        (broken, "cykooz-resizer does not work with this Pillow (ValueError: unknown layout)"),
    ],
)
def test_a_package_that_is_wrong_is_not_taken(
    way: object,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(resizing, "_by_cykooz", way)
    assert find_interpolation("auto") == find_interpolation("auto") == PILLOW
    said = capsys.readouterr().err
    assert said.count(problem) == 1
    assert "where nothing else is asked for, Pillow resizes instead." in said
    with pytest.raises(EngineError, match=r"resized by cykooz-resizer, which (differs|does not)"):
        find_interpolation("cykooz")
