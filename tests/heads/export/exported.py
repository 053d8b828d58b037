"""Runs to be exported, trained in a moment, and photographs without sharp edges."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from cache.types import Scale
from heads.models.base import Head
from heads.models.neural.settings import ClosedFormSettings
from heads.models.ridge import RidgeDistHead
from heads.runs.config import RunConfig, SplitFacts
from heads.runs.loaded import LoadedRun
from heads.runs.reference import Reference
from tests.heads.made import in_groups, planted
from tests.heads.studio import picture
from tests.wheel import wheel_spec


def trained(head: Head, width: int = 12, views: int = 2) -> Head:
    data = planted(260, width, views)
    X, labels = data.part(0, 200)
    labels = in_groups(labels, 10) if head.about.learns_pairs else labels
    head.fit(X, labels, *data.part(200, 260), seed=0)
    return head


def loaded(folder: Path, choice: str = "center") -> LoadedRun:
    """A run of ridge-dist on features of the real width, on the scale 1..7."""
    spec = wheel_spec(choice=choice)
    config = RunConfig(
        head="ridge-dist",
        settings=ClosedFormSettings(),
        seed=0,
        limit=None,
        extractor=spec,
        splits={"train": SplitFacts("", "", 200)},
        features_dir=str(folder / "no features"),
        label_note="",
        library_versions={},
    )
    head = trained(RidgeDistHead(), spec.n_features, views=1)
    reference = Reference(Scale(1, 7), "4", np.linspace(1, 7, 13))
    return LoadedRun(folder / "run", config, head, reference)


def smooth(number: int, size: tuple[int, int]) -> Image.Image:
    return picture(number).resize(size, Image.Resampling.BICUBIC)


def exif(orientation: int, kind: int = 3, order: str = "<") -> bytes:
    """An EXIF block with two entries, of which the second is the orientation."""
    mark = b"II" if order == "<" else b"MM"
    number = "H2x" if kind == 3 else "I"
    entries = struct.pack(f"{order}HHII", 0x010F, 2, 4, 0)
    entries += struct.pack(f"{order}HHI{number}", 0x0112, kind, 1, orientation)
    return b"Exif\0\0" + mark + struct.pack(f"{order}HIH", 42, 8, 2) + entries + bytes(4)


PICTURE = smooth(3, (61, 40))
GREY = PICTURE.convert("L")
CLEAR = PICTURE.copy()
CLEAR.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
PICTURES = {
    "alpha.png": CLEAR,
    "grey-alpha.png": CLEAR.convert("LA"),
    "palette-alpha.png": CLEAR.quantize(64),
    "palette.png": PICTURE.quantize(64),
    "grey.png": GREY,
    "grey.jpg": GREY,
    "one-bit.png": PICTURE.convert("1"),
    "16-bit.png": Image.fromarray(np.asarray(GREY).astype(np.uint16) * 256 + 77),
    "cmyk.jpg": PICTURE.convert("CMYK"),
}
