"""`heads predict`: a trained head's answers for a cached split, once more or for another one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.errors import MismatchError
from cache.text import shown
from heads.cli import options as cli_options

if TYPE_CHECKING:
    from heads.data.splits import SplitData
    from heads.runs.loaded import LoadedRun

EPILOG = """examples:
  heads predict runs/emd --split test > test.csv
  heads predict runs/emd --split train --features other-features --out train.csv
The columns are those of a run's predictions.csv. No photograph is touched.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads predict`."""
    parser.epilog = EPILOG
    cli_options.add_run(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), required=True)
    parser.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="the folder of the cache (default: the one that the run was trained on)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: stdout)")


def run(options: argparse.Namespace) -> int:
    """Predict and write."""
    from cache.files import check_ending, check_output, replacing, storage_errors
    from heads.data.splits import load_splits
    from heads.runs.folder import check_outside
    from heads.runs.loaded import load_run
    from heads.runs.places import features_of, naming_option
    from heads.runs.predictions import MARK, SplitPrediction, write_predictions, write_rows

    if options.out is not None:
        check_output(options.out, MARK, inputs=[options.run / "predictions.csv"])
        check_outside(options.out)
        check_ending(options.out, ".csv")
    loaded = load_run(options.run)
    folder = options.features or features_of(options.run, loaded.config)
    with naming_option():
        data = load_splits(folder, [options.split])[options.split]
    _check_features(loaded, data)
    _check_labels(loaded, data)
    prediction = loaded.head.predict(loaded.head.about.given(data))
    part = SplitPrediction(options.split, "", data.labels, prediction)
    if options.out is None:
        console.exact_names()
        write_rows(sys.stdout, [part])
    else:
        with storage_errors(options.out), replacing(options.out) as temporary:
            write_predictions(temporary, [part])
    return console.EXIT_OK


def _check_features(loaded: LoadedRun, data: SplitData) -> None:
    for name, mine, theirs in loaded.config.extractor.differences(data.cache.spec):
        raise MismatchError(
            f"{loaded.path} was trained on features with {name} {shown(mine)}; {data.cache.path} "
            f"has {shown(theirs)}. Make them as those of the run's own cache, or train anew."
        )


def _check_labels(loaded: LoadedRun, data: SplitData) -> None:
    """Refuse labels that the run's answers cannot stand beside: of another scale or threshold."""
    reference = loaded.reference
    for name, mine, theirs in (
        ("scale", reference.scale, data.labels.scale),
        ("threshold of beautiful", reference.threshold, data.labels.threshold),
    ):
        if mine != theirs:
            raise MismatchError(
                f"{loaded.path} was trained on labels with the {name} {shown(mine)}; "
                f"{data.cache.path} has {shown(theirs)}, so its means and labels cannot be "
                "compared with the run's. Make it as the run's own cache, or train anew."
            )
