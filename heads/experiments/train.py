"""Training a head into its run folder, or finding that this very run is already there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.console import note, working
from heads.data.features import FeatureRows, memory_budget
from heads.data.predictions import Prediction
from heads.data.splits import SplitData, check_unchanged, joint_note
from heads.errors import RunError
from heads.experiments.duplicates import FILE as DUPLICATES_FILE
from heads.experiments.duplicates import Found, across_splits
from heads.metrics import comparison as evaluate
from heads.metrics.comparison import Sample, StoredMetrics
from heads.metrics.conformal import Intervals, bounded
from heads.models.base import Head, History
from heads.models.neural.inputs import Photographs
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import FLOOR, Settings, find_head, make_head
from heads.runs import files, folder
from heads.runs.checksums import check_files
from heads.runs.config import RunConfig, SplitFacts, library_versions, metadata_sha256
from heads.runs.places import note_features
from heads.runs.predictions import SplitPrediction, read_predictions, write_predictions
from heads.runs.reference import FILE as REFERENCE_FILE
from heads.runs.reference import Reference, read_reference

HEADLINE = "test"
PREDICTED = ("val", "test")


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A finished run: its folder, whether it was there before, and its metrics.json.

    `sample` is the prediction of test as it was measured, None for a reused run.
    """

    path: Path
    reused: bool
    metrics: dict[str, Any]
    sample: Sample | None


def floor_of(data: Mapping[str, SplitData]) -> Sample:
    """Fit the constant head on train and measure it on test: the floor of every head."""
    head = make_head(FLOOR)
    train, val, test = data["train"], data["val"], data[HEADLINE]
    head.fit(train.X, train.labels, val.X, val.labels, seed=0)
    intervals = Intervals.of(head.predict(val.X), val.labels)
    return Sample.of(bounded(head.predict(test.X), intervals), test.labels)


def train(
    head: Any,
    data: Mapping[str, SplitData],
    out: str | Path = "runs",
    *,
    settings: Settings | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> TrainedRun:
    """Train a head and write its run below `out`: arguments and errors of `heads.api.train`."""
    entry = find_head(head)
    config = run_config(entry, settings, seed, data)
    return train_run(entry, config, data, Path(out), overwrite=overwrite)


def train_run(
    head: Any,
    config: RunConfig,
    data: Mapping[str, SplitData],
    out: Path,
    *,
    overwrite: bool,
    keep_others: bool = False,
    floor: Sample | None = None,
    found: Found | None = None,
) -> TrainedRun:
    """Train a head as `train` does, with its errors, by the configuration of a run.

    `overwrite` and `keep_others` are those of `heads.runs.folder.place`; `floor` is the constant
    head on the same data and `found` the duplicates in them, if they are known already; whoever
    knows them says so.
    """
    path, reused = folder.place(
        out, config.head, config.identity, overwrite=overwrite, keep_others=keep_others
    )
    if reused:
        check_files(path)
        note(f"{path}: this very run is already there; it is reused (--overwrite trains anew).")
        note_features(path, files.read_config(path), data["train"].cache.path.parent)
        return TrainedRun(path, True, files.read_metrics(path), None)
    with working(config.head), folder.publishing(path) as temporary:
        fitted = _fit(head, config, data)
        sample = Sample.of(fitted.bounded, data[HEADLINE].labels)
        duplicates = found or across_splits(data, HEADLINE)
        metrics = _metrics(config.head, fitted, sample, data, floor or floor_of(data))
        metrics["duplicates"] = duplicates.to_dict([sample.prediction], sample.labels)
        files.write_model(temporary, fitted.head)
        reference = Reference.of(fitted.head, data["train"], fitted.intervals)
        files.write_json(temporary / REFERENCE_FILE, reference.to_dict())
        files.write_history(temporary / "history.csv", fitted.history)
        write_predictions(
            temporary / "predictions.csv",
            [SplitPrediction(s, "", data[s].labels, p) for s, p in fitted.predictions.items()],
        )
        if len(duplicates.pairs):
            text = duplicates.text()
            (temporary / DUPLICATES_FILE).write_text(text, encoding="utf-8")
        files.write_json(temporary / "metrics.json", metrics)
        files.write_json(temporary / "config.json", config.to_dict())
        check_unchanged(data)
    if remark := fitted.head.state()[1].get("note"):
        note(f"{path}: {remark}")
    if found is None and duplicates.words:
        note(f"{path / DUPLICATES_FILE}: {duplicates.words}")
    return TrainedRun(path, False, metrics, sample)


@dataclass(frozen=True, eq=False)
class _Fitted:
    head: Head
    history: History
    predictions: dict[str, Prediction]
    intervals: Intervals | None
    seconds: float

    @property
    def bounded(self) -> Prediction:
        """The predictions of test with their intervals."""
        return bounded(self.predictions[HEADLINE], self.intervals)


def _fit(head: Any, config: RunConfig, data: Mapping[str, SplitData]) -> _Fitted:
    entry = find_head(head)
    head = entry.make(config.resolved)
    train, val = data["train"], data["val"]
    labels, labels_val = (entry.seen(config.settings, part.labels) for part in (train, val))
    started = time.perf_counter()
    given = {split: head.about.given(part) for split, part in data.items()}
    history = head.fit(given["train"], labels, given["val"], labels_val, seed=config.seed)
    seconds = time.perf_counter() - started
    predictions = {split: head.predict(given[split]) for split in PREDICTED}
    intervals = Intervals.of(predictions["val"], data["val"].labels)
    return _Fitted(head, history, predictions, intervals, seconds)


def _metrics(
    name: str, fitted: _Fitted, sample: Sample, data: Mapping[str, SplitData], floor: Sample
) -> dict[str, Any]:
    measures = evaluate.measure(sample, floor)
    return {
        "head": name,
        "split": HEADLINE,
        **evaluate.measures_to_dict(sample, measures),
        "val": evaluate.values_to_dict(fitted.predictions["val"], data["val"].labels),
        "n_train": len(data["train"]),
        "fit_seconds": round(fitted.seconds, 3),
        "ranking_only": sample.prediction.ranking_only,
        "label_by_p": sample.prediction.label_by_p,
    }


def run_config(
    head: Any, settings: Settings | None, seed: int, data: Mapping[str, SplitData]
) -> RunConfig:
    """Note what a head is to be trained on and how; with its own settings if None.

    Raises:
        HeadError: there is no such head.
    """
    train, cache = data["train"], data["train"].cache
    entry = find_head(head)
    settings = settings or entry.default_settings
    return RunConfig(
        head=entry.name,
        settings=settings,
        seed=seed,
        limit=train.limit,
        extractor=cache.spec,
        splits={split: SplitFacts.of(part) for split, part in data.items()},
        features_dir=str(cache.path.parent.resolve()),
        label_note=joint_note(part.cache for part in data.values()),
        library_versions=library_versions(),
        streamed_bytes=streamed_bytes(settings, train.X),
        metadata=metadata_sha256(head, data),
    )


def streamed_bytes(settings: Settings, X: FeatureRows) -> int | None:
    """Return the memory budget where a network trains on blocks from the disk, else None."""
    if not isinstance(settings, NetworkSettings):
        return None
    budget = memory_budget(X)
    photographs = Photographs(X, mean_only=settings.views == "mean")
    return budget if photographs.nbytes > budget else None


def sample_of(run: TrainedRun, data: Mapping[str, SplitData]) -> Sample:
    """Return a run's predictions of test, measured: as trained just now, or read from its files.

    Raises:
        RunError: predictions.csv is missing, damaged, of other photographs, or has other metrics.
    """
    if run.sample is not None:
        return run.sample
    stored = read_predictions(run.path)
    labels = data[HEADLINE].labels
    if stored.image_id[stored.split == HEADLINE].tolist() != labels.image_id.tolist():
        raise RunError(
            f"{run.path / 'predictions.csv'} does not hold the photographs of the {HEADLINE} "
            "cache. Train the head again with --overwrite."
        )
    prediction = stored.prediction(
        HEADLINE, ranking_only=run.metrics["ranking_only"], label_by_p=run.metrics["label_by_p"]
    )
    if wrong := StoredMetrics(run.metrics).contradicted_by(prediction, labels):
        raise RunError(
            f"{run.path / 'predictions.csv'} has another {wrong} than metrics.json says: one of "
            "the two was changed. Train the head again with --overwrite."
        )
    return Sample.of(bounded(prediction, read_reference(run.path).intervals), labels)
