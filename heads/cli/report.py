"""`heads report`: the finished runs of a folder as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from cache import console
from heads.cli import options as cli_options

EPILOG = """examples:
  heads report                             runs/ to runs/report.html
  heads report old-runs --features old-features
The page holds everything, photographs as small pictures too: it opens offline, and can be mailed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads report`."""
    parser.epilog = EPILOG
    cli_options.add_runs(parser)
    parser.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="where the caches are, if no longer where the heads were trained from",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where the photographs are, if no longer where they were extracted from; it is noted",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from heads.report.write import write_report

    console.show(str(write_report(options.runs, options.features, photographs=options.data)))
    return console.EXIT_OK
