"""Damage is a reason, a bug is not."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from extract.images.decode import (
    Unreadable,
    Vanished,
)
from tests.extract.images.pictures import (
    failing,
    quarters,
    read,
    reason,
)

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
    "error", [AttributeError("a bug"), NameError("a bug"), ValueError("a bug")]
)
@pytest.mark.parametrize(
    "place", ["decode._cut", "decode.crops", "crops._resized_box", "decode.upright_rgb"]
)
def test_an_error_of_this_program_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    quarters().save(tmp_path / "a.jpg")
    monkeypatch.setattr(f"extract.images.{place}", failing(error))
    with pytest.raises(type(error), match="a bug"):
        read(tmp_path / "a.jpg")


def test_a_warning_that_the_process_makes_an_error_is_a_reason_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters().save(tmp_path / "odd.jpg")
    monkeypatch.setattr(JpegImageFile, "load", failing(UserWarning("odd")))
    assert reason(tmp_path / "odd.jpg") == (
        "UserWarning: odd (a warning, and this process's filters make errors of warnings; ignore "
        "those of the module PIL to read it)"
    )
