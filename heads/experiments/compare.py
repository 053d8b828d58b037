"""Several heads on the same photographs, each beside the floor: trained once, or in folds.

Owns which heads are compared and what is known of each afterwards; the table and the page are
`heads.report`'s. Imports neither keras nor scikit-learn: heads are made by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cache.console import note
from heads.data.splits import SplitData
from heads.errors import UnsuitableLabelsError
from heads.experiments.crossval import folded, folds_config
from heads.experiments.folds import Folding, predict_folds
from heads.experiments.train import HEADLINE, floor_of, run_config, sample_of, train_run
from heads.metrics.comparison import Measures, Sample, deviations, mean_sample, measure
from heads.models.neural.settings import ClosedFormSettings
from heads.models.registry import FLOOR, HEADS, Settings, find_head

# Settings of heads by name; a head that is not among them gets its defaults.
SettingsOf = Mapping[str, Settings]


@dataclass(frozen=True, eq=False)
class Entry:
    """One head of a comparison, measured beside the floor.

    `deviation` is the standard deviation of metrics over several runs, whose means `sample` and
    `measures` then hold; `repeats` is how many; `run` the (first) folder.
    """

    head: str
    run: str
    sample: Sample
    measures: Measures
    n_train: int
    deviation: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1


@dataclass(frozen=True)
class Title:
    """What was compared: `n` photographs of `split`, by heads `trained_on` so many."""

    features_dir: str
    split: str
    threshold: str
    label_note: str
    n: int
    trained_on: str
    groups: bool


@dataclass(frozen=True, eq=False)
class Comparison:
    """The heads of one comparison, the floor first; `folder` holds their runs."""

    title: Title
    folder: Path
    entries: tuple[Entry, ...]


def compare(
    data: Mapping[str, SplitData],
    heads: Sequence[str] | None = None,
    out: str | Path = "runs",
    *,
    settings: SettingsOf | None = None,
    seeds: int = 1,
    seed: int = 0,
    overwrite: bool = False,
) -> Comparison:
    """Train what is not there yet, and measure every head on test beside the constant one.

    Args:
        data: train, val and test, as `load_splits` gives them.
        heads: names; all that the labels suffice for if None. The floor is always among them.
        out: gets a folder for each run.
        settings: of neural heads, by name; the tuned ones for the others.
        seeds: train each neural head with so many seeds from `seed` on; the entries are means.
        overwrite: train anew and replace earlier runs.

    Raises:
        HeadError: a head that was asked for does not suit the data, or there is no such head.
        RunError, CacheLockedError, StorageError: a run folder cannot be written.
    """
    floor = floor_of(data)

    def entry(name: str) -> Entry:
        samples, paths = [], []
        for i in range(seeds if HEADS[name].neural else 1):
            config = run_config(name, _settings(name, settings), seed + i, data)
            # The first seed alone replaces a run that is not equal; the others lie beside it.
            done = train_run(
                config, data, Path(out), overwrite=overwrite, keep_others=i > 0, floor=floor
            )
            if not done.reused:
                note(f"{done.path}: trained in {done.metrics['fit_seconds']:.1f} s.")
            samples.append(sample_of(done, data))
            paths.append(str(done.path))
        sample, n_train = mean_sample(samples), len(data["train"])
        measures, deviation = measure(sample, floor), deviations(samples)
        return Entry(name, paths[0], sample, measures, n_train, deviation, len(samples))

    train, test = data["train"], data[HEADLINE]
    title = Title(
        features_dir=str(train.cache.path.parent),
        split=HEADLINE,
        threshold=test.labels.threshold,
        label_note=test.cache.label_note,
        n=len(test),
        trained_on=f"{len(train):,}",
        groups=bool((test.labels.group != "").any()),
    )
    return Comparison(title, Path(out), _entries(data, heads, entry))


def cross_validate(
    data: Mapping[str, SplitData],
    folding: Folding,
    heads: Sequence[str] | None = None,
    out: str | Path = "runs",
    *,
    settings: SettingsOf | None = None,
    overwrite: bool = False,
) -> Comparison:
    """Predict every photograph by heads that never saw it, and measure them beside the floor.

    Args:
        data: train, val and test, as `load_splits` gives them.
        folding: of these data, as `fold_photographs` gives it.
        heads, settings, overwrite: as those of `compare`.
        out: gets folds-K/HEAD for each head; no models are kept.

    Raises:
        HeadError, RunError, CacheLockedError, StorageError: as `compare`.
    """
    pool, first = folding.pool, folding.ways[0]
    folder = Path(out) / f"folds-{folding.k}"
    floor = Sample.of(
        predict_folds(FLOOR, ClosedFormSettings(), pool, first, folding.seed), pool.labels
    )

    def entry(name: str) -> Entry:
        config = folds_config(name, _settings(name, settings), folding, data)
        done = folded(config, folding, folder, floor, overwrite=overwrite)
        return Entry(
            head=name,
            run=str(done.path),
            sample=done.sample,
            measures=done.measures,
            n_train=config.n_train,
            deviation=done.deviations,
            repeats=len(done.samples),
        )

    cache, n_ways = data["train"].cache, len(folding.ways)
    views = "1 view" if pool.n_views == 1 else f"{pool.n_views} views"
    ways = f", folded in {n_ways} ways" if n_ways > 1 else ""
    title = Title(
        features_dir=f"{cache.path.parent} ({views}, {pool.n_features} features)",
        split=" + ".join(pool.splits),
        threshold=pool.labels.threshold,
        label_note=cache.label_note,
        n=len(pool.labels),
        trained_on=f"about {len(first[0].train):,} in each of {folding.k} folds{ways}",
        groups=bool((pool.labels.group != "").any()),
    )
    return Comparison(title, folder, _entries(data, heads, entry))


# --- which heads ----------------------------------------------------------------------------------


def _settings(name: str, settings: SettingsOf | None) -> Settings:
    return (settings or {}).get(name) or find_head(name).default_settings


def _entries(
    data: Mapping[str, SplitData], asked: Sequence[str] | None, make: Callable[[str], Entry]
) -> tuple[Entry, ...]:
    """Return each head's entry; one that the labels do not suit is left out if nobody asked for it.

    Raises:
        UnsuitableLabelsError: a head that was asked for cannot be trained.
    """
    entries = []
    for name in _names(asked, has_votes=data["train"].labels.votes is not None):
        try:
            entries.append(make(name))
        except UnsuitableLabelsError as error:
            if name in (asked or ()):
                raise
            note(f"Left out: {error.one_line()}")
    return tuple(entries)


def _names(asked: Sequence[str] | None, *, has_votes: bool) -> list[str]:
    """Return the heads to compare, the floor first; heads that were asked for are not left out."""
    if asked is not None:
        return [FLOOR, *(name for name in dict.fromkeys(asked) if name != FLOOR)]
    fitting = [name for name, entry in HEADS.items() if has_votes or not entry.about.needs_votes]
    left_out = [name for name in HEADS if name not in fitting]
    if left_out:
        note(f"Left out, since the labels hold no vote counts: {', '.join(left_out)}.")
    return fitting
