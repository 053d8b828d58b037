"""The folder of a head's cross-validation: configuration, metrics and what every fold predicted.

Files: `config.json`, `metrics.json`, `predictions.csv` and, of further seeds,
`predictions-seed-N.csv`. Owns writing it whole or not at all, and finding that the very same was
done before. Imports neither keras nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.console import note
from heads.data.predictions import Prediction
from heads.data.splits import SplitData, check_unchanged, joint_note
from heads.errors import RunError
from heads.experiments.contests import Cost
from heads.experiments.duplicates import Found
from heads.experiments.folds import Folding, bounded_ways, predict_ways
from heads.experiments.train import streamed_bytes
from heads.metrics.comparison import (
    Measures,
    Sample,
    deviations,
    mean_sample,
    measure,
    measures_to_dict,
)
from heads.metrics.conformal import Intervals
from heads.models.registry import Settings, find_head
from heads.runs import files, folder
from heads.runs.checksums import check_files
from heads.runs.config import FoldsConfig, SplitFacts, library_versions, metadata_sha256
from heads.runs.predictions import SplitPrediction, read_predictions, write_predictions


def folds_config(
    head: Any, settings: Settings, folding: Folding, data: Mapping[str, SplitData]
) -> FoldsConfig:
    """Note what a head is to be trained on and how."""
    pool, first = folding.pool, folding.ways[0][0]
    cache = data["train"].cache
    start, stop, _ = pool.columns.indices(cache.spec.layers[-1][2])
    return FoldsConfig(
        head=find_head(head).name,
        settings=settings,
        folds=folding.k,
        ways=len(folding.ways),
        seeds=folding.seeds_of(head),
        seed=folding.seed,
        limit=folding.limit,
        n_train=len(first.train),
        views=pool.n_views,
        columns=(start, stop),
        extractor=cache.spec,
        splits={split: SplitFacts.of(data[split]) for split in pool.splits},
        features_dir=str(cache.path.parent.resolve()),
        label_note=joint_note(part.cache for part in data.values()),
        library_versions=library_versions(),
        streamed_bytes=streamed_bytes(settings, pool.rows.take(first.train)),
        metadata=metadata_sha256(head, data),
    )


@dataclass(frozen=True, eq=False)
class FoldedRun:
    """A head's finished cross-validation.

    `samples` are its predictions, measured: for each seed each way of folding, seed by seed;
    `sample` is their mean, beside the floor's in `measures`. `cost` is the mean of a fit.
    """

    path: Path
    config: FoldsConfig
    cost: Cost
    samples: tuple[Sample, ...]
    sample: Sample
    measures: Measures

    @classmethod
    def of(
        cls,
        path: Path,
        config: FoldsConfig,
        predictions: Sequence[Prediction],
        cost: Cost,
        intervals: Sequence[Intervals | None],
        folding: Folding,
        floor: Sample,
    ) -> FoldedRun:
        """Measure predictions of the whole pool, with the intervals of each fold in turn."""
        known = bounded_ways(predictions, folding, intervals)
        samples = tuple(Sample.of(prediction, folding.pool.labels) for prediction in known)
        sample = mean_sample(samples)
        return cls(path, config, cost, samples, sample, measure(sample, floor))

    @property
    def deviations(self) -> dict[str, float]:
        """Each metric's standard deviation over seeds and ways."""
        return deviations(self.samples)


def folded(
    head: Any,
    config: FoldsConfig,
    folding: Folding,
    data: Mapping[str, SplitData],
    out: Path,
    floor: Sample,
    found: Found,
    *,
    overwrite: bool,
    keep_others: bool = False,
) -> FoldedRun:
    """Train a head on every fold of every way and write it below `out`; reuse an equal one.

    `found` are the duplicates in the pool; `overwrite` and `keep_others` are those of
    `heads.runs.folder.place`.

    Raises:
        HeadError: the labels or settings do not suit the head.
        RunError, CacheLockedError, StorageError: the folder cannot be written, or not be read.
        FormatError: somebody wrote into a cache meanwhile.
    """
    path, there = folder.place(
        out, config.head, config.identity, overwrite=overwrite, keep_others=keep_others
    )
    if there:
        check_files(path)
        note(f"{path}: this very run is already there; it is reused (--overwrite trains anew).")
        return FoldedRun.of(path, config, *_read(path, config, folding), folding, floor)
    with folder.publishing(path) as temporary:
        predictions, cost, intervals = predict_ways(head, config.settings, folding)
        done = FoldedRun.of(path, config, predictions, cost, intervals, folding, floor)
        per_seed = len(folding.ways)
        for number in range(config.seeds):
            part = predictions[number * per_seed : (number + 1) * per_seed]
            write_folds(temporary / config.predictions_file(number), folding, part)
        metrics = _metrics(config, done)
        metrics["fold_intervals"] = [each and each.to_dict() for each in intervals]
        metrics["duplicates"] = found.to_dict(predictions, folding.pool.labels)
        files.write_json(temporary / "metrics.json", metrics)
        files.write_json(temporary / "config.json", config.to_dict())
        check_unchanged(data)
    return done


def _metrics(config: FoldsConfig, done: FoldedRun) -> dict[str, Any]:
    prediction = done.sample.prediction
    return {
        "head": config.head,
        **measures_to_dict(done.sample, done.measures),
        "deviation": done.deviations,
        "n_train": config.n_train,
        **done.cost.to_dict(),
        "ranking_only": prediction.ranking_only,
        "label_by_p": prediction.label_by_p,
    }


def write_folds(path: Path, folding: Folding, predictions: Sequence[Prediction]) -> None:
    """Write the predictions of one seed, one of the whole pool for each way.

    `split` is test, `fold` counts from 1, or is WAY.FOLD where there are several ways.
    """
    parts = []
    for way, (folds, prediction) in enumerate(zip(folding.ways, predictions, strict=True), 1):
        for number, part in enumerate(folds, 1):
            name = str(number) if len(folding.ways) == 1 else f"{way}.{number}"
            labels = folding.pool.labels.take(part.test)
            parts.append(SplitPrediction("test", name, labels, prediction.take(part.test)))
    write_predictions(path, parts)


def _read(
    path: Path, config: FoldsConfig, folding: Folding
) -> tuple[list[Prediction], Cost, list[Intervals | None]]:
    """Return what `predict_ways` gave, from the files; earlier versions kept no cost, intervals."""
    metrics = files.read_metrics(path, ("ranking_only", "label_by_p"))
    n, labels = len(folding.pool.labels), folding.pool.labels
    predictions = []
    for number in range(config.seeds):
        stored = read_predictions(path, config.predictions_file(number))
        joined = stored.prediction(
            "test", ranking_only=metrics["ranking_only"], label_by_p=metrics["label_by_p"]
        )
        orders = [np.concatenate([part.test for part in folds]) for folds in folding.ways]
        if stored.image_id.tolist() != labels.image_id[np.concatenate(orders)].tolist():
            raise RunError(
                f"{path / config.predictions_file(number)} does not hold the photographs that are "
                "folded. Train the head again with --overwrite."
            )
        predictions += [
            joined.take(way * n + np.argsort(order)) for way, order in enumerate(orders)
        ]
    intervals = [each and Intervals.from_dict(each) for each in metrics.get("fold_intervals", [])]
    return predictions, Cost.from_dict(metrics), intervals
