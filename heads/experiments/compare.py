"""Several heads on the same photographs, each beside the floor: trained once, or in folds.

Owns which heads are compared and what is known of each afterwards; the table and the page are
`heads.report`'s. Imports neither keras nor scikit-learn: heads are made by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cache.console import note, working
from cache.files import write_text_atomically
from cache.types import TextArray
from heads.data.labels import Labels, clusters
from heads.data.splits import SplitData, joint_note
from heads.errors import HeadError, UnsuitableLabelsError
from heads.experiments.contests import Contestant, Cost, Pair, against, lesson, pairs
from heads.experiments.crossval import FoldedRun, folded, folds_config
from heads.experiments.duplicates import FILE as DUPLICATES_FILE
from heads.experiments.duplicates import Found, across_groups, across_splits, check_list
from heads.experiments.folds import Folding, predict_folds
from heads.experiments.train import HEADLINE, floor_of, run_config, sample_of, train_run
from heads.metrics.comparison import (
    Contest,
    Measures,
    Sample,
    deviations,
    mean_sample,
    measure,
)
from heads.models.base import suits
from heads.models.neural.settings import ClosedFormSettings
from heads.models.own.entry import OwnEntry, own_head
from heads.models.registry import FLOOR, HEADS, HeadEntry, Settings, find_head
from heads.runs.files import size_of_model

# Is given the heads that were finished when an error ended a comparison, before that is raised.
Stopped = Callable[["Comparison"], None]
# Settings of heads by name; a head that is not among them gets its defaults.
SettingsOf = Mapping[str, Settings]
AnyEntry = HeadEntry | OwnEntry


@dataclass(frozen=True, eq=False)
class Entry:
    """One head of a comparison, measured beside the floor.

    `deviation` is the standard deviation of metrics over several runs, whose means `sample` and
    `measures` then hold; `repeats` is how many; `run` the (first) folder; `without` the metrics
    without duplicates, None where there are none, or nothing else; `features` their extractor's
    fingerprint; `learned_from` what `lesson` gives; `cost` that of a fit.
    """

    head: str
    run: str
    sample: Sample
    measures: Measures
    n_train: int
    deviation: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    without: Mapping[str, float | None] | None = None
    features: str = ""
    learned_from: object = None
    cost: Cost = field(default_factory=Cost)

    @property
    def contestant(self) -> Contestant:
        """The head as one of a pair."""
        return Contestant(self.head, self.head, self.learned_from, self.sample, self.cost)


@dataclass(frozen=True)
class Title:
    """What was compared: `n` photographs of `split`, by heads `trained_on` so many.

    `threshold` is that of beautiful, '' where photographs were compared alone;
    `groups` is how many are drawn whole, 0 where photographs are drawn.
    """

    features_dir: str
    split: str
    threshold: str
    label_note: str
    n: int
    trained_on: str
    groups: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """The heads of one comparison, the floor first; `folder` holds their runs.

    `found` are photographs that look like one that a head was trained on; `failed` holds by name
    the heads of one's own that raised, each with what it raised. `layers` are contests of heads on
    all layers and on the last one, by head.
    """

    title: Title
    folder: Path
    entries: tuple[Entry, ...]
    found: Found | None = None
    failed: Mapping[str, Exception] = field(default_factory=dict)
    layers: Mapping[str, Sequence[Contest]] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        """Linear heads and networks that learned the same."""
        return pairs([entry.contestant for entry in self.entries])


def compare(
    data: Mapping[str, SplitData],
    heads: Sequence[Any] | None = None,
    out: str | Path = "runs",
    *,
    settings: SettingsOf | None = None,
    seeds: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    stopped: Stopped | None = None,
) -> Comparison:
    """Train what is not there yet, and measure every head on test beside the constant one.

    Arguments and errors are those of `heads.api.compare`.
    """
    check_list(Path(out))
    with working("looking for photographs that stand in two splits"):
        floor, found = floor_of(data), across_splits(data, HEADLINE)
    train, test = data["train"], data[HEADLINE]

    def entry(head: AnyEntry) -> Entry:
        samples, paths, costs = [], [], []
        for i in range(seeds if head.draws else 1):
            config = run_config(head, _settings(head, settings), seed + i, data)
            # The first seed alone replaces a run that is not equal; the others lie beside it.
            done = train_run(
                head,
                config,
                data,
                Path(out),
                overwrite=overwrite,
                keep_others=i > 0,
                floor=floor,
                found=found,
            )
            if not done.reused:
                note(f"{done.path}: trained in {done.metrics['fit_seconds']:.1f} s.")
            samples.append(sample_of(done, data))
            paths.append(str(done.path))
            costs.append(Cost(done.metrics["fit_seconds"], size_of_model(done.path)))
        sample, n_train = mean_sample(samples), len(train)
        return Entry(
            head=head.name,
            run=paths[0],
            sample=sample,
            measures=measure(sample, floor),
            n_train=n_train,
            features=train.cache.spec.sha256,
            deviation=deviations(samples),
            repeats=len(samples),
            without=_without(found, samples),
            learned_from=lesson(head.name, config.settings),
            cost=Cost.mean(costs),
        )

    title = Title(
        features_dir=str(train.cache.path.parent),
        split=HEADLINE,
        threshold=_threshold(test.labels),
        label_note=joint_note(part.cache for part in data.values()),
        n=len(test),
        trained_on=f"{len(train):,}",
        groups=_n_groups(test.labels.group),
    )
    failed: dict[str, Exception] = {}
    start = Comparison(title, Path(out), (), found, failed)
    return _finished(start, _entries(data, heads, entry, failed), stopped)


def cross_validate(
    data: Mapping[str, SplitData],
    folding: Folding,
    heads: Sequence[Any] | None = None,
    out: str | Path = "runs",
    *,
    settings: SettingsOf | None = None,
    overwrite: bool = False,
    stopped: Stopped | None = None,
) -> Comparison:
    """Predict every photograph by heads that never saw it, and measure them beside the floor.

    Where the features are of several layers, some heads are set against those on the last one.

    Args:
        data: train, val and test, as `load_splits` gives them.
        folding: of these data, as `fold_photographs` gives it.
        heads, settings, overwrite, stopped: as those of `compare`.
        out: gets folds-K/HEAD for each head; no models are kept.

    Raises:
        HeadError, RunError, CacheLockedError, StorageError: as `compare`.
    """
    pool, first = folding.pool, folding.ways[0]
    folder = Path(out) / f"folds-{folding.k}"
    check_list(folder)
    with working("looking for photographs that stand in two groups"):
        found = across_groups(data, pool.splits, clusters(pool.labels.group))
    floor = Sample.of(
        predict_folds(FLOOR, ClosedFormSettings(), pool, first, folding.seed), pool.labels
    )

    def run(head: AnyEntry, folding: Folding, *, keep_others: bool = False) -> FoldedRun:
        config = folds_config(head, _settings(head, settings), folding, data)
        return folded(
            head,
            config,
            folding,
            data,
            folder,
            floor,
            found,
            overwrite=overwrite,
            keep_others=keep_others,
        )

    def entry(head: AnyEntry) -> Entry:
        done = run(head, folding)
        return Entry(
            head=head.name,
            run=str(done.path),
            sample=done.sample,
            measures=done.measures,
            n_train=done.config.n_train,
            features=done.config.extractor.sha256,
            deviation=done.deviations,
            repeats=len(done.samples),
            without=_without(found, done.samples),
            learned_from=lesson(head.name, done.config.settings),
            cost=done.cost,
        )

    cache, n_ways = data["train"].cache, len(folding.ways)
    views = "1 view" if pool.n_views == 1 else f"{pool.n_views} views"
    ways = f", folded in {n_ways} ways" if n_ways > 1 else ""
    title = Title(
        features_dir=f"{cache.path.parent} ({views}, {pool.n_features} features)",
        split=" + ".join(pool.splits),
        threshold=_threshold(pool.labels),
        label_note=joint_note(part.cache for part in data.values()),
        n=len(pool.labels),
        trained_on=f"about {len(first[0].train):,} in each of {folding.k} folds{ways}",
        groups=_n_groups(pool.labels.group),
    )
    failed: dict[str, Exception] = {}
    start = Comparison(title, folder, (), found, failed)
    done, last = (
        _finished(start, _entries(data, heads, entry, failed), stopped),
        pool.of_last_layer(),
    )
    if last is None:
        return done
    again = partial(run, folding=replace(folding, pool=last), keep_others=True)
    return replace(done, layers=_against_last_layer(done.entries, again))


def _against_last_layer(
    entries: Sequence[Entry], again: Callable[[AnyEntry], FoldedRun]
) -> dict[str, Sequence[Contest]]:
    """Set heads on all layers against the same heads on the last one, in the same folds.

    These are the heads in closed form, which take a second or two; the networks where none is here.
    None is picked by its figures, which would flatter the layers it was picked with.
    """
    ours = [e for e in entries if e.head in HEADS and HEADS[e.head].about.looks_at_photographs]
    chosen = [e for e in ours if not HEADS[e.head].neural] or ours
    if chosen:
        note(f"Trained again, on the last layer alone: {', '.join(e.head for e in chosen)}.")
    return {
        e.head: against(("multi", e.sample), ("top", again(HEADS[e.head]).sample)) for e in chosen
    }


def _threshold(labels: Labels) -> str:
    return "" if labels.pairs_alone else labels.threshold


def _n_groups(group: TextArray) -> int:
    return int(clusters(group).max()) + 1 if (group != "").any() else 0


def _without(found: Found, samples: Sequence[Sample]) -> Mapping[str, float | None] | None:
    if not found.n_measured:
        return None
    return found.without([sample.prediction for sample in samples], samples[0].labels)


def _finished(start: Comparison, entries: Iterator[Entry], stopped: Stopped | None) -> Comparison:
    done = start
    try:
        for entry in entries:
            done = replace(done, entries=(*done.entries, entry))
    except Exception:
        if done.entries and stopped is not None:
            stopped(done)
        raise
    return _told(done)


def _told(done: Comparison) -> Comparison:
    """Say of duplicates and list them beside the runs; clear the list of an earlier comparison."""
    path = done.folder / DUPLICATES_FILE
    if done.found and done.found.words:
        write_text_atomically(path, done.found.text())
        note(f"{path}: {done.found.words}")
    else:
        path.unlink(missing_ok=True)
    return done


# --- which heads ----------------------------------------------------------------------------------


def _settings(head: AnyEntry, settings: SettingsOf | None) -> Settings:
    return (settings or {}).get(head.name) or head.default_settings


def _entries(
    data: Mapping[str, SplitData],
    asked: Sequence[Any] | None,
    make: Callable[[AnyEntry], Entry],
    failed: dict[str, Exception],
) -> Iterator[Entry]:
    """Yield each head's entry; what heads of one's own raise goes into `failed`, by name.

    A registered one that the labels do not suit is left out if nobody asked for it.

    Raises:
        UnsuitableLabelsError: a registered head that was asked for cannot be trained.
    """
    for head in _heads(asked, data["train"].labels, failed):
        try:
            yield make(head)
        except Exception as error:
            if not isinstance(head, HeadEntry):
                failed[head.name] = error
            elif asked is not None or not isinstance(error, UnsuitableLabelsError):
                raise
            else:
                note(f"Left out: {error.one_line()}")


def _heads(
    asked: Sequence[Any] | None, labels: Labels, failed: dict[str, Exception]
) -> list[AnyEntry]:
    """Return the heads to compare by different names: a second of one name becomes NAME-2.

    What a function that makes a head raises goes into `failed`.

    Raises:
        HeadError: there is no such head: a slip of the pen, best known before hours of training.
    """
    found: dict[str, AnyEntry] = {}
    for head in _names(asked, labels):
        try:
            entry = find_head(head)
        except HeadError:
            raise
        except Exception as error:
            failed[getattr(head, "__name__", str(head))] = error
            continue
        name, count = entry.name, 1
        while name in found and not isinstance(entry, HeadEntry):
            count += 1
            name = f"{entry.name}-{count}"
        found[name] = entry if name == entry.name else own_head(entry, name=name)
    return list(found.values())


def _names(asked: Sequence[Any] | None, labels: Labels) -> list[Any]:
    """Return the heads to compare, the floor first; heads that were asked for are not left out."""
    if asked is not None:
        return [FLOOR, *(head for head in asked if not (isinstance(head, str) and head == FLOOR))]
    fitting = [name for name, entry in HEADS.items() if suits(entry.about, labels)]
    left_out = [name for name in HEADS if name not in fitting]
    if left_out:
        why = "hold no vote counts" if labels.has_means else "are 0 or 1, without votes or means"
        if labels.pairs_alone:
            why = "are comparisons alone"
        note(f"Left out, since the labels {why}: {', '.join(left_out)}.")
    return fitting
