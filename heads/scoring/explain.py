"""Which parts of a photograph lift a head's score and which pull it down.

Pooling is linear: the features are the mean of a 7 x 7 map. So for a head that is linear up to its
last function, what it computes is the mean of what it would say of each cell alone, exactly. For
any other head each cell is left out of the mean in turn. Owns the mathematics and the drawing; must
not import keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cache.errors import NoPhotographsError
from cache.files import Mark, replacing, storage_errors
from cache.types import FloatArray
from heads.data.features import Float32Array
from heads.errors import HeadError
from heads.models.base import Head
from heads.photos import MapExtractor, Unreadable, open_map_extractor, upright_pixels
from heads.runs.loaded import LoadedRun, Opinion

if TYPE_CHECKING:
    from heads.models.neural.head import NeuralHead

# Pixels of the drawing: a photograph's longer side, the legend's height, and so on.
DRAWN_SIDE, LEAST_WIDTH, GAP = 640, 560, 8
STRIP, MARGIN, BAR, BAR_LENGTH = 66, 12, 14, 150
LIFTS, PULLS = (235, 100, 0), (0, 90, 220)
STRENGTH, OUTSIDE = 0.75, 0.3
# Stands in every drawing, and tells it from a photograph.
MADE_BY = "aesthetic-heads explain"
MARK = Mark(b"\x89PNG\r\n\x1a\n", MADE_BY.encode())


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each cell of a photograph adds.

    `cells` (7, 7) float64, rows from the top: where `exact`, what the head's last function gets
    from each cell alone, whose mean is `output`, the `meaning` in words; else what leaving the cell
    out of the mean takes from the score, times 48, so that for a linear head it would be the
    cell's value less the mean. `box` is (left, top, right, bottom) of the map in the upright
    photograph, as fractions.
    """

    cells: FloatArray
    exact: bool
    output: float
    meaning: str
    opinion: Opinion
    box: tuple[float, float, float, float]

    @property
    def drawn(self) -> FloatArray:
        """(7, 7): above zero lifts the score, below pulls it down."""
        return self.cells - self.cells.mean() if self.exact else self.cells


@dataclass(frozen=True, eq=False)
class LinearOutput:
    """output = features @ kernel + bias: what a head's last function is applied to.

    `kernel` (D,) float64.
    """

    kernel: FloatArray
    bias: float

    @classmethod
    def of(cls, head: Head) -> LinearOutput | None:
        """Take it from a trained head; None where the head has none."""
        if not head.about.linear_output:
            return None
        arrays, values = head.state()
        if values.get("root"):
            return None
        if "kernel" in arrays:
            return cls(arrays["kernel"][:, 0].astype(np.float64), float(arrays["bias"][0]))
        network = cast("NeuralHead", head)  # a head in closed form has a kernel
        if len(arrays) != 2 or network.settings.transform != "none":
            return None
        return cls(arrays["weight_0"][:, 0].astype(np.float64), float(arrays["weight_1"][0]))


def explain(run: LoadedRun, photograph: Path, *, weights: str = "auto") -> Explanation:
    """Explain a run's score of view 0 of one photograph.

    Raises:
        HeadError: the head does not look at photographs.
        NoPhotographsError: the photograph cannot be read.
        MismatchError, WeightsError, EngineError: its features cannot be made here.
    """
    if not run.head.about.looks_at_photographs:
        raise HeadError(
            f"The head {run.config.head} looks at no photograph: there is nothing to explain. "
            "Explain another run, such as ridge."
        )
    extractor = open_map_extractor(run.config.extractor, weights=weights)
    return explain_map(run, _map_of(extractor, photograph), extractor.view.box)


def _map_of(extractor: MapExtractor, photograph: Path) -> Float32Array:
    try:
        return extractor(photograph)[0]
    except Unreadable as reason:
        raise NoPhotographsError(f"{photograph}: {reason}. Name another photograph.") from None


def explain_map(
    run: LoadedRun, feature_map: Float32Array, box: tuple[float, float, float, float]
) -> Explanation:
    """Explain a run's score of a map (7, 7, D) float32, whose mean is the feature vector."""
    features = feature_map.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    opinion = run.opinions(features[None, None])[0]
    linear = LinearOutput.of(run.head)
    if linear is not None:
        cells = feature_map.astype(np.float64) @ linear.kernel + linear.bias
        meaning = run.head.about.linear_output
        return Explanation(cells, True, float(cells.mean()), meaning, opinion, box)
    cells = _left_out(run.head, feature_map, opinion.score)
    return Explanation(cells, False, opinion.score, "score", opinion, box)


def _left_out(head: Head, feature_map: Float32Array, score: float) -> FloatArray:
    rows, columns, width = feature_map.shape
    cells = feature_map.reshape(-1, width).astype(np.float64)
    without = (cells.sum(axis=0) - cells) / (len(cells) - 1)
    scores = head.predict(without.astype(np.float32)[:, None]).score
    return ((score - scores) * (len(cells) - 1)).reshape(rows, columns)


# --- drawing --------------------------------------------------------------------------------------


def draw(explanation: Explanation, photograph: Path, title: str) -> Image.Image:
    """Draw a photograph, upright and uncropped, and beside it the explanation over its grey copy.

    Orange lifts the score, blue pulls it down; what the head does not see is dimmed.
    """
    image = Image.fromarray(upright_pixels(photograph))
    ratio = DRAWN_SIDE / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    values = explanation.drawn
    most = float(np.abs(values).max()) or 1.0
    painted = _painted(grey, values / most, explanation.box)
    sheet = Image.new("RGB", (max(2 * size[0] + GAP, LEAST_WIDTH), size[1] + STRIP), "white")
    sheet.paste(image, (0, 0))
    sheet.paste(Image.fromarray(painted), (size[0] + GAP, 0))
    _legend(sheet, size[1], most, explanation, title)
    return sheet


def save(drawing: Image.Image, path: Path) -> None:
    """Write a drawing as PNG, with the mark that lets a later one replace it.

    Raises:
        StorageError: the disk is full or refuses.
    """
    about = PngInfo()
    about.add_text("Software", MADE_BY)
    with storage_errors(path), replacing(path) as temporary:
        drawing.save(temporary, "PNG", pnginfo=about)


def _painted(
    grey: npt.NDArray[np.float32], strength: FloatArray, box: tuple[float, float, float, float]
) -> npt.NDArray[np.uint8]:
    """Blend colours over (height, width, 3) pixels, as strong as the cells (7, 7) in [-1, 1]."""
    height, width = grey.shape[:2]
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    cells = Image.fromarray(strength.astype(np.float32))
    heat = np.asarray(cells.resize((right - left, bottom - top), Image.Resampling.BICUBIC))[
        ..., None
    ]
    alpha = STRENGTH * np.minimum(np.abs(heat), 1.0)
    colour = np.where(heat > 0, np.array(LIFTS, np.float32), np.array(PULLS, np.float32))
    result = 255 + (grey - 255) * OUTSIDE
    seen = 40 + grey[top:bottom, left:right] * 0.8  # some contrast given up, so that colours show
    result[top:bottom, left:right] = seen * (1 - alpha) + colour * alpha
    return result.round().astype(np.uint8)


def _legend(sheet: Image.Image, top: int, most: float, about: Explanation, title: str) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    y = top + MARGIN
    pen.text((MARGIN, y - 4), title, "black", font)
    y += 22
    of = about.meaning if about.exact else "score, each cell left out in turn"
    low, high = f"lowers {-most:.2g}", f"lifts +{most:.2g}   {of}"
    start = MARGIN + round(pen.textlength(low, font)) + 6
    for x in range(BAR_LENGTH):
        value = 2 * x / (BAR_LENGTH - 1) - 1
        colour = LIFTS if value > 0 else PULLS
        shade = tuple(round(255 + (c - 255) * STRENGTH * abs(value)) for c in colour)
        pen.line([(start + x, y), (start + x, y + BAR)], shade)
    pen.text((MARGIN, y - 3), low, "black", font)
    pen.text((start + BAR_LENGTH + 6, y - 3), high, "black", font)
