"""Colours as sRGB, by the ICC profile that a file embeds: Little CMS, through Pillow.

The intent is relative colorimetric with black point compensation, as photo editors have it.
"""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import product

import numpy as np
from PIL import Image, ImageCms

from cache.console import note_once

# ICC.1:2022, 7.2.6: what the numbers are, and Pillow's mode of them.
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
# A profile that changes no colour by more of 255 is sRGB: programs write it with other roundings.
SAME = 2
STEPS = range(0, 256, 51)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image as RGB; its colours are sRGB's where the profile is of its kind.

    With a damaged profile, or one of other colours than the image's, the numbers are kept.

    Args:
        image: without transparency.
        profile: as it stands in a file, damaged in any way.
    """
    transform = _transform_of(profile, image.mode)
    if transform is None:
        return image.convert("RGB")
    if transform.input_mode != image.mode:
        image = image.convert(transform.input_mode)
    return transform.apply(image)


def changes_colours(profile: bytes | None, mode: str) -> bool:
    """Whether `to_srgb` would change the colours of an image of a mode, its transparency apart."""
    return _transform_of(profile, mode) is not None


def _transform_of(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    wanted = MODES.get(profile[16:20]) if profile else None
    fits = mode not in ("CMYK", "LAB") if wanted == "RGB" else mode == wanted
    return _transform(profile, wanted) if profile and wanted and fits else None


# Profiles are of some megabytes at most, and those of one camera or program are equal.
@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way to sRGB; None where it changes nothing, or the profile is damaged."""
    colours = np.array([*product(STEPS, repeat=len(Image.new(mode, (1, 1)).getbands()))], np.uint8)
    swatch = Image.frombytes(mode, (len(colours), 1), colours.tobytes())
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        changed = ImageCms.applyTransform(swatch, transform)
    except Exception:  # Pillow raises what it likes on damage, which costs no photograph
        note_once(
            "The colour profile of a photograph is damaged, and perhaps those of others: their "
            "colours are taken as sRGB."
        )
        return None
    gap = np.abs(np.asarray(changed, np.int16) - np.asarray(swatch.convert("RGB"), np.int16))
    return transform if gap.max() > SAME else None
