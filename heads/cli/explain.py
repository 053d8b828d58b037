"""`heads explain`: where in a photograph a score comes from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.text import shown
from heads.cli import options as cli_options

if TYPE_CHECKING:
    from heads.runs.loaded import LoadedRun
    from heads.scoring.explain import Explanation

EPILOG = """examples:
  heads explain runs/ridge photo.jpg              writes photo-explained.png
  heads explain runs/emd photo.jpg --out why.png
Exact for binary, sigmoid and tanh if trained with `--hidden none
--transform none`: what the head computes is the mean of what it says of each of 49 cells, or as
many as the view has. For the others each cell is left out in turn, which is no sum. Only view 0
is explained; what lies outside is dimmed, and mean colour around a frame is grey.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads explain`."""
    parser.epilog = EPILOG
    cli_options.add_run(parser)
    parser.add_argument("photograph", type=Path, metavar="PHOTO", help="the photograph")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the drawing (default: PHOTO-explained.png here)"
    )
    cli_options.add_weights(parser)
    cli_options.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Explain, draw, and say what was drawn."""
    from cache.files import check_ending, check_output
    from heads.runs.loaded import load_run
    from heads.scoring.explain import MARK, draw, explain, save

    out = options.out or Path(f"{options.photograph.stem}-explained.png")
    check_output(out, MARK, inputs=[options.photograph])
    check_ending(out, ".png")
    loaded = load_run(options.run)
    explanation = explain(loaded, options.photograph, weights=options.weights)
    photograph, run = shown(options.photograph.name), shown(options.run.name)
    title = f"{photograph}: {explanation.opinion.score:.2f} by {run}"
    save(draw(explanation, options.photograph, title), out)
    if options.json:
        print(json.dumps(_values(explanation, out)))
    else:
        console.show(_words(loaded, explanation, options.photograph, out))
    return console.EXIT_OK


def _values(explanation: Explanation, out: Path) -> dict[str, object]:
    return {
        "image": str(out),
        "score": explanation.opinion.score,
        "exact": explanation.exact,
        "output": explanation.output,
        "meaning": explanation.meaning,
        "cells": explanation.cells.tolist(),
        "box": list(explanation.box),
    }


def _words(loaded: LoadedRun, explanation: Explanation, photograph: Path, out: Path) -> str:
    name, cells = loaded.config.head, explanation.cells
    lines = [f"{photograph}: score {explanation.opinion.score:.3f}. Drawn in {out}."]
    if explanation.exact:
        lines.append(
            f"Exact: the {explanation.meaning} is {explanation.output:.4f}, the mean of "
            f"{cells.size} cells from {cells.min():.3f} to {cells.max():.3f}."
        )
    else:
        lines.append(
            f"The head {name} is no sum over cells: each is left out in turn, and the change of "
            "the score is drawn."
        )
    views = loaded.config.extractor.views
    if len(views) > 1:
        lines.append(
            f"The run averages {len(views)} views; this is the first alone, {views[0]}, so the "
            "score differs a little from that of `heads score`."
        )
    return "\n".join(lines)
