"""A photograph's colours are those that its profile means, and no profile costs a photograph."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from extract.images import apart as readers
from extract.images import reading
from extract.images.decode import peculiarity, thumbnail_jpeg, upright_pixels
from extract.images.files.parts import MAX_PROFILE
from extract.images.profiles import changes_colours, to_srgb
from tests.extract.images.icc import (
    ADOBE,
    D50,
    P3,
    PROPHOTO,
    SRGB,
    SRGB_CURVE,
    gamma,
    of_grey,
    of_inks,
    of_primaries,
)
from tests.extract.images.pictures import failing, noise, quarters, read

WIDE = {
    "Display P3": (of_primaries(P3), P3, None),
    "Adobe RGB": (of_primaries(ADOBE, gamma(2.2)), ADOBE, 2.2),
    "ProPhoto": (of_primaries(PROPHOTO, gamma(1.8)), PROPHOTO, 1.8),
}
DISPLAY_P3 = WIDE["Display P3"][0]
MUTED = np.array([[200, 100, 50], [110, 130, 100], [60, 80, 130], [128, 128, 128], [0, 0, 0]])
COLOURS = np.vstack([MUTED, np.full((1, 3), 255)]).astype(np.uint8)


def linear(numbers: np.ndarray, exponent: float | None) -> np.ndarray:
    values = numbers / 255
    if exponent is not None:
        return values**exponent
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def by_hand(numbers: np.ndarray, primaries: object, exponent: float | None) -> np.ndarray:
    """sRGB by IEC 61966-2-1 of colours (n, 3) of other primaries, both relative to D50."""
    xyz = linear(numbers.astype(float), exponent) @ np.array(primaries)
    light = np.clip(xyz @ np.linalg.inv(np.array(SRGB)), 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * coded


def swatches(colours: np.ndarray = COLOURS) -> Image.Image:
    """A picture of squares, one colour each."""
    return Image.fromarray(np.kron(colours[None], np.ones((16, 16, 1), np.uint8)))


def middles(pixels: np.ndarray) -> np.ndarray:
    return pixels[8, 8::16].astype(int)


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "avif"])
def test_colours_of_wide_gamuts_become_those_of_srgb(
    tmp_path: Path, ending: str, name: str
) -> None:
    profile, primaries, exponent = WIDE[name]
    path, exact = tmp_path / f"a.{ending}", {"lossless": True} if ending == "webp" else {}
    swatches().save(path, icc_profile=profile, quality=100, subsampling="4:4:4", **exact)
    expected = by_hand(COLOURS, primaries, exponent)
    tolerance = 2 if ending in ("png", "tiff", "webp") else 6
    np.testing.assert_allclose(middles(upright_pixels(path)), expected, atol=tolerance)
    assert peculiarity(path) == "of a colour profile other than sRGB"
    with Image.open(path) as image:
        np.testing.assert_array_equal(upright_pixels(image), upright_pixels(path))
        image.load()
        np.testing.assert_array_equal(upright_pixels(image), upright_pixels(path))


def test_a_picture_and_its_copy_in_display_p3_are_read_alike(tmp_path: Path) -> None:
    picture = Image.fromarray((np.asarray(noise((300, 200))) // 2 + 60).astype(np.uint8))
    copy = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), io.BytesIO(DISPLAY_P3), outputMode="RGB"
    )
    copy.save(tmp_path / "p3.png", icc_profile=DISPLAY_P3)
    plain, there = read(picture).pixels_u8.astype(int), read(tmp_path / "p3.png").pixels_u8
    assert np.abs(plain - there).max() <= 2
    copy.save(tmp_path / "no profile.png", icc_profile=None)
    assert np.abs(plain - read(tmp_path / "no profile.png").pixels_u8).max() > 10


@pytest.mark.parametrize(
    "profile",
    [
        of_primaries(SRGB),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        of_primaries(SRGB, SRGB_CURVE)[:-1] + b"\1",
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_profile_that_is_srgb_changes_no_pixel(tmp_path: Path, mode: str, profile: bytes) -> None:
    picture = noise((60, 40)).convert(mode)
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(
        upright_pixels(tmp_path / "a.png"), upright_pixels(tmp_path / "plain.png")
    )
    assert not changes_colours(profile, mode)


def test_grey_is_as_light_as_its_profile_says(tmp_path: Path) -> None:
    light = of_grey(1.0)
    grey = Image.new("L", (40, 40), 55)
    grey.save(tmp_path / "a.png", icc_profile=light)
    expected = by_hand(np.array([[55, 55, 55]]), SRGB, 1.0)[0].round()
    assert upright_pixels(tmp_path / "a.png")[5, 5].tolist() == expected.tolist()
    grey.putalpha(255)
    grey.save(tmp_path / "alpha.png", icc_profile=light)
    assert upright_pixels(tmp_path / "alpha.png")[5, 5].tolist() == expected.tolist()
    deep = Image.fromarray(np.full((40, 40), 55 * 257, np.uint16))
    deep.save(tmp_path / "deep.png", icc_profile=light)
    assert upright_pixels(tmp_path / "deep.png")[5, 5].tolist() == expected.tolist()


def test_grey_numbers_of_a_profile_of_colours_are_colours_of_it(tmp_path: Path) -> None:
    Image.new("L", (40, 40), 128).save(tmp_path / "a.png", icc_profile=WIDE["ProPhoto"][0])
    expected = by_hand(np.array([[128, 128, 128]]), PROPHOTO, 1.8)[0]
    np.testing.assert_allclose(upright_pixels(tmp_path / "a.png")[5, 5], expected, atol=2)


def lab_of(colour: np.ndarray) -> np.ndarray:
    """L, a, b (CIE 1976) of a colour of sRGB."""
    share = linear(colour.astype(float), None) @ np.array(SRGB) / D50
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_inks_have_the_colours_that_their_profile_says(tmp_path: Path) -> None:
    paper = Image.new("CMYK", (40, 20))
    paper.paste((0, 128, 0, 0), (20, 0, 40, 20))  # half of magenta's ink
    paper.save(tmp_path / "a.tiff", icc_profile=of_inks())
    white, pink = upright_pixels(tmp_path / "a.tiff")[10, [5, 35]]
    assert white.tolist() == [255, 255, 255]
    np.testing.assert_allclose(lab_of(pink), (75, 37.6, -2.5), atol=3)
    paper.save(tmp_path / "plain.tiff")
    assert np.abs(upright_pixels(tmp_path / "plain.tiff")[10, 35] - pink.astype(int)).max() > 20


def test_what_is_clear_stays_white_beside_colours_that_are_converted(tmp_path: Path) -> None:
    picture = swatches().convert("RGBA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, 16, 16))
    picture.putalpha(alpha)
    picture.save(tmp_path / "a.png", icc_profile=DISPLAY_P3)
    expected = by_hand(COLOURS, P3, None)
    expected[0] = 255
    np.testing.assert_allclose(middles(upright_pixels(tmp_path / "a.png")), expected, atol=2)


def test_a_thumbnail_has_the_colours_of_srgb_and_no_profile(tmp_path: Path) -> None:
    swatches(COLOURS[:1]).resize((90, 60)).save(tmp_path / "a.png", icc_profile=DISPLAY_P3)
    small = Image.open(io.BytesIO(thumbnail_jpeg(tmp_path / "a.png", 60, quality=95)))
    assert "icc_profile" not in small.info
    expected = by_hand(COLOURS[:1], P3, None)[0]
    np.testing.assert_allclose(np.asarray(small)[20, 30], expected, atol=3)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", of_grey(1.0)), ("RGB", of_inks()), ("CMYK", DISPLAY_P3), ("L", of_inks())],
)
def test_numbers_are_kept_where_the_profile_is_of_other_colours(mode: str, profile: bytes) -> None:
    picture = quarters().convert(mode)
    np.testing.assert_array_equal(to_srgb(picture, profile), picture.convert("RGB"))


DAMAGED = (b"", b"no profile", b"RGB " * 100, DISPLAY_P3[:300], DISPLAY_P3[:160] + bytes(260))


@pytest.mark.parametrize("profile", DAMAGED)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_a_damaged_profile_changes_nothing(tmp_path: Path, ending: str, profile: bytes) -> None:
    quarters().save(tmp_path / f"plain.{ending}")
    quarters().save(tmp_path / f"a.{ending}", icc_profile=profile)
    np.testing.assert_array_equal(
        upright_pixels(tmp_path / f"a.{ending}"), upright_pixels(tmp_path / f"plain.{ending}")
    )


@pytest.mark.parametrize("apart", [False, True])
def test_damaged_profiles_are_remarked_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    apart: bool,
) -> None:
    if apart:
        monkeypatch.setattr(reading, "ODD_BYTES", 0)  # no TIFF is read by this thread,
        monkeypatch.setattr(readers, "_own", threading.local())  # but by a reader of its own
    for size in (300, 301):
        quarters().save(tmp_path / "a.tiff", icc_profile=DISPLAY_P3[:size])
        read(tmp_path / "a.tiff")
    assert capsys.readouterr().err == (
        "The colour profile of a photograph is damaged, and perhaps those of others: their colours "
        "are taken as sRGB.\n"
    )


@pytest.mark.parametrize(
    ("profile", "trials"), [(DISPLAY_P3, 200), (of_grey(1.8), 200), (of_inks(), 15)]
)
def test_no_damage_within_a_profile_costs_a_photograph(profile: bytes, trials: int) -> None:
    dice, space = np.random.default_rng(0), profile[16:20]
    picture = quarters((8, 6)).convert({b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}[space])
    for trial in range(trials):
        damaged = bytearray(profile)
        for place in dice.integers(0, min(len(profile), 400 if trial % 2 else 1 << 20), 3):
            damaged[place] = int(dice.integers(0, 256))
        assert to_srgb(picture, bytes(damaged)).size == (8, 6)


def test_a_profile_in_parts_is_put_together_by_their_numbers(tmp_path: Path) -> None:
    long = of_primaries(P3) + bytes(100_000)
    swatches().save(tmp_path / "a.jpg", icc_profile=long, quality=100)
    content = (tmp_path / "a.jpg").read_bytes()
    first, second = content.index(b"ICC_PROFILE\0\1") - 4, content.index(b"ICC_PROFILE\0\2") - 4
    end = second + 2 + int.from_bytes(content[second + 2 : second + 4], "big")
    expected = upright_pixels(tmp_path / "a.jpg")
    turned = content[:first] + content[second:end] + content[first:second] + content[end:]
    (tmp_path / "a.jpg").write_bytes(turned)
    np.testing.assert_array_equal(upright_pixels(tmp_path / "a.jpg"), expected)
    assert np.abs(middles(expected) - by_hand(COLOURS, P3, None)).max() < 6


@pytest.mark.parametrize("ending", ["png", "webp", "tiff"])
def test_a_profile_of_megabytes_is_not_looked_at(tmp_path: Path, ending: str) -> None:
    bomb = DISPLAY_P3 + bytes(2 * MAX_PROFILE)
    quarters().save(tmp_path / f"a.{ending}", icc_profile=bomb)
    assert read(tmp_path / f"a.{ending}").size == (120, 80)


def test_a_profile_is_prepared_once_for_all_photographs_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = np.asarray(to_srgb(quarters(), DISPLAY_P3))
    monkeypatch.setattr(ImageCms, "buildTransform", failing(AssertionError("again")))
    np.testing.assert_array_equal(to_srgb(quarters(), bytes(bytearray(DISPLAY_P3))), expected)
