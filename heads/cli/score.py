"""`heads score`: photographs in, scores out."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.errors import NoPhotographsError
from cache.text import shown
from heads.cli import options as cli_options
from heads.scoring.sources import Sources, split_words

if TYPE_CHECKING:
    from heads.scoring.records import Ranked, Scored
    from heads.scoring.scorer import Scorer

EPILOG = """examples:
  heads score runs/ridge photo.jpg holiday/
  heads score runs/ridge runs/emd holiday/ --format csv > scores.csv
  find . -name '*.jpg' | heads score runs/ridge -
  heads score runs/ridge holiday/ --gallery holiday.html --top 100
  heads score runs/ridge shop/ --group-by folder      the best picture of each item
  heads score runs/ridge holiday/ --group-by near     the best picture of each burst
The table is ranked; csv and jsonl keep the order of the photographs and come as they are scored,
unless they are to be ranked (--top, --near-duplicates, --group-by, --gallery, --copy-to). Columns:
path, score, std, p_beautiful, percentile among the run's own scores of its training photographs,
label, lo and hi (people's mean lies between them 90 times of 100), ... error.
Exit code 1 if any photograph could not be read; the others' scores are printed all the same.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads score`."""
    parser.epilog = EPILOG
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="RUN... PATH...",
        help="runs, such as runs/ridge, the first of which ranks; then photographs, folders, CSV "
        "files with a column path or file, or - for a list on stdin",
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "jsonl"), default="table", help="(default: table)"
    )
    parser.add_argument(
        "--top", type=cli_options.positive, metavar="N", help="only the N best, ranked"
    )
    parser.add_argument(
        "--near-duplicates",
        action="store_true",
        help="mark photographs that nearly equal a better one, by the cosine of their features",
    )
    parser.add_argument(
        "--group-by",
        choices=("folder", "group", "near"),
        help="name the best picture of each item, and which are too close to call; an item is a "
        "folder, a group of a CSV file's column group, or (near) photographs whose features all "
        "nearly equal one another's, such as a burst: for up to tens of thousands of photographs, "
        "and measured on simulated bursts only",
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="FILE",
        help="write the ranking as one HTML file with thumbnails, to look at",
    )
    parser.add_argument(
        "--copy-to",
        type=Path,
        metavar="DIR",
        help="copy the ranked photographs there, their rank before their names; with --group-by "
        "the best of each item",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="keep features in FILE; unchanged photographs are then not read again",
    )
    cli_options.add_extractor_options(parser)


def run(options: argparse.Namespace) -> int:
    """Score, print, and write what was asked for."""
    runs, words = split_words(options.words)
    if not words:
        options.usage_error("name photographs or folders after the runs, or - for a list on stdin")
    if options.group_by == "group" and not any(word.lower().endswith(".csv") for word in words):
        options.usage_error("--group-by group needs a CSV file with a column group")
    from tqdm.auto import tqdm

    from heads.scoring.scorer import open_scorer

    _check_outputs(options)
    if options.format == "csv":
        console.exact_names()
    with console.working(f"opening {' and '.join(map(str, runs))}"):
        scorer = open_scorer(
            *runs,
            weights=options.weights,
            engine=options.engine,
            device=options.device,
            jobs=options.jobs,
            keep=options.cache,
        )
    sources = Sources(words, sys.stdin, in_groups=options.group_by == "group")
    progress = tqdm(scorer.stream(sources), "score", unit=" photographs", disable=None, leave=False)
    outcome = _Outcome(progress)
    photographs = _some(iter(outcome), words, sources)
    if options.format != "table" and not _ranks(options):
        _print_stream(options, scorer, photographs)
    else:
        _print_ranking(options, scorer, photographs, sources.groups)
    _note_what_is_not_known(options, scorer)
    return outcome.report(sources)


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse, before any work, to replace files that are not ours."""
    from cache.files import check_ending, check_output, storage_errors
    from heads.web.html import PAGES

    if options.gallery:
        check_output(options.gallery, *PAGES)
        check_ending(options.gallery, ".html")
    if options.copy_to and options.copy_to.exists() and not options.copy_to.is_dir():
        with storage_errors(options.copy_to):
            raise NotADirectoryError(errno.ENOTDIR, "a file")


def _ranks(options: argparse.Namespace) -> bool:
    """Return whether the photographs are to be ranked, whatever the format."""
    kinds = options.top, options.near_duplicates, options.group_by, options.gallery, options.copy_to
    return any(kinds)


def _some(photographs: Iterator[Scored], words: list[str], sources: Sources) -> Iterator[Scored]:
    """Give the photographs back, or refuse where there are none."""
    first = next(photographs, None)
    if first is None:
        raise NoPhotographsError(
            f"There is no photograph in {', '.join(shown(word) for word in words)}. "
            + " ".join(
                [*sources.refused, sources.remark(), "Name files or folders with JPEG, PNG, "]
            )
            + "WebP, GIF, BMP or TIFF files."
        )
    return chain([first], photographs)


class _Outcome:
    """Counts photographs on their way and tells of each that could not be read."""

    def __init__(self, photographs: Iterator[Scored]) -> None:
        self._photographs = photographs
        self._good = self._bad = 0

    def __iter__(self) -> Iterator[Scored]:
        for scored in self._photographs:
            self._good += not scored.error
            self._bad += bool(scored.error)
            if scored.error:
                path, error = (shown(t) for t in (scored.path, scored.error))
                console.note(f"{path}: {error}")
            yield scored

    def report(self, sources: Sources) -> int:
        """Say what was left out and what failed; return the exit code."""
        for line in filter(None, [*sources.refused, sources.remark()]):
            console.note(line)
        if self._bad:
            console.note(f"{self._good} photographs scored; {self._bad} could not be read.")
        return console.EXIT_PROBLEM if self._bad or sources.refused else console.EXIT_OK


def _note_what_is_not_known(options: argparse.Namespace, scorer: Scorer) -> None:
    for run in scorer.runs:
        if why := run.reference.why_no_interval:
            console.note(f"{run.path} gives no interval lo, hi: {why}.")
    remark = scorer.runs[0].reference.on_differences
    if options.group_by and remark:
        console.note(f"{scorer.runs[0].path}: {remark}.")


def _print_stream(
    options: argparse.Namespace, scorer: Scorer, photographs: Iterator[Scored]
) -> None:
    from heads.scoring.table import WRITERS, Table

    table = Table(scorer.names)
    write = WRITERS[options.format](sys.stdout, table.columns)
    for scored in photographs:
        write(table.row(scored))


def _print_ranking(
    options: argparse.Namespace,
    scorer: Scorer,
    photographs: Iterator[Scored],
    groups: Mapping[str, str],
) -> None:
    from heads.scoring import table as score_table

    marks = options.near_duplicates or options.gallery is not None
    ranked, failed = _ranking(options, scorer, photographs, groups, near_duplicates=marks)
    # Files first: whoever reads the table may go away.
    if options.gallery:
        from heads.scoring.gallery import write_gallery

        console.note(write_gallery(options.gallery, ranked, scorer))
    if options.copy_to:
        from heads.scoring.gallery import copy_ranked

        console.note(copy_ranked(options.copy_to, [item for item in ranked if item.best]))
    if options.format == "table":
        render = score_table.groups_text if options.group_by else score_table.ranking_text
        if ranked:
            console.show(render(ranked, scorer.names))
    else:
        table = score_table.Table(
            scorer.names, near_duplicates=marks, groups=bool(options.group_by)
        )
        write = score_table.WRITERS[options.format](sys.stdout, table.columns)
        for item in ranked:
            write(table.ranked_row(item))
        for scored in failed:
            write(table.row(scored))


def _ranking(
    options: argparse.Namespace,
    scorer: Scorer,
    photographs: Iterator[Scored],
    groups: Mapping[str, str],
    *,
    near_duplicates: bool,
) -> tuple[list[Ranked], list[Scored]]:
    """Return the ranked photographs that were asked for, and those that could not be read."""
    from heads.scoring import ranking

    # Features are let go of where nobody asks for them again.
    keep = near_duplicates or options.group_by == "near"
    everything = [s if keep else replace(s, features=None) for s in photographs]
    failed = [scored for scored in everything if scored.error]
    ranked = ranking.rank(everything)
    if near_duplicates:
        ranked = ranking.mark_near_duplicates(ranked)
    if options.group_by:
        apart = scorer.runs[0].reference.difference
        names = ranking.GROUPINGS[options.group_by](ranked, groups)
        ranked = ranking.grouped(ranked, names, apart)
        if options.top:
            best = [item.group for item in ranked if item.best][: options.top]
            ranked = [item for item in ranked if item.group in set(best)]
        return ranked, failed
    return ranked[: options.top], failed
