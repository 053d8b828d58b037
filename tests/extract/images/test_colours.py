"""Every kind of pixel becomes 8-bit RGB, upright and on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from extract.images import colours
from extract.images.colours import upright_rgb
from extract.images.decode import (
    upright_pixels,
)
from tests.extract.images.pictures import (
    GREEN,
    GREY,
    RED,
    STORED_AS,
    assert_quarters,
    corner_colours,
    noise,
    quarters,
    read,
    reason,
)


def test_float_pixels_are_refused_as_without_a_range(tmp_path: Path) -> None:
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "float.tiff")
    assert reason(tmp_path / "float.tiff") == (
        "pixels are 32-bit floating point, which have no known range"
    )


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_beyond_16_bit_are_refused(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((9, 9), value, np.int32)).save(tmp_path / "wide.tiff")
    assert reason(tmp_path / "wide.tiff") == (
        "pixels are 32-bit integers beyond 0..65535, which have no known range"
    )


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    quarters().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert_quarters(read(tmp_path / "print.jpg"))


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, ending: str) -> None:
    quarters().convert("L").save(tmp_path / f"grey.{ending}")
    pixels = read(tmp_path / f"grey.{ending}").pixels_u8
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert len(np.unique(pixels)) > 3


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = Image.new("1", (100, 100), 0)
    bits.paste(1, (50, 0, 100, 100))
    bits.save(tmp_path / "fax.png")
    assert corner_colours(read(tmp_path / "fax.png"))[:, 0].tolist() == [0, 255, 0, 255]


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=8).save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.mode == "P"
    assert_quarters(read(tmp_path / "p.png"))


def clear_left_half(image: Image.Image) -> Image.Image:
    """Give a picture an alpha channel: the left half clear, the right half opaque."""
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, image.width // 2, image.height))
    image.putalpha(alpha)
    return image


WHITE_LEFT = [[255, 255, 255], [255, 255, 255]]


@pytest.mark.parametrize("ending", ["png", "webp", "tiff"])
def test_what_is_clear_is_white(tmp_path: Path, ending: str) -> None:
    clear_left_half(quarters()).save(tmp_path / f"clear.{ending}", lossless=True)
    colours = corner_colours(read(tmp_path / f"clear.{ending}"))
    assert colours[[0, 2]].tolist() == WHITE_LEFT
    np.testing.assert_allclose(colours[[1, 3]], [GREEN, GREY], atol=2)


def test_half_clear_black_is_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 50), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert corner_colours(read(tmp_path / "half.png"))[0].tolist() == [127, 127, 127]


def test_grey_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    clear_left_half(Image.new("L", (100, 80), 90)).save(tmp_path / "la.png")
    with Image.open(tmp_path / "la.png") as image:
        assert image.mode == "LA"
    assert corner_colours(read(tmp_path / "la.png"))[:, 0].tolist() == [255, 90, 255, 90]


def test_a_clear_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (100, 80), 1)
    image.putpalette([*RED, *GREEN])
    image.paste(0, (0, 0, 50, 80))
    image.save(tmp_path / "p.png", transparency=0)
    colours = corner_colours(read(tmp_path / "p.png"))
    assert colours[[0, 2]].tolist() == WHITE_LEFT
    assert colours[1].tolist() == list(GREEN)


@pytest.mark.parametrize(("mode", "clear"), [("RGB", RED), ("L", 90)])
def test_a_colour_that_stands_for_clear_is_white(
    tmp_path: Path, mode: str, clear: int | tuple[int, int, int]
) -> None:
    image = Image.new(mode, (100, 80), 30 if mode == "L" else GREEN)
    image.paste(clear, (0, 0, 50, 80))
    image.save(tmp_path / "key.png", transparency=clear)
    colours = corner_colours(read(tmp_path / "key.png"))
    assert colours[[0, 2]].tolist() == WHITE_LEFT
    assert colours[1].tolist() == ([30] * 3 if mode == "L" else list(GREEN))


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bit_grey_keeps_its_range(tmp_path: Path, ending: str) -> None:
    values = np.zeros((80, 100), np.uint16)
    values[:, 50:] = 65535
    values[40:, :50] = 32768
    Image.fromarray(values).save(tmp_path / f"deep.{ending}")
    with Image.open(tmp_path / f"deep.{ending}") as image:
        assert image.mode.startswith("I;16")
    photograph = read(tmp_path / f"deep.{ending}")
    assert corner_colours(photograph)[:, 0].tolist() == [0, 255, 128, 255]


def test_lab_colours_become_rgb(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(quarters(), srgb, lab, outputMode="LAB")
    converted.save(tmp_path / "lab.tiff")
    assert_quarters(read(tmp_path / "lab.tiff"), tolerance=20)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_photograph_is_turned_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    STORED_AS[orientation](quarters()).save(path, exif=exif, quality=95)
    photograph = read(path)
    assert_quarters(photograph)
    assert photograph.size == (120, 80)


def test_a_large_turned_jpeg_reports_its_full_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters((2400, 1600)).rotate(90, expand=True).save(tmp_path / "big.jpg", exif=exif)
    photograph = read(tmp_path / "big.jpg")
    assert photograph.size == (2400, 1600)
    assert_quarters(photograph)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_unknown_orientation_is_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters().save(tmp_path / "odd.jpg", exif=exif)
    assert_quarters(read(tmp_path / "odd.jpg"))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01"])
def test_damaged_exif_does_not_cost_the_photograph(tmp_path: Path, exif: bytes) -> None:
    quarters().save(tmp_path / "odd.jpg", exif=exif)
    assert_quarters(read(tmp_path / "odd.jpg"))


# Two values of one, an odd kind of number, and a directory that promises more than there is.
ODD_ORIENTATIONS = (
    "49492a0008000000010012010300020000000300000000000000",
    "4d4d002a00000008000101120006000000010800000000000000",
    "49492a00080000000700120106000100000001000000",
)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", ODD_ORIENTATIONS)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_odd_exif_turns_a_loaded_image_as_it_turns_its_file(
    tmp_path: Path, ending: str, exif: str
) -> None:
    path = tmp_path / f"odd.{ending}"
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    said = {} if ending == "png" else {"xmp": xmp}
    quarters().save(path, exif=b"Exif\0\0" + bytes.fromhex(exif), **said)
    with Image.open(path) as image:
        image.load()
        np.testing.assert_array_equal(upright_pixels(image), upright_pixels(path))


def test_an_orientation_that_the_owner_of_an_image_sets_counts(tmp_path: Path) -> None:
    quarters().rotate(90, expand=True).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        image.getexif()[0x0112] = 6
        assert_quarters(read(image))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I", "CMYK"])
def test_pixels_converted_strip_by_strip_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode.startswith("I"):
        dice = np.random.default_rng(0).integers(0, 65536, (90, 70))
        picture = Image.fromarray(dice.astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        picture = noise((70, 90)).convert("RGB" if mode == "P" else mode)
        if mode == "P":
            picture = picture.quantize(9)
            picture.info["transparency"] = bytes(range(0, 250, 28))
        elif mode in ("RGBA", "LA"):
            picture.putalpha(noise((70, 90), 1).convert("L"))
    whole = np.asarray(upright_rgb(picture))
    monkeypatch.setattr(colours, "STRIP_PIXELS", 500)
    np.testing.assert_array_equal(np.asarray(upright_rgb(picture)), whole, strict=True)
