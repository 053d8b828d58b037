"""`heads report`: the finished runs of a folder as one page that can be mailed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.files import write_text_atomically

if TYPE_CHECKING:
    from heads.metrics.comparison import Sample

EPILOG = """examples:
  heads report                             runs/ to runs/report.html
  heads report old-runs --features old-features
The page holds everything, photographs as small pictures too: it opens offline, and can be mailed.
"""
FILE_NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads report`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "runs",
        nargs="?",
        type=Path,
        default=Path("runs"),
        metavar="RUNS",
        help="the folder with the runs (default: runs)",
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="where the caches are, if no longer where the heads were trained from",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    print(write_report(options.runs, options.features))
    return console.EXIT_OK


def write_report(
    folder: Path, features: Path | None = None, samples: Mapping[str, Sample] | None = None
) -> Path:
    """Write `folder`/report.html about the finished runs in `folder`, and return its path.

    Args:
        folder: holds one folder a run.
        features: the folder of the caches; where the runs say they were, if None.
        samples: bootstraps by the run's folder name that are known already, to save time.

    Raises:
        RunError, IncompleteCacheError, FormatError: there is no run that can be read, with its
            caches; the message is the first one's.
        StorageError: the disk is full or refuses.
    """
    from heads.photos import thumbnail
    from heads.report.data import read_report
    from heads.report.mistakes import shown_photographs
    from heads.report.page import render
    from heads.report.photos import Album

    data = read_report(folder, features, samples)
    for name, why in data.left_out.items():
        console.note(f"{folder / name} is left out of the report: {why}")
    album = Album.of(shown_photographs(data), data.photographs, thumbnail)
    path = folder / FILE_NAME
    write_text_atomically(path, render(data, album))
    return path
