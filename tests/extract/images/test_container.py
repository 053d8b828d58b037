"""Metadata, however odd, neither refuse a photograph nor change its pixels; bombs are named."""

from __future__ import annotations

import io
import itertools
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from extract.images import container
from extract.images.container import Unreadable, has_all_scans, orientation, picture
from extract.images.decode import read_photograph
from extract.images.views import views

WHOLE = views("whole")
Spans = list[tuple[int, int]]


def photograph(size: tuple[int, int] = (160, 120)) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def pixels(path: Path | Image.Image) -> np.ndarray:
    return read_photograph(path, WHOLE).pixels_u8


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        pixels(path)
    return str(caught.value)


# --- damaged metadata ----------------------------------------------------------------------------

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="1"/></x:xmpmeta>' * 3


def exif() -> bytes:
    """EXIF as cameras write it: nested directories, a maker's note, and a thumbnail JPEG."""
    thumbnail = encoded(photograph((40, 30)), "JPEG")
    plain = Image.Exif()
    plain.update({0x10F: "Maker", 0x110: "Model", 0x11A: 72.0, 0x11B: 72.0, 0x128: 2})
    plain.get_ifd(0x8769).update({0x829A: 0.01, 0x927C: bytes(range(256)) * 2})
    tiff = bytearray(plain.tobytes()[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    (n,) = struct.unpack_from(f"{order}H", tiff, 8)
    struct.pack_into(f"{order}L", tiff, 10 + 12 * n, len(tiff))
    directory = struct.pack(f"{order}H", 2)
    directory += struct.pack(f"{order}HHLL", 0x201, 4, 1, len(tiff) + 30)
    directory += struct.pack(f"{order}HHLL", 0x202, 4, 1, len(thumbnail)) + bytes(4)
    return b"Exif\0\0" + bytes(tiff) + directory + thumbnail


def jpeg(**options: object) -> bytes:
    more = {"icc_profile": ICC, "exif": exif(), "xmp": XMP, "comment": b"words"}
    return encoded(photograph(), "JPEG", quality=90, **more, **options)


def jpeg_metadata(content: bytes) -> Spans:
    at, found = 2, []
    while content[at + 1] != 0xDA:
        size = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        found += [(at, at + size)] * (content[at + 1] in (0xE1, 0xE2, 0xFE))
        at += size
    return found


def png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "x" * 50)
    info.add_text("Packed", "y" * 500, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"tEXt", b"Behind\0words", after_idat=True)
    return encoded(photograph(), "PNG", pnginfo=info, icc_profile=ICC, exif=exif()[6:])


def png_metadata(content: bytes) -> Spans:
    at, found = 8, []
    while at < len(content):
        size = 12 + int.from_bytes(content[at : at + 4], "big")
        found += [(at, at + size)] * (content[at + 4 : at + 8] not in (b"IHDR", b"IDAT", b"IEND"))
        at += size
    return found


def webp() -> bytes:
    return encoded(photograph(), "WEBP", icc_profile=ICC, exif=exif(), xmp=XMP)


def webp_metadata(content: bytes) -> Spans:
    at, found = 12, []
    while at < len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        found += [(at, at + 8 + size)] * (name in (b"ICCP", b"EXIF", b"XMP "))
        at += 8 + size + size % 2
    return found


def tiff(**options: object) -> bytes:
    return encoded(photograph(), "TIFF", icc_profile=ICC, description="some words", **options)


def tiff_metadata(content: bytes) -> Spans:
    """Entries, less their tags, and values."""
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}L", content, 4)
    (n,) = struct.unpack_from(f"{order}H", content, at)
    found = []
    for entry in range(at + 2, at + 2 + 12 * n, 12):
        tag, _, count, value = struct.unpack_from(f"{order}HHLL", content, entry)
        if tag in (270, 34675):
            found += [(entry + 2, entry + 12), (value, value + count)]
    return found


SOUND: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Spans]]] = {
    "jpg": (jpeg, jpeg_metadata),
    "progressive.jpg": (lambda: jpeg(progressive=True), jpeg_metadata),
    "png": (png, png_metadata),
    "webp": (webp, webp_metadata),
    "tiff": (tiff, tiff_metadata),
    "packed.tiff": (lambda: tiff(compression="tiff_lzw"), tiff_metadata),
}


@pytest.mark.parametrize("kind", SOUND)
def test_no_damage_within_metadata_costs_a_photograph_or_changes_it(
    tmp_path: Path, kind: str
) -> None:
    make, metadata = SOUND[kind]
    path, content = tmp_path / f"a.{kind}", make()
    path.write_bytes(content)
    sound = pixels(path)
    spans, dice = metadata(content), np.random.default_rng(0)
    everywhere = list(itertools.chain.from_iterable(itertools.starmap(range, spans)))
    headers = list(itertools.chain.from_iterable(range(a, min(a + 12, b)) for a, b in spans))
    assert len(everywhere) > 400
    for trial in range(150):
        damaged = bytearray(content)
        for place in dice.choice(headers if trial % 2 else everywhere, 1 + trial % 3):
            damaged[place] = int(dice.integers(0, 256))
        path.write_bytes(damaged)
        np.testing.assert_array_equal(pixels(path), sound, err_msg=f"trial {trial}", strict=True)


def test_a_segment_whose_length_is_wrong_does_not_put_its_thumbnail_in_the_pictures_place(
    tmp_path: Path,
) -> None:
    content = bytearray(jpeg())
    (start, _), *_ = [span for span in jpeg_metadata(content) if content[span[0] + 1] == 0xE1]
    (tmp_path / "a.jpg").write_bytes(content)
    sound = pixels(tmp_path / "a.jpg")
    for length in (2, 9, 100, 700, 1000, 5000, 65535):
        content[start + 2 : start + 4] = length.to_bytes(2, "big")
        (tmp_path / "a.jpg").write_bytes(content)
        assert read_photograph(tmp_path / "a.jpg", WHOLE).size == (160, 120)
        np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), sound)


@pytest.mark.parametrize("packed", [False, True])
def test_a_png_with_megabytes_of_text_or_a_bomb_of_it_is_read(tmp_path: Path, packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(3 if packed else 1):
        info.add_text(f"Note {number}", "words " * 1_000_000, zip=packed)
    info.add(b"zTXt", b"Behind\0\0" + zlib.compress(bytes(30_000_000)), after_idat=True)
    info.add(b"iCCP", b"profile\0\0" + zlib.compress(bytes(30_000_000)))
    photograph().save(tmp_path / "plain.png")
    photograph().save(tmp_path / "wordy.png", pnginfo=info)
    with pytest.raises(ValueError, match="too large"):  # as Pillow alone reads it
        Image.open(tmp_path / "wordy.png").load()
    np.testing.assert_array_equal(pixels(tmp_path / "wordy.png"), pixels(tmp_path / "plain.png"))


# --- orientation ---------------------------------------------------------------------------------


def said(path: Path) -> int:
    with path.open("rb") as file:
        return orientation(picture(file).info)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_is_read_from_exif_and_else_from_xmp(
    tmp_path: Path, ending: str, turned: int
) -> None:
    path, exif = tmp_path / f"a.{ending}", Image.Exif()
    exif[0x0112] = turned
    photograph().save(path, exif=exif, xmp=b'<x tiff:Orientation="5"/>')
    assert said(path) == turned
    xmp = b"<tiff:Orientation>%d</tiff:Orientation>" % turned
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=turned % 2 == 0)
    photograph().save(path, **({"pnginfo": info} if ending == "png" else {"xmp": xmp}))
    assert said(path) == turned
    with Image.open(path) as image:
        image.load()
        assert image.getexif()[0x0112] == turned


def test_orientation_is_read_from_where_imagemagick_and_late_writers_put_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = "\nexif\n      26\n" + exif.tobytes().hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", lines, zip=True)
    photograph().save(tmp_path / "profile.png", pnginfo=info)
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = encoded(photograph(), "PNG")
    (tmp_path / "late.png").write_bytes(content[:-12] + chunk + content[-12:])
    assert said(tmp_path / "profile.png") == said(tmp_path / "late.png") == 6


def entry(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return start + struct.pack(f"{order}HHHL", 1, 0x0112, kind, count) + value.ljust(4, b"\0")


def test_of_two_orientations_the_first_counts_in_a_file_and_in_a_callers_image(
    tmp_path: Path,
) -> None:
    twice = entry(3, 1, b"\6\0").replace(b"\1\0\x12\1", b"\2\0\x12\1")
    twice += entry(3, 1, b"\3\0")[10:] + bytes(4)
    photograph((96, 64)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + twice)
    with Image.open(tmp_path / "a.jpg") as image:
        image.load()
        np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), pixels(image))
    assert said(tmp_path / "a.jpg") == 6


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (entry(3, 1, b"\6\0"), 6),
        (entry(3, 1, b"\0\6", ">"), 6),
        (entry(4, 1, b"\6\0\0\0"), 6),
        (b"Exif\0\0Exif\0\0" + entry(3, 1, b"\6\0"), 6),
        (entry(3, 1, b"\x09\0"), 1),
        (entry(3, 1, b"\0\0"), 1),
        (entry(9, 1, b"\xff\xff\xff\xff"), 1),
        (entry(2, 2, b"6\0"), 1),
        (entry(3, 2, b"\6\0\6\0"), 1),
        (entry(3, 1, b"\6\0")[:15], 1),
        (b"II*\0\xff\xff\xff\xff" + bytes(20), 1),
        (b"XX*\0" + bytes(20), 1),
        (b"", 1),
    ],
)
def test_an_orientation_that_makes_no_sense_is_upright(exif: bytes, expected: int) -> None:
    assert orientation({"exif": exif}) == expected
    assert orientation({"exif": 7, "xmp": None, "Raw profile type exif": "x\n\n\nzz"}) == 1


# --- JPEGs without their end ---------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_is_read_and_one_that_lacks_pixels_is_not(
    tmp_path: Path, progressive: bool
) -> None:
    path, content = tmp_path / "a.jpg", jpeg(progressive=progressive)
    path.write_bytes(content)
    sound = pixels(path)
    for lacking in (1, 2):
        path.write_bytes(content[:-lacking])
        np.testing.assert_array_equal(pixels(path), sound)
    for lacking in (8, 20, 100, 300, 1000, 2000):
        path.write_bytes(content[:-lacking])
        assert "truncated" in refused(path)


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "a.jpg", jpeg(progressive=True)
    path.write_bytes(content[: content.rindex(b"\xff\xda")])
    with path.open("rb") as file:
        assert not has_all_scans(file)
    assert "truncated" in refused(path)
    path.write_bytes(content)
    with path.open("rb") as file:
        assert has_all_scans(file)


# --- what is written to harm ---------------------------------------------------------------------


def many_scans(n: int, size: tuple[int, int] = (64, 64)) -> bytes:
    content = encoded(photograph(size), "JPEG", progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * n + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(many_scans(2000, (2000, 1500)))
    start = time.process_time()
    assert refused(tmp_path / "a.jpg") == (
        "a JPEG of more than 100 scans, which take minutes to decode; encoders write 10 to 20"
    )
    assert time.process_time() - start < 1
    (tmp_path / "a.jpg").write_bytes(many_scans(80))
    assert pixels(tmp_path / "a.jpg").shape == (1, 224, 224, 3)


def test_a_jpeg_of_many_scans_without_its_end_is_not_decoded_again_and_again(
    tmp_path: Path,
) -> None:
    for n, read in ((5, True), (80, False)):
        (tmp_path / "a.jpg").write_bytes(many_scans(n)[:-2])
        with (tmp_path / "a.jpg").open("rb") as file:
            assert has_all_scans(file) == read
    assert "truncated" in refused(tmp_path / "a.jpg")


def test_scans_of_pictures_behind_the_first_do_not_count(tmp_path: Path) -> None:
    content = encoded(photograph(), "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(content + b"\xff\xda" * 500)
    assert pixels(tmp_path / "a.jpg").shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    ("start", "part", "reason"),
    [
        (b"\xff\xd8", b"\xff\xe0\0\2", "a JPEG of more than 1,000 segments"),
        (container.PNG_SIGNATURE, bytes(4) + b"teXt" + bytes(4), "a PNG of more than 1,000 chunks"),
        (b"RIFF\0\0\0\0WEBP", b"JUNK" + bytes(4), "a WebP of more than 1,000 chunks"),
    ],
)
def test_a_file_of_more_parts_than_any_program_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, part: bytes, reason: str
) -> None:
    monkeypatch.setattr(container, "MAX_PARTS", 1000)
    (tmp_path / "a").write_bytes(start + part * 2000)
    assert refused(tmp_path / "a") == f"{reason}; no program writes so many"


def test_searching_behind_damage_takes_no_time_whatever_stands_there(tmp_path: Path) -> None:
    chain = b"\xff\xe0\0\2" * 60_000 + bytes(50_000)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1\0\1" + chain * 4)
    start = time.process_time()
    assert "not an image" in refused(tmp_path / "a.jpg")
    assert time.process_time() - start < 2


HARMFUL = {
    "frames.webp": b"RIFF\0\0\0\0WEBP" + (b"JUNK" + bytes(4)) * 90_000 + b"ANMF\0\0\0\0" * 90_000,
    "names.png": container.PNG_SIGNATURE + b"\0\0\0\1??\0\0" + b"\0\x40\0\0IDAT" * 500_000,
    "palettes.png": container.PNG_SIGNATURE
    + (b"\0\0\0\0PLTE" + struct.pack(">I", zlib.crc32(b"PLTE")) + b"\0\0\0\1\0\0\0\0") * 90_000,
    "alphas.webp": b"RIFF\0\0\0\0WEBP" + (b"ALPH" + bytes(4) + b"\xff" * 8) * 90_000,
}


@pytest.mark.parametrize("name", HARMFUL)
def test_no_parts_of_a_file_are_gone_over_again_for_each_other_part(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(HARMFUL[name])
    start = time.process_time()
    with (tmp_path / name).open("rb") as file:
        picture(file)
    assert time.process_time() - start < 2


def test_exif_in_many_segments_is_put_together_up_to_a_megabyte(tmp_path: Path) -> None:
    content = encoded(photograph(), "JPEG")
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)
    (tmp_path / "a.jpg").write_bytes(content[:2] + segment * 40 + content[2:])
    with (tmp_path / "a.jpg").open("rb") as file:
        assert len(picture(file).info["exif"]) < container.MAX_TEXT + 65536


def test_a_tiff_whose_values_lie_in_each_other_is_refused(tmp_path: Path) -> None:
    content = bytearray(tiff())
    (at,) = struct.unpack_from("<L", content, 4)
    (n,) = struct.unpack_from("<H", content, at)
    for place in range(at + 2, at + 2 + 12 * n, 12):
        if struct.unpack_from("<H", content, place)[0] in (258, 273, 279):
            struct.pack_into("<LL", content, place + 4, 20_000, 8)
    (tmp_path / "a.tiff").write_bytes(content)
    assert refused(tmp_path / "a.tiff").startswith("the TIFF's values take 200,0")
    assert f"more than the file of {len(content):,}" in refused(tmp_path / "a.tiff")


def test_what_is_cut_out_of_a_file_is_read_as_one_file() -> None:
    whole = b"ab" + b"cdefg" + b"hi"
    cut = container._spliced(b"ab", io.BytesIO(b"--cdefg--"), 2, 7, b"hi")
    assert cut.read() == whole
    dice = np.random.default_rng(0)
    for _ in range(200):
        place, size = int(dice.integers(0, 12)), int(dice.integers(0, 12))
        assert cut.seek(place) == place
        assert cut.read(size) == whole[place : place + size]
        assert cut.tell() == min(place + size, max(place, len(whole)))
