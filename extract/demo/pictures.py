"""The demo set's pictures: crops of photographs that installed packages ship, some of them spoilt.

Owns the scenes and the nine faults. Uses Pillow and numpy; knows nothing of votes or folders.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cache.errors import NoPhotographsError

FAULTS = ("blur", "noise", "under", "over", "blocks", "tilt", "cast", "haze", "crop")
ASPECTS = (4 / 3, 4 / 3, 3 / 2, 1.0, 3 / 4)
FAULT_COUNTS = (0.3, 0.4, 0.3)
CLEAN_QUALITY = 86
GAMMA = 2.2
MILD_STOPS, MILD_TONE = 0.3, 0.06
# The short side of the smallest window: enlarged from fewer pixels, all would look blurred.
MIN_PIXELS = 192


@dataclass(frozen=True)
class Scene:
    """A photographed scene: its files, how often and how well it is liked, where its subject is.

    `files` are (package, path inside it); `interest` is in units of the score; `subject` is the
    place of the subject in parts of the width and height. All its crops fall into one `split`.
    """

    name: str
    files: tuple[tuple[str, str], ...]
    interest: float
    subject: tuple[float, float]
    share: float = 1.0
    split: str = "train"
    grey: bool = False


def _skimage(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple(("skimage", f"data/{name}") for name in names)


def _sklearn(name: str) -> tuple[tuple[str, str], ...]:
    return (("sklearn", f"datasets/images/{name}"),)


SCENES = (
    Scene("astronaut", _skimage("astronaut.png"), 0.15, (0.45, 0.35)),
    Scene("cat", _skimage("chelsea.png"), 0.25, (0.5, 0.45)),
    Scene("dahlia", _sklearn("flower.jpg"), 0.3, (0.5, 0.5)),
    Scene("galaxies", _skimage("hubble_deep_field.jpg"), 0.15, (0.5, 0.5)),
    Scene("motorcycle", _skimage("motorcycle_left.png", "motorcycle_right.png"), 0.0, (0.5, 0.55)),
    Scene("tissue", _skimage("ihc.png"), -0.1, (0.5, 0.5), 0.5),
    Scene("eye", _skimage("retina.jpg"), -0.1, (0.4, 0.5), 0.5),
    Scene("bricks", _skimage("brick.png"), -0.25, (0.5, 0.5), 0.5, grey=True),
    Scene("gravel", _skimage("gravel.png"), -0.3, (0.5, 0.5), 0.5, grey=True),
    Scene("temple", _sklearn("china.jpg"), 0.25, (0.4, 0.5), split="val"),
    Scene("coins", _skimage("coins.png"), -0.1, (0.5, 0.5), 0.5, "val", True),
    Scene("handwriting", _skimage("text.png"), -0.2, (0.5, 0.5), 0.5, "val", True),
    Scene("espresso", _skimage("coffee.png"), 0.2, (0.45, 0.5), split="test"),
    Scene("rocket", _skimage("rocket.jpg"), 0.25, (0.52, 0.55), split="test"),
    Scene("cameraman", _skimage("camera.png"), 0.1, (0.45, 0.4), 1.0, "test", True),
    Scene("moon", _skimage("moon.png"), -0.05, (0.5, 0.5), 0.6, "test", True),
    Scene("grass", _skimage("grass.png"), -0.3, (0.5, 0.5), 0.5, "test", True),
    Scene("cell", _skimage("cell.png"), -0.1, (0.75, 0.55), 0.5, "test", True),
    Scene("print", _skimage("page.png"), -0.2, (0.5, 0.5), 0.5, "test", True),
)


@dataclass(frozen=True)
class Shot:
    """How one photograph of the demo set is made.

    `zoom` lies between 0, the smallest window, and 1, the largest that fits; `shift` moves the
    window's middle off the subject, in halves of its width and height; `faults` are (name,
    severity in (0, 1]).
    """

    scene: int
    file: int
    zoom: float
    shift: tuple[float, float]
    aspect: float
    long_edge: int
    mirrored: bool
    faults: tuple[tuple[str, float], ...]
    seed: int

    @property
    def severity(self) -> dict[str, float]:
        """The faults by name."""
        return dict(self.faults)


def draw_shot(rng: np.random.Generator) -> Shot:
    """Draw a scene, a window and up to two faults."""
    shares = np.array([scene.share for scene in SCENES])
    scene = int(rng.choice(len(SCENES), p=shares / shares.sum()))
    faults = _draw_faults(rng)
    crop = dict(faults).get("crop")
    # A spoilt crop needs room to leave its subject, so its window is small.
    reach = 0.25 * rng.random() if crop is None else 0.4 + 0.7 * crop
    angle = rng.uniform(0, 2 * math.pi)
    return Shot(
        scene=scene,
        file=int(rng.integers(len(SCENES[scene].files))),
        zoom=float(rng.uniform(0.6, 1.0) if crop is None else rng.uniform(0.0, 0.25)),
        shift=(reach * math.cos(angle), reach * math.sin(angle)),
        aspect=float(rng.choice(ASPECTS)),
        long_edge=int(rng.integers(400, 541)),
        mirrored=bool(rng.random() < 0.5),
        faults=faults,
        seed=int(rng.integers(2**32)),
    )


def _draw_faults(rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
    count = int(rng.choice(len(FAULT_COUNTS), p=FAULT_COUNTS))
    names = [FAULTS[i] for i in rng.choice(len(FAULTS), size=count, replace=False)]
    if {"under", "over"} <= set(names):
        names.remove("over")
    return tuple((name, float(rng.uniform(0.25, 1.0))) for name in names)


def find_pictures() -> dict[tuple[str, str], Path]:
    """Return where the scenes' files lie inside the installed packages.

    Raises:
        NoPhotographsError: a package is not installed or lacks a picture.
    """
    found = {}
    for package, inside in (file for scene in SCENES for file in scene.files):
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations or []) if spec else []
        path = next((p for f in folders if (p := Path(f, inside)).is_file()), None)
        if path is None:
            raise NoPhotographsError(
                f"The demo set is cut from pictures of installed packages, and {inside} of "
                f"{package} is not there. Install them: pip install 'aesthetic-heads[demo]'."
            )
        found[package, inside] = path
    return found


def load_pictures() -> dict[tuple[str, str], Image.Image]:
    """Return the scenes' files as RGB pictures; raises as `find_pictures` does."""
    pictures = {}
    for key, path in find_pictures().items():
        with Image.open(path) as picture:
            pictures[key] = picture.convert("RGB")
    return pictures


def window(width: int, height: int, shot: Shot) -> tuple[float, float, float, float]:
    """Return the box (left, top, right, bottom) of a shot inside a width x height picture."""
    largest = min(width, height * shot.aspect)
    smallest = min(largest, MIN_PIXELS * max(1.0, shot.aspect))
    across = smallest + (largest - smallest) * shot.zoom
    down = across / shot.aspect
    x, y = SCENES[shot.scene].subject
    left = x * width + (shot.shift[0] - 1) * across / 2
    top = y * height + (shot.shift[1] - 1) * down / 2
    left = min(max(left, 0.0), width - across)
    top = min(max(top, 0.0), height - down)
    return (left, top, left + across, top + down)


def render(picture: Image.Image, shot: Shot) -> Image.Image:
    """Cut the shot's window out of an RGB picture and spoil it; JPEG blocks come with saving."""
    edge, aspect = shot.long_edge, shot.aspect
    size = (edge, round(edge / aspect)) if aspect >= 1 else (round(edge * aspect), edge)
    box = window(*picture.size, shot)
    image = picture.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    if shot.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    severity = shot.severity
    if "tilt" in severity:
        image = _tilted(image, severity["tilt"], shot.seed)
    image = image.point(_tone_tables(severity, shot.seed))
    if "blur" in severity:
        radius = shot.long_edge * (0.003 + 0.009 * severity["blur"])
        image = image.filter(ImageFilter.GaussianBlur(radius))
    if "noise" in severity:
        image = _noisy(image, 10 + 45 * severity["noise"], shot.seed)
    colourless = SCENES[shot.scene].grey and "cast" not in severity
    return image.convert("L") if colourless else image


def jpeg_quality(shot: Shot) -> int:
    """Return the quality to save a shot with; low enough to show blocks where that is its fault."""
    blocks = shot.severity.get("blocks")
    return CLEAN_QUALITY if blocks is None else round(24 - 20 * blocks)


def _tilted(image: Image.Image, severity: float, seed: int) -> Image.Image:
    degrees = (3 + 12 * severity) * (1 if seed % 2 else -1)
    width, height = image.size
    # A corner (w/2, h/2) of the part p that is kept lies, rotated back, p (h/2 cos + w/2 sin)
    # off the middle, which must stay below h/2 (and with w and h swapped, below w/2). The factor
    # 0.98 keeps clear of the pixels that were blended with the corners.
    slope, rise = abs(math.sin(math.radians(degrees))), math.cos(math.radians(degrees))
    part = 0.98 / (rise + max(width / height, height / width) * slope)
    dx, dy = (1 - part) * width / 2, (1 - part) * height / 2
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    box = (dx, dy, width - dx, height - dy)
    return turned.resize(image.size, Image.Resampling.BICUBIC, box=box)


def _tone_tables(severity: dict[str, float], seed: int) -> list[int]:
    """Return 3 x 256 table entries for exposure (in stops), colour cast and haze.

    A little of the first two is in every photograph and no fault, as cameras differ.
    """
    rng = np.random.default_rng(seed)
    stops = rng.uniform(-MILD_STOPS, MILD_STOPS)
    stops += 2.2 * severity.get("over", 0.0) - 3.5 * severity.get("under", 0.0)
    light = (np.arange(256) / 255) ** GAMMA * 2.0**stops
    levels = np.minimum(light, 1.0) ** (1 / GAMMA)
    levels = 0.55 + (levels - 0.55) * (1 - 0.75 * severity.get("haze", 0.0))
    push = np.zeros(3)
    push[seed % 3], push[(seed + 1) % 3] = 0.45, -0.35
    mild = rng.uniform(-MILD_TONE, MILD_TONE, size=3)
    channels = levels[None, :] * (1 + mild + push * severity.get("cast", 0.0))[:, None]
    table: list[int] = np.clip(np.rint(255 * channels), 0, 255).astype(int).ravel().tolist()
    return table


def _noisy(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    """Add grain of two pixels' size to all channels alike; sigma in levels of 0..255."""
    rng = np.random.default_rng(seed)
    width, height = image.size
    coarse = rng.standard_normal(((height + 1) // 2, (width + 1) // 2), dtype=np.float32)
    grain = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[:height, :width]
    pixels: npt.NDArray[np.float32] = np.asarray(image, dtype=np.float32)
    spoilt = np.clip(pixels + sigma * grain[:, :, None], 0, 255)
    return Image.fromarray(np.rint(spoilt).astype(np.uint8))
