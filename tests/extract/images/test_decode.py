"""Every kind of photograph is read right or refused with its reason."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from extract.images import apart
from extract.images import decode as images
from extract.images.decode import Photograph, Unreadable, Vanished, read_photograph, thumbnail_jpeg
from extract.images.views import CROP, RESIZE, views

WHOLE = views("whole")
RED, GREEN, BLUE, GREY = (250, 10, 10), (10, 250, 10), (10, 10, 250), (120, 120, 120)
CORNERS = ((10, 10), (10, -10), (-10, 10), (-10, -10))


def quarters(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A picture with a colour of its own in each corner: red, green, blue, grey."""
    width, height = size
    image = Image.new("RGB", size, GREY)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Smooth noise with detail of many sizes, as photographs have."""
    dice = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells in (4, 16, 64):
        small = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(small.resize(size, Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(total.astype(np.uint8))


def read(path: Path | Image.Image) -> Photograph:
    return read_photograph(path, WHOLE)


def corner_colours(photograph: Photograph) -> np.ndarray:
    """(4, 3): the colours top left, top right, bottom left, bottom right."""
    return np.array([photograph.pixels_u8[0, y, x] for y, x in CORNERS], int)


def assert_quarters(photograph: Photograph, tolerance: int = 6) -> None:
    expected = np.array([RED, GREEN, BLUE, GREY])
    np.testing.assert_allclose(corner_colours(photograph), expected, atol=tolerance)


def reason(path: Path, max_pixels: int = images.MAX_PIXELS) -> str:
    with pytest.raises(Unreadable) as caught:
        read_photograph(path, WHOLE, max_pixels)
    return str(caught.value)


# --- what cannot be read -------------------------------------------------------------------------


def test_a_missing_file_has_vanished(tmp_path: Path) -> None:
    with pytest.raises(Vanished, match=r"^no such file$"):
        read(tmp_path / "nothing.jpg")


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "the file is empty (0 bytes)"


@pytest.mark.parametrize("content", [b"\0" * 5000, b"<html>404</html>", b"\xff\xd8\xff"])
def test_bytes_that_are_no_image_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.jpg").write_bytes(content)
    assert reason(tmp_path / "page.jpg") == "not an image, or of a kind that is not read"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"cut.{ending}"
    noise((640, 480)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert reason(path)


def test_a_truncated_jpeg_is_said_to_be_truncated(tmp_path: Path) -> None:
    noise((640, 480)).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    assert "truncated" in reason(tmp_path / "cut.jpg")


def test_a_folder_in_a_photographs_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    assert "Is a directory" in reason(tmp_path / "folder.jpg")


def test_postscript_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "of a kind that is not read" in reason(tmp_path / "program.jpg")


def test_a_photograph_beyond_max_pixels_is_refused_and_the_limit_named(tmp_path: Path) -> None:
    quarters().save(tmp_path / "large.png")
    assert reason(tmp_path / "large.png", 9599) == (
        "120 x 80 pixels are more than --max-pixels 9599"
    )
    assert read_photograph(tmp_path / "large.png", WHOLE, 9600).size == (120, 80)


def png_of_one_colour(path: Path, width: int, height: int, lies: bool = False) -> None:
    """Write a black RGB PNG row by row, in little memory; one that `lies` has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    rows = b"" if lies else b"".join(packer.compress(row) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_a_decompression_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    png_of_one_colour(tmp_path / "bomb.png", 60_000, 60_000, lies=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "60000 x 60000 pixels are more than --max-pixels 200000000" in reason(
        tmp_path / "bomb.png"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


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


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"^0 x 5 pixels: there is nothing to see$"):
        read(Image.new("RGB", (0, 5)))


# --- damage is a reason, a bug is not ------------------------------------------------------------

DAMAGE = [
    OSError("odd"),
    SyntaxError("odd"),
    ValueError("odd"),
    EOFError("odd"),
    struct.error("odd"),
    zlib.error("odd"),
    IndexError("odd"),
    TypeError("odd"),
    AttributeError("odd"),
    AssertionError("odd"),
    OverflowError("odd"),
    Image.DecompressionBombError("odd"),
]


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("call", ["load", "draft", "convert"])
@pytest.mark.parametrize("error", DAMAGE, ids=lambda error: type(error).__name__)
def test_whatever_pillow_raises_on_a_file_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    quarters().convert("L").save(tmp_path / "a.jpg")
    monkeypatch.setattr(JpegImageFile, call, failing(error))
    assert reason(tmp_path / "a.jpg") == f"{type(error).__name__}: odd"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
def test_a_damaged_file_never_raises_anything_else(tmp_path: Path, ending: str, seed: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{ending}"
    quarters((32, 24)).save(path, exif=exif)
    dice, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    for place in dice.integers(0, len(content), 4).tolist():
        content[place] = int(dice.integers(0, 256))
    path.write_bytes(content)
    with contextlib.suppress(Unreadable):
        assert read(path).pixels_u8.shape == (1, 224, 224, 3)


def test_a_file_that_goes_while_it_is_decoded_has_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters().save(tmp_path / "a.jpg")
    monkeypatch.setattr(JpegImageFile, "load", failing(FileNotFoundError("a.jpg")))
    with pytest.raises(Vanished, match=r"^no such file$"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "place", ["PIL.JpegImagePlugin.JpegImageFile.load", "extract.images.decode._crops"]
)
def test_a_photograph_that_needs_too_much_memory_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    quarters().save(tmp_path / "a.jpg")
    monkeypatch.setattr(place, failing(MemoryError()))
    assert reason(tmp_path / "a.jpg") == "larger than the memory at hand"


@pytest.mark.parametrize(
    "error", [AttributeError("a bug"), NameError("a bug"), ValueError("a bug")]
)
@pytest.mark.parametrize("place", ["_cut", "_decode", "_crops", "_resized_box", "upright_rgb"])
def test_an_error_of_this_program_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    quarters().save(tmp_path / "a.jpg")
    monkeypatch.setattr(images, place, failing(error))
    with pytest.raises(type(error), match="a bug"):
        read(tmp_path / "a.jpg")


# --- what is read as it should be ----------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tiff", "gif"])
def test_every_format_gives_the_same_picture(tmp_path: Path, ending: str) -> None:
    quarters().save(tmp_path / f"a.{ending}")
    photograph = read(tmp_path / f"a.{ending}")
    assert photograph.pixels_u8.shape == (1, 224, 224, 3)
    assert photograph.pixels_u8.dtype == np.uint8
    assert photograph.size == (120, 80)
    assert_quarters(photograph, tolerance=20 if ending == "gif" else 6)


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    quarters().save(tmp_path / "really.png")
    (tmp_path / "really.png").rename(tmp_path / "claimed.jpg")
    assert_quarters(read(tmp_path / "claimed.jpg"))


def test_a_progressive_jpeg_is_read(tmp_path: Path) -> None:
    quarters().save(tmp_path / "slow.jpg", progressive=True)
    assert_quarters(read(tmp_path / "slow.jpg"))


def test_the_first_picture_of_a_multi_picture_file_is_read(tmp_path: Path) -> None:
    other = Image.new("RGB", (120, 80), "white")
    quarters().save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[other])
    with Image.open(tmp_path / "phone.jpg") as image:
        assert image.format == "MPO"
    assert_quarters(read(tmp_path / "phone.jpg"))


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"moving.{ending}"
    white = Image.new("RGB", (120, 80), "white")
    quarters().save(path, save_all=True, append_images=[white, white], duration=100)
    with Image.open(path) as image:
        assert image.n_frames > 1
    assert_quarters(read(path), tolerance=20)


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


# EXIF 2.3, tag 274: what must be done to the stored picture to see it upright, so that the
# stored picture is the upright one after the reverse.
STORED_AS: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda upright: upright,
    2: ImageOps.mirror,
    3: lambda upright: upright.rotate(180),
    4: ImageOps.flip,
    5: lambda upright: upright.transpose(Image.Transpose.TRANSPOSE),
    6: lambda upright: upright.rotate(90, expand=True),
    7: lambda upright: upright.transpose(Image.Transpose.TRANSVERSE),
    8: lambda upright: upright.rotate(-90, expand=True),
}


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


def test_a_warning_that_the_process_makes_an_error_is_a_reason_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters().save(tmp_path / "odd.jpg")
    monkeypatch.setattr(JpegImageFile, "load", failing(UserWarning("odd")))
    assert reason(tmp_path / "odd.jpg") == (
        "UserWarning: odd (a warning, and this process's filters make errors of warnings; ignore "
        "those of the module PIL to read it)"
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (5000, 3), (223, 225)])
def test_any_shape_of_photograph_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "odd.png")
    photograph = read_photograph(tmp_path / "odd.png", views("ten"))
    assert photograph.size == size
    assert (photograph.pixels_u8 == GREEN).all()


def test_an_image_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    picture = noise((300, 200))
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read(picture).pixels_u8, read(tmp_path / "a.png").pixels_u8, strict=True
    )
    assert picture.size == (300, 200)


# --- callers' images -----------------------------------------------------------------------------


def lying_on_its_side() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def state(image: Image.Image) -> tuple[object, ...]:
    """Whatever a caller sees of an image, its pixels last."""
    facts = image.format, image.mode, image.size, image.tell(), dict(image.info)
    return *facts, dict(image.getexif()), image.tobytes()


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_a_callers_image_is_read_as_its_file_and_stays_as_it_is(
    tmp_path: Path, ending: str, loaded: bool
) -> None:
    path = tmp_path / f"a.{ending}"
    noise((1400, 1100)).save(path, exif=lying_on_its_side())
    with Image.open(path) as untouched, Image.open(path) as image:
        if loaded:
            image.load()
            untouched.load()
        path.unlink()  # the open image has it still
        place = None if image.fp is None else image.fp.tell()
        first = read(image)
        assert (None if image.fp is None else image.fp.tell()) == place
        np.testing.assert_array_equal(read(image).pixels_u8, first.pixels_u8, strict=True)
        thumbnail_jpeg(image, 90)
        images.upright_pixels(image)
        assert state(image) == state(untouched)
        untouched.save(path, exif=lying_on_its_side())
        if not loaded and ending in ("png", "bmp"):  # which lose nothing when saved
            np.testing.assert_array_equal(read(path).pixels_u8, first.pixels_u8, strict=True)


def test_one_image_may_be_read_by_many_threads_at_once(tmp_path: Path) -> None:
    noise((1400, 1100)).save(tmp_path / "a.jpg")
    expected = read(tmp_path / "a.jpg").pixels_u8
    with Image.open(tmp_path / "a.jpg") as image, ThreadPoolExecutor(8) as pool:
        for photograph in pool.map(read, [image] * 32):
            np.testing.assert_array_equal(photograph.pixels_u8, expected, strict=True)


def test_of_a_callers_animation_the_chosen_frame_is_read_and_stays_chosen(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (120, 80), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image:
        for number, colour in ((2, BLUE), (1, GREEN), (0, RED)):
            image.seek(number)
            np.testing.assert_allclose(corner_colours(read(image)), [colour] * 4, atol=12)
            assert image.tell() == number


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA"])
def test_a_callers_image_of_a_format_that_is_not_read_from_files_is_read_by_its_pixels(
    tmp_path: Path, kind: str
) -> None:
    quarters((256, 256)).save(tmp_path / "a", kind)
    with pytest.raises(Unreadable, match="of a kind that is not read"):
        read(tmp_path / "a")
    with Image.open(tmp_path / "a") as image:
        assert_quarters(read(image))


def test_a_callers_image_that_is_closed_has_a_reason(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.png")
    for load in (False, True):
        image = Image.open(tmp_path / "a.png")
        if load:
            image.load()
        image.close()
        with pytest.raises(Unreadable, match="ValueError: Operation on closed image"):
            read(image)


# --- what a photograph may take ------------------------------------------------------------------


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
    whole = np.asarray(images.upright_rgb(picture))
    monkeypatch.setattr(images, "STRIP_PIXELS", 500)
    np.testing.assert_array_equal(np.asarray(images.upright_rgb(picture)), whole, strict=True)


TAKES = "of this kind take {} GB to decode, more than 2.4 GB; --max-pixels raises that limit, too"


def test_a_photograph_that_would_take_gigabytes_is_refused_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    png_of_one_colour(tmp_path / "tall.png", 1, 3_000_000, lies=True)
    assert reason(tmp_path / "tall.png") == f"1 x 3000000 pixels {TAKES.format('3.1')}"
    content = bytearray(saved_bytes(Image.new("RGB", (8, 8)), "TIFF"))
    (start,) = struct.unpack_from("<L", content, 4)
    for at in range(start + 2, start + 2 + 12 * content[start], 12):
        tag = struct.unpack_from("<H", content, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HLL", content, at + 2, 4, 1, 14_000)
        elif tag == 278:  # the rows of a strip become the length of a tile
            struct.pack_into("<HHLL", content, at, 323, 4, 1, 60_000)
    (tmp_path / "a.tiff").write_bytes(content)
    assert reason(tmp_path / "a.tiff").startswith("14000 x 14000 pixels of this kind take 4.1 GB")


def test_what_a_decoder_holds_beside_the_pixels_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "BYTES_PER_PIXEL", 0.02)  # 4 MB
    for name in ("a.png", "a.jpg", "a.webp"):
        noise((700, 500)).save(tmp_path / name)
    noise((700, 500)).save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    assert read(tmp_path / "a.png").size == read(tmp_path / "a.jpg").size == (700, 500)
    for name in ("a.webp", "progressive.jpg"):
        assert "700 x 500 pixels of this kind take 0.0 GB" in reason(tmp_path / name)


def saved_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "use", [read, lambda path: thumbnail_jpeg(path, 90), images.upright_pixels]
)
@pytest.mark.parametrize("kind", ["png", "progressive.jpg"])
def test_heavy_photographs_are_used_one_at_a_time_whatever_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    noise((700, 500)).save(path, progressive=True)
    at_once = most = 0
    real = images.upright_rgb

    def counted(image: Image.Image) -> Image.Image:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return real(image)

    monkeypatch.setattr(images, "upright_rgb", counted)
    monkeypatch.setattr(images, "apart", failing(apart.NoReader("so that it can be counted")))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, [path] * 4))
        assert most > 1
        most = 0
        monkeypatch.setattr(images, "HEAVY_BYTES", 500_000 if kind == "png" else 1_200_000)
        list(pool.map(use, [path] * 4))
    assert most == 1


def test_a_heavy_jpeg_that_lacks_its_end_is_decoded_one_at_a_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    noise((700, 500)).save(path, progressive=True)
    path.write_bytes(path.read_bytes()[:-2])
    threads = set()
    real = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> object:
        threads.add(threading.current_thread().name)
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    monkeypatch.setattr(images, "apart", failing(apart.NoReader("so that it can be seen")))
    monkeypatch.setattr(images, "HEAVY_BYTES", 500_000)
    read(path)
    assert threads == {"heavy_0"}


def tiff_of_single_pixels(path: Path, side: int) -> None:
    """Write a grey TIFF whose tiles are of one pixel each, all the first byte of the file."""
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (277, 1), (322, 1), (323, 1)]
    entries = [struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags]
    entries.append(struct.pack("<HHLL", 324, 4, side * side, 1000))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<L", 8) + directory)
        file.truncate(1000 + 4 * side * side)


def test_a_photograph_that_takes_too_long_is_refused_and_in_no_time_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiff_of_single_pixels(tmp_path / "slow.tiff", 1000)
    monkeypatch.setattr(apart, "SECONDS", 0)
    start = time.process_time()
    assert reason(tmp_path / "slow.tiff") == ("takes more than 0 seconds of processor time to read")
    with (tmp_path / "endless.jpg").open("wb") as file:
        file.write(saved_bytes(quarters(), "JPEG", progressive=True)[:-2])
        file.truncate(50_000_000_000)
    assert "takes more than 0 seconds" in reason(tmp_path / "endless.jpg")
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("ending", ["png", "tiff", "gif"])
@pytest.mark.parametrize("heavy", [False, True])
def test_photographs_read_by_another_process_are_those_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, heavy: bool
) -> None:
    noise((700, 500)).save(tmp_path / f"a.{ending}", exif=lying_on_its_side())
    here = read(tmp_path / f"a.{ending}"), thumbnail_jpeg(tmp_path / f"a.{ending}", 90)
    monkeypatch.setattr(images, "HEAVY_BYTES" if heavy else "ODD_BYTES", 1000)
    monkeypatch.setattr(images, "_crops", failing(AttributeError("called here")))
    with Image.open(tmp_path / f"a.{ending}") as image:
        for source in (tmp_path / f"a.{ending}", image):
            if ending == "png" and not heavy:
                continue  # no odd one
            there = read(source)
            assert there.size == here[0].size
            np.testing.assert_array_equal(there.pixels_u8, here[0].pixels_u8, strict=True)
    assert thumbnail_jpeg(tmp_path / f"a.{ending}", 90) == here[1]


def test_where_no_process_can_be_started_costly_photographs_are_read_with_one_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "HEAVY_BYTES", 1000)
    monkeypatch.setattr(images, "apart", failing(apart.NoReader("too many")))
    images._remark.cache_clear()
    for name in ("a.jpg", "b.jpg"):
        quarters().save(tmp_path / name)
        assert_quarters(read(tmp_path / name))
    assert capsys.readouterr().err == (
        "No process can be started for photographs that may take long to read (too many); they "
        "are read without a limit of time.\n"
    )


# --- resizing, cropping, draft decoding ----------------------------------------------------------


def crop_of_resized(image: Image.Image, x: int, y: int) -> np.ndarray:
    """The plain way: resize all to 256 x 256, cut 224 x 224 at (x, y)."""
    whole = np.asarray(image.resize(RESIZE, Image.Resampling.BILINEAR))
    return whole[y : y + CROP[1], x : x + CROP[0]]


@pytest.mark.parametrize("size", [(640, 480), (333, 517), (224, 256), (31, 77), (1023, 769)])
def test_each_view_alone_is_bit_for_bit_the_crop_of_the_resized_whole(
    size: tuple[int, int],
) -> None:
    picture = noise(size)
    for view in views("ten"):
        x, y = (round(view.box[axis] * RESIZE[axis]) for axis in (0, 1))
        expected = crop_of_resized(picture, x, y)
        expected = expected[:, ::-1] if view.flipped else expected
        alone = read_photograph(picture, (view,)).pixels_u8[0]
        np.testing.assert_array_equal(alone, expected, err_msg=view.name, strict=True)


@pytest.mark.parametrize("choice", ["flip", "ten", "random:7"])
def test_views_cut_together_equal_views_cut_alone(choice: str) -> None:
    picture = noise((640, 427))
    together = read_photograph(picture, views(choice)).pixels_u8
    for view, pixels in zip(views(choice), together, strict=True):
        alone = read_photograph(picture, (view,)).pixels_u8[0]
        np.testing.assert_array_equal(pixels, alone, err_msg=view.name, strict=True)


def decoded_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return the size at which a photograph really was decoded."""
    sizes = []
    real = images.upright_rgb
    monkeypatch.setattr(images, "upright_rgb", lambda im: sizes.append(im.size) or real(im))
    read(path)
    return sizes[0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 1000), (1000, 1000)),
        ((1023, 2000), (1023, 2000)),
        ((1024, 1024), (512, 512)),
        ((3000, 2100), (750, 525)),
        ((600, 4096), (600, 4096)),
    ],
)
def test_only_large_jpegs_are_decoded_at_a_part_of_their_size(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    noise(size).save(tmp_path / "a.jpg")
    assert decoded_size(tmp_path / "a.jpg", monkeypatch) == expected


def test_a_large_png_is_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise((2048, 1400)).save(tmp_path / "a.png")
    assert decoded_size(tmp_path / "a.png", monkeypatch) == (2048, 1400)


def test_draft_decoding_is_close_to_full_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise((2000, 1500)).save(tmp_path / "a.jpg", quality=92)
    fast = read(tmp_path / "a.jpg").pixels_u8.astype(int)
    monkeypatch.setattr(images, "DRAFT_SIZE", (100_000, 100_000))
    full = read(tmp_path / "a.jpg").pixels_u8.astype(int)
    difference = np.abs(fast - full)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 4


MEMORY_PROBE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from extract.images import decode
from extract.images.apart import NoReader
from extract.images.decode import read_photograph
from extract.images.views import views
def none(*_):
    raise NoReader("so that the memory is this process's")
decode.apart = none
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
before = peak()
with ThreadPoolExecutor(8) as pool:
    done = list(pool.map(lambda path: read_photograph(path, views("center")).size,
                         [Path(sys.argv[1])] * 8))
if done != [(7000, 5000)] * 8:
    raise SystemExit(str(done))
print(peak() - before)
"""


def test_very_large_photographs_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    png_of_one_colour(path, 7000, 5000)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(path)], capture_output=True, text=True, check=True
    )
    one = 7000 * 5000 * 4  # Pillow keeps RGB in four bytes
    # One is decoded while the one before it is let go; eight would be eight.
    assert int(done.stdout) < 2.5 * one


# --- JPEGs as they are ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_plain_pixels_have_no_peculiarity(tmp_path: Path, mode: str) -> None:
    quarters().convert(mode).save(tmp_path / "a.png")
    assert images.peculiarity(tmp_path / "a.png") == ""


def test_what_makes_a_photograph_more_than_pixels_is_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().save(tmp_path / "turned.jpg", exif=exif)
    quarters().convert("CMYK").save(tmp_path / "print.jpg")
    quarters().convert("RGBA").save(tmp_path / "clear.png")
    quarters().save(tmp_path / "colour.png", transparency=(255, 0, 0))
    found = {path.name: images.peculiarity(path) for path in tmp_path.iterdir()}
    assert found == {
        "turned.jpg": "rotated",
        "print.jpg": "of mode CMYK",
        "clear.png": "transparent",
        "colour.png": "transparent",
    }
    with pytest.raises(Vanished, match="no such file"):
        images.peculiarity(tmp_path / "nothing.jpg")


# --- thumbnails ----------------------------------------------------------------------------------


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_thumbnail_is_small_and_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    STORED_AS[orientation](quarters((600, 400))).save(path, exif=exif)
    small = opened(thumbnail_jpeg(path, 90))
    assert small.size == (90, 60)
    assert_quarters(read(small), tolerance=12)


def test_a_thumbnail_leaves_the_picture_it_is_made_of_as_it_is() -> None:
    picture = quarters((600, 400))
    assert opened(thumbnail_jpeg(picture, 90)).size == (90, 60)
    assert picture.size == (600, 400)


def test_a_thumbnail_of_nothing_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Vanished, match="no such file"):
        thumbnail_jpeg(tmp_path / "nothing.jpg", 90)


def test_a_thumbnail_holds_nothing_of_what_is_said_beside_the_picture(tmp_path: Path) -> None:
    quarters().save(tmp_path / "plain.gif")
    quarters().save(tmp_path / "a.gif", comment=b"private " * 10_000)
    assert thumbnail_jpeg(tmp_path / "a.gif", 90) == thumbnail_jpeg(tmp_path / "plain.gif", 90)
