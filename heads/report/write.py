"""The finished runs of a folder as one page that can be mailed: read, make, write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cache import console
from cache.errors import AestheticError, NoPhotographsError
from cache.files import check_output, write_text_atomically
from cache.resume import renew
from heads.metrics.comparison import Sample
from heads.photos import thumbnail
from heads.report.data import ReportData, read_report
from heads.report.page import page
from heads.runs.places import note_features
from heads.web.html import PAGES

FILE_NAME = "report.html"


def check_report(folder: Path) -> None:
    """Refuse, before any work, to replace what is no report.

    Raises:
        StorageError: `folder`/report.html is something else.
    """
    check_output(folder / FILE_NAME, *PAGES)


def write_report(
    folder: Path,
    features: Path | None = None,
    samples: Mapping[str, Sample] | None = None,
    photographs: Path | None = None,
) -> Path:
    """Write `folder`/report.html about the finished runs in `folder`, and return its path.

    Folders that are given are noted beside the runs and in the caches, so that they are found from
    then on.

    Args:
        folder: holds one folder a run.
        features: the folder of the caches; where the runs say they were, if None.
        samples: bootstraps by the run's folder name that are known already, to save time.
        photographs: the folder that paths are relative to; where the caches say it was, if None.

    Raises:
        RunError, IncompleteCacheError, FormatError: there is no run that can be read, with its
            caches; the message is the first one's.
        NoPhotographsError: `photographs` are others.
        StorageError: the disk is full or refuses, or report.html is none of ours.
    """
    check_report(folder)
    with console.working("reading runs and features"):
        data = read_report(folder, features, samples, photographs)
    for name, why in data.left_out.items():
        console.note(f"{folder / name} is left out of the report: {why}")
    if features is not None:
        for run in data.runs:
            note_features(folder / run.name, run.config, features)
    _note_photographs(data, photographs)
    path = folder / FILE_NAME
    with console.working("writing report.html"):
        write_text_atomically(path, page(data, thumbnail))
    return path


def _note_photographs(data: ReportData, given: Path | None) -> None:
    """Note in the caches where photographs lie that were given, or say that they are away."""
    if given is None:
        if data.photographs_root is None and data.cache.data_root != Path():
            console.note(
                f"The photographs are not in {data.cache.data_root}, where the cache looks for "
                f"them: the report shows none. `heads report {data.folder} --data DIR` finds them "
                "in DIR, now and from then on."
            )
        return
    if data.photographs_root is None:
        first = data.cache.labels.path[data.cache.ok_rows[:1]].tolist()
        raise NoPhotographsError(
            f"--data {given} holds none of the photographs of {data.cache.path} (looked for "
            f"{' '.join(first)}, for one). Name the folder that paths in the labels start from."
        )
    for path in sorted({run.features / f"{s}.h5" for run in data.runs for s in run.config.splits}):
        try:
            renew(path, data_root=str(given.resolve()))
        except AestheticError as error:
            console.note(f"Where the photographs lie is not noted: {error.one_line()}")
