"""What a report shows, read from runs and their caches: no HTML here, and nothing is trained.

A report compares runs that were measured on the same photographs; others are named as left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.console import note
from cache.errors import AestheticError
from cache.places import photographs_of
from cache.store import FeatureCache, open_cache
from cache.text import path_named
from cache.types import SPLITS
from heads.data.labels import BoolArray, Labels
from heads.data.predictions import Prediction
from heads.data.splits import check_together, joint_note, labels_of
from heads.errors import RunError
from heads.experiments.contests import Contestant, Cost, Pair, compared, lesson, pairs
from heads.metrics.catalogue import evaluate, for_table, ranked_by
from heads.metrics.comparison import Contest, Sample, StoredMetrics, contest
from heads.metrics.reliability import ChoiceCeiling, Reliability, ceiling, choice_ceiling
from heads.models.base import History
from heads.models.constant import ConstantHead
from heads.models.linear import PenaltyChoice
from heads.models.registry import about_head
from heads.runs.checksums import note_unlisted
from heads.runs.config import RunConfig
from heads.runs.files import (
    read_config,
    read_history,
    read_metrics,
    read_penalties,
    size_of_model,
)
from heads.runs.folder import find_runs
from heads.runs.places import features_of, naming_option
from heads.runs.predictions import read_predictions
from heads.runs.reference import read_reference

RELIABILITY_SEED = 0
OTHER_PHOTOGRAPHS = "other photographs"
NONE = np.empty(0)


@dataclass(frozen=True, eq=False)
class RunData:
    """One run: its folder's name, configuration, metrics.json, history and predictions of test.

    `features` is where its caches lie; `choice` that of its penalty, None where it has none.
    """

    name: str
    features: Path
    config: RunConfig
    metrics: dict[str, Any]
    history: History
    choice: PenaltyChoice | None
    labels: Labels
    prediction: Prediction
    cost: Cost

    @property
    def stored(self) -> StoredMetrics:
        """The metrics, whatever version of this program measured them."""
        return StoredMetrics(self.metrics)

    @property
    def collapsed(self) -> bool:
        """Whether every photograph got the same score."""
        return bool(np.ptp(self.prediction.score) == 0)

    @property
    def duplicates(self) -> int:
        """How many photographs of test look like one of training, as far as the run says."""
        return int(self.metrics.get("duplicates", {}).get("n") or 0)

    def without_duplicates(self, metric: str) -> float | None:
        """Return a metric of the others as a table shows it; None for a dash."""
        known = self.metrics["duplicates"].get("without")
        if not known:
            return None
        value: float | None = known.get(metric)
        undefined = value is None and self.stored.has_interval(metric)
        return for_table(metric, math.nan) if undefined else value

    def value(self, metric: str) -> float | None:
        """Return a metric as a table shows it; None for a dash."""
        return self.stored.shown(metric)


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that a report shows, the best run first.

    `folder` holds the runs, `photographs_root` those that paths of `cache` name, None if they are
    away; `cache` is that of test and `note_now` the remark on the labels of all splits, as they are
    now; `contests` compare the first run's SRCC with each other's; `pairs` are networks and linear
    heads that learned the same; `choosing` is what there is to choose, None without groups;
    `floors` are the constant head's metrics on val for each run, the line in its curves; `left_out`
    says by name why runs are not here.
    """

    name: str
    folder: Path
    cache: FeatureCache
    photographs_root: Path | None
    note_now: str
    runs: tuple[RunData, ...]
    contests: dict[str, Contest]
    pairs: list[Pair]
    floors: dict[str, dict[str, float]]
    ceiling: Reliability | None
    choosing: ChoiceCeiling | None
    left_out: dict[str, str]

    @property
    def best(self) -> RunData:
        """The run with the highest SRCC on test, or AUC for labels of 0 and 1."""
        return self.runs[0]

    @property
    def ranked_by(self) -> str:
        """The metric that runs are put in order by."""
        return ranked_by(self.labels)

    @property
    def labels(self) -> Labels:
        """The photographs that all runs were measured on."""
        return self.best.labels

    @property
    def note(self) -> str:
        """The remark on the labels, now and when the best run was trained; '' for none."""
        then = self.best.config.label_note
        if not self.note_now or self.note_now in then:
            return then
        return f"{self.note_now}; {then}" if then and then not in self.note_now else self.note_now

    @cached_property
    def photographs(self) -> dict[str, Path]:
        """Where each photograph of the test cache lies; none if they are away."""
        labels, root = self.cache.labels, self.photographs_root
        if root is None:
            return {}
        paths = zip(labels.image_id.tolist(), labels.path.tolist(), strict=True)
        return {image_id: root / path_named(path) for image_id, path in paths}


def read_report(
    folder: Path,
    features: Path | None = None,
    samples: Mapping[str, Sample] | None = None,
    photographs: Path | None = None,
) -> ReportData:
    """Read the finished runs in a folder and compare them.

    Args:
        folder: holds one folder a run.
        features: the folder of the caches; where the runs say they were, if None. A run that was
            made from others is shown with those, which a note says.
        samples: bootstraps by the run's name that are known already.
        photographs: the folder that paths are relative to; where the caches say it was, if None.

    Raises:
        RunError: there is no run, or none can be read; the message is the first one's.
        IncompleteCacheError, FormatError: the caches are missing or damaged, for the same reason.
    """
    found = find_runs(folder)
    if not found:
        raise RunError(f"{folder} holds no finished run. Make some with `heads compare`.")
    caches: dict[Path, dict[str, FeatureCache]] = {}
    if features is not None:  # named, so what is wrong with it is said: no other takes its place
        _open_splits(features, caches)
    runs, left_out = _readable(found, features, caches)
    chosen, others = _same_photographs(runs)
    left_out |= others
    ordered = sorted(chosen, key=_place)
    own = caches[ordered[0].features]
    labels = ordered[0].labels
    known = samples or {}
    drawn = {
        run.name: known.get(run.name) or Sample.of(run.prediction, labels, compared(labels))
        for run in ordered
    }
    return ReportData(
        name=own["test"].data_root.name or own["test"].path.parent.name,
        folder=folder,
        cache=own["test"],
        photographs_root=photographs_of(own["test"], photographs),
        note_now=joint_note(own.values()),
        runs=tuple(ordered),
        contests=_contests(ordered, drawn),
        pairs=pairs([_contestant(run, drawn[run.name]) for run in ordered]),
        floors=_floors(ordered, caches),
        ceiling=ceiling(labels, RELIABILITY_SEED),
        choosing=choice_ceiling(labels, RELIABILITY_SEED),
        left_out=left_out,
    )


def _place(run: RunData) -> tuple[bool, bool, float]:
    """Sort the best first, then what looks at no photograph, last what has no such metric."""
    value = run.value(ranked_by(run.labels))
    return value is None, not about_head(run.config.head).looks_at_photographs, -(value or 0.0)


def _readable(
    found: Sequence[Path], features: Path | None, caches: dict[Path, dict[str, FeatureCache]]
) -> tuple[list[RunData], dict[str, str]]:
    """Read all runs; return those that could be read, and why the others could not.

    Raises the first reason if there is no other run.
    """
    runs, left_out, errors = [], {}, []
    for path in found:
        try:
            runs.append(_read_run(path, features, caches))
        except AestheticError as error:
            errors.append(error)
            left_out[path.name] = error.one_line()
    if not runs:
        raise errors[0]
    return runs, left_out


def _read_run(
    path: Path, features: Path | None, caches: dict[Path, dict[str, FeatureCache]]
) -> RunData:
    config, metrics = read_config(path), read_metrics(path)
    folder = features_of(path, config, features)
    if features is not None and folder != features:
        note(f"{path} was made from other features than those in {features}: {folder} is read.")
    _open_splits(folder, caches)
    stored, reference = read_predictions(path), read_reference(path)
    labels = stored.labels(metrics["split"], reference.scale, reference.threshold)
    if len(labels) != metrics["n"] or not len(labels):
        raise RunError(
            f"{path / 'predictions.csv'} has {len(labels)} photographs of {metrics['split']}; "
            f"metrics.json measured {metrics['n']}. Train the head again with --overwrite."
        )
    called = stored.true_label[stored.split == metrics["split"]]
    labels = _checked(path, labels, called, caches[folder][metrics["split"]])
    prediction = stored.prediction(
        metrics["split"],
        ranking_only=metrics["ranking_only"],
        label_by_p=metrics["label_by_p"],
    )
    if wrong := StoredMetrics(metrics).contradicted_by(prediction, labels):
        raise RunError(
            f"{path / 'predictions.csv'} has another {wrong} than metrics.json says: one of the "
            "two was changed. Train the head again with --overwrite."
        )
    note_unlisted(path)
    return RunData(
        name=path.name,
        features=folder,
        config=config,
        metrics=metrics,
        history=read_history(path),
        choice=read_penalties(path, config),
        labels=labels,
        prediction=prediction,
        cost=Cost(metrics["fit_seconds"], size_of_model(path)),
    )


def _open_splits(folder: Path, caches: dict[Path, dict[str, FeatureCache]]) -> None:
    if folder not in caches:
        with naming_option():
            opened = {name: open_cache(folder / f"{name}.h5") for name in SPLITS}
        check_together(opened)
        caches[folder] = opened


def _checked(path: Path, labels: Labels, called: BoolArray, cache: FeatureCache) -> Labels:
    """Refuse a run whose labels, beautiful where `called`, contradict themselves or its cache.

    Return them with the cache's challenges, which the run's files do not hold.
    """
    now = labels_of(cache, cache.ok_rows)
    other = _other_labels(labels, now)
    # Runs on other photographs than these may still be compared with each other.
    if other not in ("", OTHER_PHOTOGRAPHS):
        raise RunError(
            f"{path} was measured on {other} than {cache.path} holds: that was made anew "
            "since. Train the head again with --overwrite."
        )
    if not np.array_equal(labels.beautiful, called):
        raise RunError(
            f"{path / 'predictions.csv'} calls other photographs beautiful than its labels and the "
            f"threshold {labels.threshold} do. Train the head again with --overwrite."
        )
    return labels if other else replace(labels, challenge=now.challenge, pairs=now.pairs)


def _other_labels(one: Labels, other: Labels) -> str:
    """Return what two sets of labels differ in, in words; '' for equal ones."""
    if not np.array_equal(one.image_id, other.image_id):
        return OTHER_PHOTOGRAPHS
    if one.scale != other.scale:
        return "another scale"
    if one.threshold != other.threshold:
        return "another threshold of beautiful"
    mine, theirs = one.columns(), other.columns()
    for name in ("votes", "mean"):
        if not np.array_equal(mine.get(name, NONE), theirs.get(name, NONE), equal_nan=True):
            return "other labels of these photographs"
    return "" if np.array_equal(one.group, other.group) else "other groups of these photographs"


def _same_photographs(runs: Sequence[RunData]) -> tuple[list[RunData], dict[str, str]]:
    """Return the largest set of runs with equal labels of equal test photographs.

    And of each other run, by name, what it was measured on.
    """
    sets: list[list[RunData]] = []
    for run in runs:
        like = next((s for s in sets if not _other_labels(s[0].labels, run.labels)), None)
        sets.append([run]) if like is None else like.append(run)
    chosen = max(sets, key=len)
    return chosen, {
        run.name: f"measured on {_other_labels(chosen[0].labels, run.labels)}"
        for run in runs
        if run not in chosen
    }


def _contests(runs: Sequence[RunData], samples: Mapping[str, Sample]) -> dict[str, Contest]:
    """Compare the best run's SRCC with each other one's that ranks at all, draw by draw."""
    by = ranked_by(runs[0].labels)
    ranking = [run for run in runs if not run.collapsed and run.value(by) is not None]
    named = [(run.name, samples[run.name]) for run in ranking]
    found = {other[0]: contest(named[0], other, (by,)) for other in named[1:]}
    return {name: contests[0] for name, contests in found.items() if contests}


def _contestant(run: RunData, sample: Sample) -> Contestant:
    config = run.config
    made_of = config.extractor.sha256, config.splits, lesson(config.head, config.settings)
    return Contestant(run.name, config.head, made_of, sample, run.cost)


def _floors(
    runs: Sequence[RunData],
    caches: Mapping[Path, Mapping[str, FeatureCache]],
) -> dict[str, dict[str, float]]:
    known: dict[tuple[Path, int | None, bool], dict[str, float]] = {}
    floors = {}
    for run in runs:
        if run.history:
            kind, _ = lesson(run.config.head, run.config.settings)
            key = run.features, run.config.limit, kind == "soft"
            if key not in known:
                known[key] = floor_on_val(caches[key[0]], key[1], soft=key[2])
            floors[run.name] = known[key]
    return floors


def floor_on_val(
    caches: Mapping[str, FeatureCache], limit: int | None, *, soft: bool
) -> dict[str, float]:
    """Return the constant head's metrics on val, learned from the first `limit` labels of train.

    Its cross-entropy is that of soft labels (as of `logistic`) or of hard ones.
    """
    train, val = (
        labels_of(cache, cache.ok_rows[:rows])
        for cache, rows in ((caches["train"], limit), (caches["val"], None))
    )
    head, nothing = ConstantHead(), np.zeros((len(val), 1, 0), np.float32)
    head.fit(nothing, train, nothing, val, seed=0)
    prediction = head.predict(nothing)
    values = evaluate(prediction, val)
    shares = [part.share_above if soft else part.beautiful for part in (train, val)]
    p, truth = np.clip(shares[0].mean(), 1e-7, 1 - 1e-7), shares[1].mean()
    entropy = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    floors = {name: value for name, value in values.items() if isinstance(value, float)}
    return {**floors, "cross_entropy": float(entropy)}
