"""`heads sweep`: a grid of settings of a neural head, compared on val."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cache import console
from heads.cli import options as cli_options
from heads.models.registry import neural_heads

if TYPE_CHECKING:
    from heads.experiments.sweep import Point

EPILOG = """examples:
  heads sweep emd --lr 1e-4,3e-4,1e-3 --l2 0.01,0.1 --dropout 0.2,0.5
  heads sweep emd --hidden none --lr 1e-4,3e-4 --dropout 0,0.8 --seeds 3
Settings are compared by their loss on val, each by single networks, one a seed.
The best one is then trained as a run of its own, as heads train would (up to
10,000 photographs an average of three networks, if they have hidden layers), and
that run alone is measured on test. Writes OUT/sweep-HEAD/sweep.csv and
sweep.html beside it.
"""
# Settings that are the same at every point.
FIXED = ("hidden", "epochs", "batch_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads sweep`."""
    parser.epilog = EPILOG
    names = neural_heads()
    parser.add_argument("head", choices=names, metavar="HEAD", help=", ".join(names))
    number = cli_options.numbers
    parser.add_argument("--lr", type=number, metavar="A,B", help="default: the head's own")
    parser.add_argument("--l2", type=number, metavar="A,B", help="default: the head's own")
    parser.add_argument(
        "--dropout",
        type=number,
        metavar="A,B",
        help="behind hidden layers, or on the features of a linear head; default: the head's own",
    )
    parser.add_argument(
        "--seeds",
        type=cli_options.positive,
        default=1,
        metavar="N",
        help="networks at each point, one a seed (default: 1)",
    )
    for name in FIXED:
        cli_options.add_setting(parser, name)
    cli_options.add_data_options(parser)


def run(options: argparse.Namespace) -> int:
    """Sweep, write the table and the heat map, train the best settings as a run."""
    from heads.data.splits import load_splits
    from heads.experiments.sweep import Grid, sweep
    from heads.metrics.catalogue import for_json
    from heads.models.neural.settings import NetworkSettings, override
    from heads.report.experiments import check_sweep, sweep_rows, sweep_table, write_sweep
    from heads.report.run import describe

    folder = options.out / f"sweep-{options.head}"
    check_sweep(folder)

    def measured(points: Sequence[Point], chosen: Point) -> None:
        write_sweep(folder, options.head, points, chosen)
        if not options.json:
            console.show(sweep_table(points, chosen))
            console.note(f"{folder}: sweep.csv and the heat map sweep.html.")

    given = {name: getattr(options, name) for name in FIXED}
    done = sweep(
        options.head,
        load_splits(options.features, limit=options.limit, memory_bytes=options.memory),
        Grid(options.lr or (), options.l2 or (), options.dropout or (), options.seeds),
        options.out,
        settings=override(NetworkSettings(), {k: v for k, v in given.items() if v is not None}),
        seed=options.seed,
        overwrite=options.overwrite,
        measured=measured,
    )
    if options.json:
        rows = [for_json(row) for row in sweep_rows(done.points)]
        figures = {"run": str(done.run.path), "metrics": done.run.metrics}
        print(json.dumps({"points": rows, **figures}))
        return console.EXIT_OK
    console.show(describe(done.run.path, done.run.metrics))
    return console.EXIT_OK
