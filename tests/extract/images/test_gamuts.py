"""Colours that a file names without a profile are converted as with it, or it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract.images import gamuts
from extract.images.decode import peculiarity, upright_pixels
from extract.images.gamuts import CODES, profile_of
from tests.extract.images.files.made import exif_of_colours
from tests.extract.images.icc import ADOBE, P3, gamma, of_primaries
from tests.extract.images.pictures import noise

HEIC = Path(__file__).parent / "heic"
PLAIN = b"nclx\0\1\0\x0d"
D65, D50 = (0.3127, 0.3290), np.array((0.9642, 1.0, 0.8249))
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


@pytest.mark.parametrize(
    ("columns", "red", "green", "blue"),
    [
        (gamuts.P3, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
        (gamuts.BT_2020, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
        (gamuts.ADOBE_RGB, (0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
    ],
)
def test_primaries_are_those_of_their_standards(
    columns: object, red: tuple, green: tuple, blue: tuple
) -> None:
    lights = np.stack([xyz(*red), xyz(*green), xyz(*blue)], axis=1)
    lights = lights * np.linalg.solve(lights, xyz(*D65))
    adapted = np.diag(BRADFORD @ D50 / (BRADFORD @ xyz(*D65)))
    expected = np.linalg.inv(BRADFORD) @ adapted @ BRADFORD @ lights
    np.testing.assert_allclose(np.array(columns).T, expected, atol=1e-5)


def differences(one: Path, other: Path) -> int:
    pixels = (upright_pixels(path).astype(int) for path in (one, other))
    return int(np.abs(next(pixels) - next(pixels)).max())


def named(folder: Path, ending: str, codes: bytes) -> Path:
    """A picture of which nothing but the codes in its boxes is changed."""
    path = folder / f"{codes.hex()}.{ending}"
    if ending == "heic":
        path.write_bytes((HEIC / "plain.heic").read_bytes())
    else:
        noise((90, 60)).save(path, quality=95, subsampling="4:4:4")
    content = path.read_bytes()
    assert content.count(PLAIN) == 1
    path.write_bytes(content.replace(PLAIN, b"nclx" + codes))
    return path


@pytest.mark.parametrize("ending", ["avif", "heic"])
def test_codes_of_display_p3_are_converted_as_its_profile_is(tmp_path: Path, ending: str) -> None:
    path, plain = (named(tmp_path, ending, code) for code in (b"\0\x0c\0\x0d", b"\0\1\0\1"))
    Image.fromarray(upright_pixels(plain)).save(tmp_path / "p3.png", icc_profile=of_primaries(P3))
    assert differences(path, tmp_path / "p3.png") <= 1
    assert differences(path, plain) > 10
    assert peculiarity(path) == "of a colour profile other than sRGB"
    assert peculiarity(plain) == ""


def test_adobe_rgb_that_exif_alone_names_is_converted_as_its_profile_is(tmp_path: Path) -> None:
    picture, path = noise((90, 60)), tmp_path / "camera.jpg"
    picture.save(path, exif=b"Exif\0\0" + exif_of_colours(), quality=95)
    profile = of_primaries(ADOBE, gamma(563 / 256))
    picture.save(tmp_path / "profile.jpg", icc_profile=profile, quality=95)
    assert differences(path, tmp_path / "profile.jpg") <= 1
    with Image.open(path) as image:
        image.load()
        np.testing.assert_array_equal(upright_pixels(image), upright_pixels(path))
    picture.save(
        tmp_path / "both.jpg", exif=b"Exif\0\0" + exif_of_colours(), icc_profile=of_primaries(P3)
    )
    with Image.open(tmp_path / "both.jpg") as image:
        assert profile_of(image.info) == of_primaries(P3)


@pytest.mark.parametrize("codes", [(9, 16), (9, 18), (22, 13), (1, 8)])
def test_codes_that_are_not_converted_are_remarked_once(
    codes: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [profile_of({CODES: codes}) for _ in range(2)] == [None, None]
    assert capsys.readouterr().err == (
        "The colours of a photograph, and perhaps of others, have codes (nclx) that are not "
        "converted, such as those of HDR: they are taken as sRGB.\n"
    )
