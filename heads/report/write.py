"""The finished runs of a folder as one page that can be mailed: read, make, write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cache import console
from cache.files import check_output, write_text_atomically
from heads.metrics.comparison import Sample
from heads.photos import thumbnail
from heads.report.data import read_report
from heads.report.page import page
from heads.web.html import PAGES

FILE_NAME = "report.html"


def check_report(folder: Path) -> None:
    """Refuse, before any work, to replace what is no report.

    Raises:
        StorageError: `folder`/report.html is something else.
    """
    check_output(folder / FILE_NAME, *PAGES)


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
        StorageError: the disk is full or refuses, or report.html is none of ours.
    """
    check_report(folder)
    data = read_report(folder, features, samples)
    for name, why in data.left_out.items():
        console.note(f"{folder / name} is left out of the report: {why}")
    path = folder / FILE_NAME
    write_text_atomically(path, page(data, thumbnail))
    return path
