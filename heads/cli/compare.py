"""`heads compare`: several heads on the same features, beside their floor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.errors import HeadError, UnsuitableLabelsError
from heads.cli import options as cli_options
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import FLOOR, HEADS, Settings

if TYPE_CHECKING:
    from heads.data.splits import SplitData
    from heads.experiments.folds import Folding
    from heads.experiments.train import Floor
    from heads.report.leaderboard import Entry, Title

EPILOG = """examples:
  heads compare                            all heads
  heads compare --heads logistic,emd,binary
  heads compare --limit 5000 --out runs-5000
  heads compare --preset blog --limit 5000 --out runs-blog
  heads compare --seeds 3                  mean and deviation over three seeds
  heads compare --ensemble 5               neural heads of five networks each
  heads compare --folds 5 --fold-seeds 3   every photograph predicted, in three ways
  heads compare --folds 5 --layers top --views center   what layers and views buy
Writes leaderboard.csv and report.html beside the runs; with --folds instead
folds-K/leaderboard.csv and, for each head, folds-K/HEAD/predictions.csv (further
--seeds in predictions-seed-N.csv). What was trained already is reused, so a
command that was stopped goes on. The constant head is always among them: it is
the floor.
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
        "--preset", choices=("blog",), help="blog: the neural heads as the blog post trained them"
    )
    parser.add_argument(
        "--seeds",
        type=cli_options.positive,
        default=1,
        metavar="N",
        help="train each neural head with N seeds; the table shows mean and deviation",
    )
    cli_options.add_ensemble(parser)
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


def run(options: argparse.Namespace) -> int:
    """Train what is missing, print the table, write leaderboard.csv and report.html."""
    from heads.data.splits import load_splits
    from heads.report import leaderboard

    _check(options)
    limit = None if options.folds else options.limit
    data = load_splits(options.features, limit=limit, memory_bytes=options.memory)
    names = _names(options.heads, has_votes=data["train"].labels.votes is not None)
    folder, title, entries = (_folds if options.folds else _runs)(options, data, names)
    path = folder / "leaderboard.csv"
    leaderboard.write_csv(path, entries)
    files = {"leaderboard": str(path)}
    if not options.folds:
        files["report"] = str(_report(options, entries))
    if options.json:
        rows = leaderboard.ranked(entries)
        print(json.dumps({**files, "heads": [_json_row(row) for row in rows]}))
    else:
        print(leaderboard.render(title, entries))
        console.note(f"\n{path}: the same with every metric and interval.")
        if "report" in files:
            console.note(f"{files['report']}: the same with plots and photographs, for a browser.")
    return console.EXIT_OK


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


def _names(asked: Sequence[str] | None, *, has_votes: bool) -> list[str]:
    """Return the heads to compare, the floor first; heads that were asked for are not left out."""
    if asked is not None:
        return [FLOOR, *(name for name in dict.fromkeys(asked) if name != FLOOR)]
    fitting = [name for name, entry in HEADS.items() if has_votes or not entry.about.needs_votes]
    left_out = [name for name in HEADS if name not in fitting]
    if left_out:
        console.note(f"Left out, since the labels hold no vote counts: {', '.join(left_out)}.")
    return fitting


def _entries(
    names: Sequence[str], make: Callable[[str], Entry], asked: Sequence[str] | None
) -> list[Entry]:
    """Return each head's entry; one that the labels do not suit is left out if nobody asked for it.

    Raises:
        UnsuitableLabelsError: a head that was asked for cannot be trained.
    """
    entries = []
    for name in names:
        try:
            entries.append(make(name))
        except UnsuitableLabelsError as error:
            if name in (asked or ()):
                raise
            console.note(f"Left out: {error.one_line()}")
    return entries


def _settings(name: str, options: argparse.Namespace) -> Settings:
    entry = HEADS[name]
    settings = entry.blog_settings if options.preset == "blog" else entry.default_settings
    if not isinstance(settings, NetworkSettings):
        return settings
    if options.views in ("mean", "random"):
        settings = replace(settings, views=options.views)
    return replace(settings, ensemble=options.ensemble or settings.ensemble)


# --- runs -----------------------------------------------------------------------------------------


def _runs(
    options: argparse.Namespace, data: Mapping[str, SplitData], names: Sequence[str]
) -> tuple[Path, Title, list[Entry]]:
    from heads.experiments.train import Floor

    floor = Floor.of(data)
    entries = _entries(names, lambda name: _entry(name, options, data, floor), options.heads)
    return options.out, _title(options, data), entries


def _entry(
    name: str, options: argparse.Namespace, data: Mapping[str, SplitData], floor: Floor
) -> Entry:
    from heads.experiments.train import TrainRequest, sample_of, train_run
    from heads.metrics.comparison import deviations, mean_sample, measure
    from heads.report.leaderboard import Entry

    request = TrainRequest(
        head=name,
        settings=_settings(name, options),
        seed=options.seed,
        limit=options.limit,
        features_dir=options.features,
        out=options.out,
        overwrite=options.overwrite,
        memory_bytes=options.memory,
    )
    samples, paths = [], []
    for i in range(options.seeds if HEADS[name].neural else 1):
        # The first seed alone replaces a run that is not equal; the others lie beside it.
        again = replace(request, seed=options.seed + i, keep_others=i > 0)
        done = train_run(again, data, floor)
        if not done.reused:
            console.note(f"{done.path}: trained in {done.metrics['fit_seconds']:.1f} s.")
        samples.append(sample_of(done, data))
        paths.append(str(done.path))
    sample = mean_sample(samples)
    measures = measure(sample, floor.sample)
    spread = deviations(samples)
    return Entry(name, paths[0], sample, measures, len(data["train"]), spread, len(samples))


def _report(options: argparse.Namespace, entries: Sequence[Entry]) -> Path:
    from heads.report.write import write_report

    samples = {Path(e.run).name: e.sample for e in entries if e.repeats == 1}
    return write_report(options.out, samples=samples)


def _title(options: argparse.Namespace, data: Mapping[str, SplitData]) -> Title:
    from heads.experiments.train import HEADLINE
    from heads.report.leaderboard import Title

    test = data[HEADLINE]
    return Title(
        features_dir=str(options.features),
        split=HEADLINE,
        threshold=test.labels.threshold,
        label_note=test.cache.label_note,
        n=len(test),
        n_train=len(data["train"]),
        groups=bool((test.labels.group != "").any()),
    )


# --- folds ----------------------------------------------------------------------------------------


def _folds(
    options: argparse.Namespace, data: Mapping[str, SplitData], names: Sequence[str]
) -> tuple[Path, Title, list[Entry]]:
    from heads.data.splits import default_memory_bytes
    from heads.experiments import folds
    from heads.experiments.crossval import FoldsConfig, folded
    from heads.metrics.comparison import Sample
    from heads.report.leaderboard import Entry

    budget = options.memory or default_memory_bytes()
    pool = folds.pooled(data, options.views, options.layers, budget)
    ways = tuple(
        tuple(folds.fold(pool.labels, options.folds, options.seed + way, options.limit))
        for way in range(options.fold_seeds)
    )
    folding = folds.Folding(pool, ways, options.seeds, options.seed)
    folder = options.out / f"folds-{options.folds}"
    constant = folds.predict_folds(
        FLOOR, HEADS[FLOOR].default_settings, pool, ways[0], options.seed
    )
    floor = Sample.of(constant, pool.labels)

    def entry(name: str) -> Entry:
        config = FoldsConfig.of(name, _settings(name, options), folding, data, options.limit)
        done = folded(config, folding, folder, floor, overwrite=options.overwrite)
        return Entry(
            head=name,
            run=str(done.path),
            sample=done.sample,
            measures=done.measures,
            n_train=config.n_train,
            deviation=done.deviations,
            repeats=len(done.samples),
        )

    return folder, _fold_title(options, data, folding), _entries(names, entry, options.heads)


def _fold_title(
    options: argparse.Namespace, data: Mapping[str, SplitData], folding: Folding
) -> Title:
    from heads.report.leaderboard import Title

    pool, n_train = folding.pool, len(folding.ways[0][0].train)
    ways = f", folded in {len(folding.ways)} ways" if len(folding.ways) > 1 else ""
    views = "1 view" if pool.n_views == 1 else f"{pool.n_views} views"
    return Title(
        features_dir=f"{options.features} ({views}, {pool.n_features} features)",
        split=" + ".join(pool.splits),
        threshold=pool.labels.threshold,
        label_note=data["train"].cache.label_note,
        n=len(pool.labels),
        n_train=n_train,
        groups=bool((pool.labels.group != "").any()),
        trained_on=f"about {n_train:,} in each of {folding.k} folds{ways}",
    )


def _json_row(entry: Entry) -> dict[str, object]:
    from heads.metrics.comparison import measures_to_dict

    return {
        "head": entry.head,
        "run": entry.run,
        "repeats": entry.repeats,
        "deviation": dict(entry.deviation),
        **measures_to_dict(entry.sample, entry.measures),
    }
