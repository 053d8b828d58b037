"""`heads curve`: what more photographs bring."""

from __future__ import annotations

import argparse
import json

from cache import console
from heads.cli import options as cli_options
from heads.models.registry import HEADS

EPILOG = """examples:
  heads curve ridge --sizes 1000,5000,20000,all
  heads curve emd --sizes 100,200,all --out runs
Each size is an ordinary run on the first so many photographs of train, which
lie in hash order: smaller sizes are part of larger ones. All average as many
networks as the largest does by default. OUT/HEAD is the run of the largest size,
if it was free. Writes OUT/curve-HEAD.csv and, with plots, curve-HEAD.html.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads curve`."""
    parser.epilog = EPILOG
    parser.add_argument("head", choices=tuple(HEADS), metavar="HEAD", help=", ".join(HEADS))
    parser.add_argument(
        "--sizes",
        type=sizes,
        default=(1000, 5000, 20000, None),
        metavar="N,N,all",
        help="how many photographs to train on (default: 1000,5000,20000,all)",
    )
    cli_options.add_data_options(parser, limit=False)
    cli_options.add_setting_options(parser)


def sizes(text: str) -> tuple[int | None, ...]:
    """Parse '1000,5000,all'; None is all."""
    return cli_options.listed(
        text,
        lambda part: None if part == "all" else cli_options.positive(part),
        "sizes such as 1000,5000,all,",
    )


def run(options: argparse.Namespace) -> int:
    """Train at each size, print the table, write it as CSV and as plots."""
    from heads.data.splits import load_splits
    from heads.experiments.curve import curve
    from heads.metrics.comparison import StoredMetrics
    from heads.report.experiments import (
        PLOTTED,
        curve_files,
        curve_rows,
        curve_table,
        write_curve,
    )

    curve_files(options.out, options.head)
    runs = curve(
        options.head,
        load_splits(options.features, memory_bytes=options.memory),
        options.sizes,
        options.out,
        settings=cli_options.chosen_settings(options, options.head),
        seed=options.seed,
        overwrite=options.overwrite,
        stopped=None if options.json else lambda runs: console.show(curve_table(curve_rows(runs))),
    )
    rows = curve_rows(runs)
    stored = StoredMetrics(runs[-1].metrics)
    floors = {name: stored.floor(name) for name in PLOTTED}
    path, page = write_curve(options.out, options.head, rows, floors)
    if options.json:
        print(json.dumps({"curve": str(path), "page": str(page), "sizes": rows}))
        return console.EXIT_OK
    console.show(curve_table(rows))
    console.note(f"{path}: the same with full precision and intervals; {page}: with plots.")
    return console.EXIT_OK
