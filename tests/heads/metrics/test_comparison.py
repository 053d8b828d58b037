"""Heads beside their floor and each other: numbers, intervals and what they tell."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.types import Scale
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.experiments.compare import Comparison, Entry, Title
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
from heads.report import leaderboard
from heads.report.leaderboard import csv_columns, ranked, table, write_csv
from tests.heads.made import labels_of_means, labels_of_votes

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


def entry(head: str, sample: Sample) -> Entry:
    """Return a row of the comparison."""
    return Entry(head, f"runs/{head}", sample, measure(sample, FLOOR), 600)


ENTRIES = [entry("emd", GOOD), entry("constant", FLOOR), entry("logistic", RANKER)]
TITLE = Title("features", "test", "3", "", N, "600", groups=False)


def render(title: Title, entries: list[Entry]) -> str:
    """Return the text of a comparison."""
    return leaderboard.render(Comparison(title, Path("runs"), tuple(entries)))


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


def test_the_ceiling_and_the_order_within_challenges_are_told() -> None:
    known = replace(TRUTH, challenge=np.repeat(np.arange(1, 5), N // 4).astype(np.int32))
    rows = [entry("emd", Sample.of(guess(0.3, shares=True), known)), *ENTRIES[1:]]
    text = render(TITLE, rows)
    assert "Ceiling: even the true means would correlate with these votes by srcc 0.9" in text
    assert "Within challenges, srcc: emd 0.9" in text
    assert "Mean and standard deviation" not in text


def test_the_ceiling_tells_which_photographs_it_leaves_out_and_may_be_unknown() -> None:
    one_vote = np.eye(5, dtype=np.int32)[np.arange(N) % 5]
    some = replace(TRUTH, votes=np.where(np.arange(N)[:, None] < 7, one_vote, TRUTH.votes))
    text = render(TITLE, [entry("emd", Sample.of(guess(0.3, shares=True), some))])
    assert "each other; without 7 photographs that have one vote)" in " ".join(text.split())
    none = replace(TRUTH, votes=one_vote)
    text = render(TITLE, [entry("emd", Sample.of(guess(0.3, shares=True), none))])
    assert "Ceiling" not in text


def test_several_runs_of_a_head_show_their_deviation(tmp_path: Path) -> None:
    samples = [GOOD, Sample.of(guess(0.9, shares=True), TRUTH)]
    mean, spread = mean_sample(samples), deviations(samples)
    both = Entry("emd", "runs/emd", mean, measure(mean, FLOOR), 600, spread, 2)
    assert "emd, 2 runs: srcc" in render(TITLE, [both, *ENTRIES[1:]])
    write_csv(tmp_path / "leaderboard.csv", [both, *ENTRIES[1:]])
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = {row["head"]: row for row in csv.DictReader(file)}
    assert float(rows["emd"]["srcc_sd"]) == spread["srcc"]
    assert (rows["emd"]["repeats"], rows["logistic"]["srcc_sd"]) == ("2", "")


# --- the printed comparison -----------------------------------------------------------------------


def test_the_floor_comes_first_then_the_highest_srcc() -> None:
    assert [e.head for e in ranked(ENTRIES)] == ["constant", "emd", "logistic"]


def test_the_table_is_aligned_and_fits_120_columns() -> None:
    lines = table(ranked(ENTRIES)).splitlines()
    assert max(map(len, lines)) <= 120
    header, _, first, second, third = lines
    assert first.startswith("constant = floor")
    for name in ("plcc", "bal_acc", "spread"):
        end = header.index(name) + len(name)
        assert second[end - 5 : end].strip().replace(".", "").isdigit()
    end = header.index("mse") + 3
    assert third[end - 5 : end].strip() == ""
    assert third[header.index("emd_r2") : header.index("emd_r2") + 6].strip() == ""


def test_a_wide_scale_still_fits_120_columns() -> None:
    means = labels_of_means(TRUTH.mean * 1000, "3000", Scale(0, 5000))
    flat = Prediction(np.full(N, 3000.0), np.full(N, 0.5), label_by_p=True)
    sample = Sample.of(flat, means)
    wide = [Entry("constant", "runs/constant", sample, measure(sample, sample), 9)]
    assert max(map(len, table(wide).splitlines())) <= 120


def test_the_text_names_data_threshold_floor_and_verdicts() -> None:
    text = render(TITLE, ENTRIES)
    assert f"features: {N} photographs of test, trained on 600" in text
    assert "beautiful means a mean above 3." in text
    assert "  emd: beats its floor in srcc, plcc, mse, mae, emd_r2" in text
    assert "  constant:" not in text
    assert "Note:" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_text_says_what_does_not_beat_the_floor() -> None:
    reversed_scores = Prediction(6 - TRUTH.mean, 1 - guess(0.1).p_beautiful)
    text = render(TITLE, [entry("ridge", Sample.of(reversed_scores, TRUTH)), ENTRIES[1]])
    (line,) = (line for line in text.splitlines() if line.startswith("  ridge:"))
    assert f"{Verdict.DOES_NOT.words} in srcc, plcc, mse" in line


def test_logistic_is_set_against_each_neural_head() -> None:
    text = render(TITLE, ENTRIES)
    rest = text[text.index("Neural heads against logistic (head minus logistic, paired)") :]
    assert "emd: srcc +0." in rest
    assert "emd is better" in rest
    assert "against logistic" not in render(TITLE, ENTRIES[:2])


def test_a_remark_on_the_labels_stands_on_top() -> None:
    title = Title("features", "test", "3", "votes are simulated", N, "600", groups=True)
    text = render(title, ENTRIES)
    assert text.startswith("Note: votes are simulated.")
    assert "whole groups" in text


def test_the_leaderboard_file_has_every_metric_with_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    write_csv(path, ENTRIES)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == csv_columns()
    assert csv_columns()[:4] == ["head", "srcc", "srcc_lo", "srcc_hi"]
    assert [row["head"] for row in rows] == ["constant", "emd", "logistic"]
    assert [rows[0][f"srcc{end}"] for end in ("", "_lo", "_hi")] == ["0.0", "0.0", "0.0"]
    assert float(rows[1]["srcc"]) == GOOD.bootstrap.values["srcc"]
    assert float(rows[1]["srcc_lo"]) < float(rows[1]["srcc"]) < float(rows[1]["srcc_hi"])
    assert rows[2]["mse"] == rows[2]["mse_lo"] == ""
    assert json.loads(rows[1]["confusion"]) == GOOD.bootstrap.values["confusion"]
    assert not any(math.isnan(float(v)) for v in rows[1].values() if v.replace(".", "").isdigit())
    assert [p.name for p in tmp_path.iterdir()] == ["leaderboard.csv"]
