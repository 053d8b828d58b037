"""Heads beside their floor and each other: numbers, intervals and what they tell."""

from __future__ import annotations

import json

import numpy as np
import pytest

from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.metrics.bootstrap import Verdict
from heads.metrics.catalogue import METRICS
from heads.metrics.comparison import (
    Sample,
    StoredMetrics,
    contest,
    deviations,
    mean_sample,
    measure,
    measures_to_dict,
    values_to_dict,
    verdicts,
)
from tests.heads.made import labels_of_votes

N = 120


def labels() -> Labels:
    """Return votes 1..5 of N photographs."""
    rng = np.random.default_rng(0)
    chance = rng.dirichlet(np.ones(5), N)
    return labels_of_votes(rng.multinomial(50, chance), "3")


TRUTH = labels()


def guess(noise: float, *, ranking_only: bool = False, shares: bool = False) -> Prediction:
    """Return the true means with noise."""
    score = TRUTH.mean + noise * np.random.default_rng(1).standard_normal(N)
    score = np.clip(score, 1, 5)
    p = 1 / (1 + np.exp(3 - score))
    return Prediction(score, p, TRUTH.distribution if shares else None, ranking_only)


def floor() -> Prediction:
    """Return the constant prediction."""
    mean = np.tile(TRUTH.distribution.mean(axis=0), (N, 1))
    return Prediction(np.full(N, TRUTH.mean.mean()), np.full(N, 0.5), mean, label_by_p=True)


FLOOR = Sample.of(floor(), TRUTH)
GOOD = Sample.of(guess(0.3, shares=True), TRUTH)
RANKER = Sample.of(guess(0.5, ranking_only=True), TRUTH)


def test_a_good_head_beats_its_floor_and_the_floor_does_not_beat_itself() -> None:
    good, itself = measure(GOOD, FLOOR), measure(FLOOR, FLOOR)
    for name in ("srcc", "mse", "emd_r2", "acc", "auc"):
        assert good[name].verdict == Verdict.BEATS
        assert itself[name].verdict != Verdict.BEATS
    assert itself["mse"].difference == (0.0, 0.0, 0.0)
    assert good["mse"].difference is not None
    assert good["mse"].difference[0] == pytest.approx(good["mse"].value - itself["mse"].value)


def test_every_metric_is_measured_in_the_designs_order() -> None:
    assert list(measure(GOOD, FLOOR)) == list(METRICS)


def test_what_does_not_apply_or_has_no_good_side_gets_no_verdict() -> None:
    measures = measure(RANKER, FLOOR)
    for name in ("mse", "mae", "emd_r2"):
        assert (measures[name].value, measures[name].verdict) == (None, None)
    assert measures["spread"].verdict is measures["confusion"].verdict is None
    told = verdicts(measures)
    assert "srcc" in told[Verdict.BEATS]
    assert not {"mse", "spread"} & {name for names in told.values() for name in names}


def stored_again(sample: Sample) -> StoredMetrics:
    """Write a sample's metrics as JSON and read them back."""
    text = json.dumps(measures_to_dict(sample, measure(sample, FLOOR)), allow_nan=False)
    return StoredMetrics(json.loads(text))


def test_stored_metrics_give_back_what_was_measured() -> None:
    stored, measures = stored_again(GOOD), measure(GOOD, FLOOR)
    for name, measured in measures.items():
        assert name in stored
        assert stored.value(name) == measured.value
        assert stored.interval(name) == (measured.lo, measured.hi)
        assert stored.verdict(name) is measured.verdict
    assert stored.floor("mse") == measures["mse"].floor
    assert stored.floor("srcc") == 0


def test_what_does_not_apply_is_stored_apart_from_what_was_not_measured() -> None:
    stored = stored_again(RANKER)
    assert "mse" in stored
    assert stored.value("mse") is None
    assert not stored.has_interval("mse")
    assert stored_again(FLOOR).has_interval("srcc")


def test_a_metric_that_a_run_lacks_is_none_in_all_that_is_asked() -> None:
    for values in ({}, {"intervals": {}, "floor": {}, "verdict": {}}):
        stored = StoredMetrics(values)
        assert "srcc" not in stored
        assert stored.interval("srcc") == (None, None)
        assert [stored.value("srcc"), stored.floor("srcc"), stored.verdict("srcc")] == [None] * 3
        assert not stored.has_interval("srcc")


def test_json_has_null_for_a_constants_correlations() -> None:
    values = measures_to_dict(FLOOR, measure(FLOOR, FLOOR))
    text = json.dumps(values, allow_nan=False)
    assert json.loads(text)["srcc"] is None
    assert values["spread"] == 0
    assert values["intervals"]["confusion"] is None
    assert values_to_dict(FLOOR.prediction, TRUTH)["plcc"] is None


def test_a_contest_names_the_better_head_or_says_that_it_cannot_tell() -> None:
    worse = Sample.of(guess(3.0), TRUTH)
    by_metric = {c.metric: c for c in contest(("emd", GOOD), ("bad", worse), ("srcc", "mse"))}
    assert by_metric["srcc"].winner == by_metric["mse"].winner == "emd"
    assert by_metric["srcc"].difference > 0 > by_metric["mse"].difference
    (reverse,) = contest(("bad", worse), ("emd", GOOD), ("srcc",))
    assert (reverse.winner, reverse.difference) == ("emd", -by_metric["srcc"].difference)
    (same,) = contest(("a", GOOD), ("b", GOOD), ("srcc",))
    assert same.winner is None


def test_a_contest_leaves_out_what_one_head_lacks() -> None:
    assert [c.metric for c in contest(("a", GOOD), ("b", RANKER), ("mse", "auc"))] == ["auc"]


def test_the_mean_of_samples_is_that_of_values_and_draws() -> None:
    samples = [GOOD, Sample.of(guess(0.9, shares=True), TRUTH)]
    mean = mean_sample(samples)
    values = [sample.bootstrap.values["srcc"] for sample in samples]
    assert mean.bootstrap.values["srcc"] == pytest.approx(np.mean(values))
    drawn = [sample.bootstrap.drawn["srcc"] for sample in samples]
    np.testing.assert_allclose(mean.bootstrap.drawn["srcc"], np.mean(drawn, axis=0))
    matrices = np.array([s.bootstrap.values["confusion"] for s in samples])
    matrix = np.array(mean.bootstrap.values["confusion"])
    np.testing.assert_array_equal(matrix.sum(axis=1), matrices[0].sum(axis=1))
    np.testing.assert_allclose(matrix, matrices.mean(axis=0), atol=0.5)
    assert deviations(samples)["srcc"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert mean_sample([GOOD]) is GOOD
    assert deviations([GOOD]) == {}
