"""`heads export`: a run as one model from image to score."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from heads.cli import options as cli_options

if TYPE_CHECKING:
    from heads.export.check import Checked

FORMATS = ("keras", "onnx", "tflite", "saved-model")
EPILOG = """examples:
  heads export runs/ridge --to keras             runs/ridge/export/model.keras
  heads export runs/emd --to saved-model         runs/emd/export/saved-model/1/
  heads export runs/emd --to onnx --photos holiday/
The input pixels_u8 is (batch, height, width, 3), 8-bit sRGB, upright, alpha on white: whoever asks
turns photographs as their EXIF says. Resizing to 256 x 256, cropping and scaling are inside. The
outputs are score, p_beautiful and, where the head has one, distribution. A saved model's signature
serving_default takes the bytes of JPEG or PNG files as image_bytes, which it turns and puts on
white itself; its signature pixels takes pixels_u8. Before it is published, each export is compared
with the run on real photographs; a score more than 2 % of the scale apart is refused.
onnx needs the extra packages of: pip install 'aesthetic-heads[export]'.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads export`."""
    parser.epilog = EPILOG
    cli_options.add_run(parser)
    parser.add_argument("--to", choices=FORMATS, required=True, help="the format")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the file, or for saved-model the folder of its versions (default: in RUN/export/)",
    )
    parser.add_argument(
        "--photos",
        nargs="+",
        metavar="PATH",
        help="photographs or folders to check the export on (default: some of the run's test "
        "split)",
    )
    cli_options.add_weights(parser)
    cli_options.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Export, check, publish, and say how far the export is from the run."""
    from heads.export.check import default_photographs, export
    from heads.runs.loaded import load_run
    from heads.scoring.sources import Sources

    loaded = load_run(options.run)
    named = Sources(options.photos, sys.stdin) if options.photos else None
    photographs = named or default_photographs(loaded)
    done = export(loaded, options.to, photographs, options.out, options.weights)
    for line in named.refused if named else ():
        console.note(line)
    if options.json:
        print(json.dumps(asdict(done) | {"path": str(done.path)}))
    else:
        console.show(_words(done))
    return console.EXIT_OK


def _words(done: Checked) -> str:
    from heads.photos import PROFILED

    kinds = ", ".join(f"{n} {kind}" for kind, n in done.prepared.items())
    lines = [
        f"{done.path}: {done.n_bytes / 1e6:.1f} MB. Checked on {done.photographs} photographs"
        f"{f' ({kinds})' if kinds else ''}: scores differ by at most {done.score_difference:.2g} "
        f"from the run's (allowed {done.allowed:.2g}), probabilities by at most "
        f"{done.p_difference:.2g}."
    ]
    n = done.photographs
    if done.label_note:
        lines.append(f"Note on the labels that it learned from: {done.label_note}.")
    if done.prepared:
        lines.append(
            f"pixels_u8 is upright sRGB, alpha on white: {sum(done.prepared.values())} of the {n} "
            "photographs had to be made so, as docs/scoring-and-export.md shows."
        )
    if (encoded := done.inputs.get("image_bytes")) is not None:
        profiled = done.prepared.get(PROFILED, 0)
        refused = "." if encoded + profiled == n else "; it refuses the others."
        lines.append(
            "image_bytes is the file of a JPEG or PNG, turned and put on white by the model: "
            f"{encoded} of the {n} were checked so{refused}"
        )
        if profiled:
            lines.append(
                f"It knows no colour profiles: {profiled} of the {n} have one other than sRGB and "
                "would get another score by image_bytes. Convert such photographs, or give "
                "pixels_u8."
            )
    return "\n".join(lines)
