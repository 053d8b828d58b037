"""`heads compare`: several heads on the same features, beside their floor."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from heads.cli import options as cli_options
from heads.errors import HeadError
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import HEADS, Settings

if TYPE_CHECKING:
    from heads.experiments.compare import Comparison, Entry

EPILOG = """examples:
  heads compare                            all heads
  heads compare --heads logistic,emd,binary
  heads compare --heads logistic,mypackage.heads:make_boosted   one of your own
  heads compare --limit 5000 --out runs-5000
  heads compare --preset blog --limit 5000 --out runs-blog
  heads compare --seeds 3                  mean and deviation over three seeds
  heads compare --ensemble 5               neural heads of five networks each
  heads compare --folds 5 --fold-seeds 3   every photograph predicted, in three ways
  heads compare --folds 5 --layers top --views center   what layers and views buy
Writes leaderboard.csv and report.html beside the runs, and duplicates.csv if there
are any; with --folds instead folds-K/leaderboard.csv and duplicates.csv and, for
each head, folds-K/HEAD/predictions.csv (further --seeds in predictions-seed-N.csv).
What was trained already is reused, so a command that was stopped goes on. The
constant head is always among them: it is the floor.
"""
VIEWS = ("center", "mean", "random")
LAYERS = ("top", "multi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads compare`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--heads",
        type=cli_options.head_names,
        metavar="A,B",
        help=f"which (default: all that the labels suffice for: {', '.join(HEADS)})",
    )
    parser.add_argument(
        "--preset",
        choices=("blog",),
        help="blog: the neural heads as the blog post trained them, and logistic on hard labels",
    )
    parser.add_argument(
        "--seeds",
        type=cli_options.positive,
        default=1,
        metavar="N",
        help="train each neural head with N seeds; the table shows mean and deviation",
    )
    cli_options.add_setting(parser, "ensemble")
    cli_options.add_setting(parser, "labels")
    parser.add_argument(
        "--folds",
        type=cli_options.positive,
        metavar="K",
        help="cross-validation over all photographs (train and val beside an official test list), "
        "groups together; no models are kept",
    )
    parser.add_argument(
        "--fold-seeds",
        type=cli_options.positive,
        default=1,
        metavar="N",
        help="fold in N ways and show means",
    )
    parser.add_argument(
        "--views",
        choices=VIEWS,
        help="of a cache with several views: neural heads train on a random one or on their mean; "
        "center, with --folds: only the first view is used by all heads",
    )
    parser.add_argument(
        "--layers", choices=LAYERS, help="with --folds: the last layer alone, or all of them"
    )
    cli_options.add_data_options(parser)


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse, before any work, to replace files that are not ours."""
    from cache.files import check_output
    from heads.experiments.duplicates import check_list
    from heads.report import leaderboard
    from heads.report.write import check_report

    if options.folds:
        folder = options.out / f"folds-{options.folds}"
    else:
        folder = options.out
        check_report(folder)
    check_output(folder / "leaderboard.csv", leaderboard.MARK)
    check_list(folder)


def run(options: argparse.Namespace) -> int:
    """Train what is missing, print the table, write leaderboard.csv and report.html."""
    from heads import compare, load_splits
    from heads.experiments.compare import cross_validate
    from heads.experiments.contests import contests_to_dict
    from heads.experiments.folds import fold_photographs
    from heads.metrics.reliability import choice_ceiling
    from heads.report import leaderboard
    from heads.report.write import write_report

    _check(options)
    _check_outputs(options)
    settings = _settings(options)
    stopped = None if options.json else _show_finished
    if options.folds:
        data = load_splits(options.features, memory_bytes=options.memory)
        folding = fold_photographs(
            data,
            options.folds,
            ways=options.fold_seeds,
            seeds=options.seeds,
            seed=options.seed,
            limit=options.limit,
            views=options.views,
            layers=options.layers,
        )
        done = cross_validate(
            data,
            folding,
            options.heads,
            options.out,
            settings=settings,
            overwrite=options.overwrite,
            stopped=stopped,
        )
    else:
        done = compare(
            load_splits(options.features, limit=options.limit, memory_bytes=options.memory),
            options.heads,
            options.out,
            settings=settings,
            seeds=options.seeds,
            seed=options.seed,
            overwrite=options.overwrite,
            stopped=stopped,
        )
    code = console.EXIT_PROBLEM if done.failed else console.EXIT_OK
    path = done.folder / "leaderboard.csv"
    leaderboard.write_csv(path, done.entries, done.failed)
    if not options.json:
        with console.working("comparing the heads"):
            table = leaderboard.render(done)
        console.show(table)
        console.note("")
        console.note(f"{path}: the same with every metric and interval.")
    files = {"leaderboard": str(path)}
    if not options.folds:
        samples = {Path(e.run).name: e.sample for e in done.entries if e.repeats == 1}
        files["report"] = str(write_report(done.folder, options.features, samples))
    if options.json:
        rows = leaderboard.best_first(done.entries)
        contests = {
            "linear_against_neural": [pair.to_dict() for pair in done.pairs],
            "multi_against_top": {
                head: contests_to_dict(each) for head, each in done.layers.items()
            },
        }
        choosing = choice_ceiling(rows[0].sample.labels, seed=0)
        known = {} if choosing is None else {"choosing": asdict(choosing)}
        failed = {name: leaderboard.failure(error) for name, error in done.failed.items()}
        heads = [_json_row(row) for row in rows]
        print(json.dumps({**files, "heads": heads, **known, **contests, "failed": failed}))
    elif "report" in files:
        console.note(f"{files['report']}: the same with plots and photographs, for a browser.")
    return code


def _show_finished(done: Comparison) -> None:
    """Print the heads that are finished; their runs are reused by the same command."""
    from heads.report import leaderboard

    console.show(leaderboard.render(done))
    console.note("An error ended the comparison here. The same command goes on with it.")


def _check(options: argparse.Namespace) -> None:
    if options.folds:
        return
    for flag in ("layers", "fold_seeds", "views"):
        value = getattr(options, flag)
        if value in ("center", *LAYERS) or (flag == "fold_seeds" and value > 1):
            raise HeadError(
                f"--{flag.replace('_', '-')} {value} needs --folds, where no model is kept. For "
                "models of some layers or views, extract them with `extract --layers --views`."
            )


def _settings(options: argparse.Namespace) -> dict[str, Settings]:
    """Return the settings of each head."""
    chosen: dict[str, Settings] = {}
    for name, entry in HEADS.items():
        settings = entry.blog_settings if options.preset == "blog" else entry.default_settings
        if options.labels and entry.about.ranking_only:
            settings = replace(settings, labels=options.labels)
        if not isinstance(settings, NetworkSettings):
            chosen[name] = settings
            continue
        if options.views in ("mean", "random"):
            settings = replace(settings, views=options.views)
        chosen[name] = replace(settings, ensemble=options.ensemble or settings.ensemble)
    return chosen


def _json_row(entry: Entry) -> dict[str, object]:
    from heads.metrics.comparison import measures_to_dict

    return {
        "head": entry.head,
        "run": entry.run,
        "repeats": entry.repeats,
        "deviation": dict(entry.deviation),
        "features": entry.features,
        "without_duplicates": None if entry.without is None else dict(entry.without),
        **measures_to_dict(entry.sample, entry.measures),
    }
