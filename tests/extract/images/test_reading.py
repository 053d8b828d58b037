"""Files and callers' images are read alike, costly ones apart or one at a time."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from extract.images import apart, decode, reading
from extract.images.colours import upright_rgb
from extract.images.decode import (
    Unreadable,
    Vanished,
    thumbnail_jpeg,
    upright_pixels,
)
from tests.extract.images.pictures import (
    BLUE,
    GREEN,
    RED,
    assert_quarters,
    corner_colours,
    failing,
    lying_on_its_side,
    noise,
    png_of_one_colour,
    quarters,
    read,
    reason,
    saved_bytes,
)


def test_a_missing_file_has_vanished(tmp_path: Path) -> None:
    with pytest.raises(Vanished, match=r"^no such file$"):
        read(tmp_path / "nothing.jpg")


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "the file is empty (0 bytes)"


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert reason(source) == "a folder, pipe or device, not a file"


@pytest.mark.parametrize(
    "place", ["PIL.JpegImagePlugin.JpegImageFile.load", "extract.images.decode.crops"]
)
def test_a_photograph_that_needs_too_much_memory_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    quarters().save(tmp_path / "a.jpg")
    monkeypatch.setattr(place, failing(MemoryError()))
    assert reason(tmp_path / "a.jpg") == "larger than the memory at hand"


def test_an_image_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    picture = noise((300, 200))
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read(picture).pixels_u8, read(tmp_path / "a.png").pixels_u8, strict=True
    )
    assert picture.size == (300, 200)


def state(image: Image.Image) -> tuple[object, ...]:
    """Whatever a caller sees of an image, its pixels last."""
    facts = image.format, image.mode, image.size, image.tell(), dict(image.info)
    return *facts, dict(image.getexif()), image.tobytes()


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "gif", "bmp", "avif"])
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
        upright_pixels(image)
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


@pytest.mark.parametrize("use", [read, lambda path: thumbnail_jpeg(path, 90), upright_pixels])
@pytest.mark.parametrize("kind", ["png", "progressive.jpg"])
def test_heavy_photographs_are_used_one_at_a_time_whatever_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    noise((700, 500)).save(path, progressive=True)
    at_once = most = 0
    real = upright_rgb

    def counted(image: Image.Image) -> Image.Image:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return real(image)

    monkeypatch.setattr(decode, "upright_rgb", counted)
    monkeypatch.setattr(reading, "apart", failing(apart.NoReader("so that it can be counted")))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, [path] * 4))
        assert most > 1
        most = 0
        monkeypatch.setattr(reading, "HEAVY_BYTES", 500_000 if kind == "png" else 1_200_000)
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
    monkeypatch.setattr(reading, "apart", failing(apart.NoReader("so that it can be seen")))
    monkeypatch.setattr(reading, "HEAVY_BYTES", 500_000)
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
    monkeypatch.setattr(reading, "HEAVY_BYTES" if heavy else "ODD_BYTES", 1000)
    monkeypatch.setattr(decode, "crops", failing(AttributeError("called here")))
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
    monkeypatch.setattr(reading, "HEAVY_BYTES", 1000)
    monkeypatch.setattr(reading, "apart", failing(apart.NoReader("too many")))
    for name in ("a.jpg", "b.jpg"):
        quarters().save(tmp_path / name)
        assert_quarters(read(tmp_path / name))
    assert capsys.readouterr().err == (
        "No process can be started for photographs that may take long to read (too many); they "
        "are read without a limit of time.\n"
    )


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
