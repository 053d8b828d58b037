"""Bootstrap intervals: coverage, pairs, groups, and what is told of a difference."""

import csv
import math
import time

import numpy as np
import pytest
from scipy import stats

from heads.data.predictions import Prediction
from heads.metrics.bootstrap import (
    DRAWS,
    Verdict,
    bootstrap,
    clusters,
    draw_counts,
    verdict,
)
from heads.metrics.catalogue import METRICS, Metric, evaluate
from heads.metrics.comparison import Sample, measure, measures_to_dict
from heads.report.leaderboard import Entry, write_csv
from tests.heads.made import (
    constant_prediction,
    in_groups,
    labels_of_means,
    noisy_prediction,
    random_labels,
    with_intervals,
)


def intervals(prediction, labels, draws=DRAWS, seed=0):
    return bootstrap(prediction, labels, draws, seed).intervals()


def paired_intervals(a, b, labels, draws, seed=0):
    first, second = (bootstrap(prediction, labels, draws, seed) for prediction in (a, b))
    return first.minus(second)


def test_an_interval_lies_around_its_value():
    labels = in_groups(random_labels(300), 3)
    prediction = with_intervals(noisy_prediction(labels, 0.8))
    values, spans = evaluate(prediction, labels), intervals(prediction, labels, draws=300)
    assert list(spans) == list(METRICS)
    for name in METRICS:
        if name != "confusion":
            lo, hi = spans[name]
            assert lo < values[name] < hi, name
    assert spans["confusion"] is None


def test_the_interval_of_a_mean_agrees_with_its_standard_error():
    labels = random_labels(400)
    prediction = noisy_prediction(labels)
    error = np.abs(prediction.score - labels.mean)
    half = 1.96 * error.std() / math.sqrt(400)
    lo, hi = intervals(prediction, labels, draws=2000)["mae"]
    assert lo == pytest.approx(error.mean() - half, abs=0.1 * half)
    assert hi == pytest.approx(error.mean() + half, abs=0.1 * half)


def test_the_interval_of_a_rank_correlation_agrees_with_scipys_bootstrap():
    labels = random_labels(80)
    prediction = noisy_prediction(labels)
    theirs = stats.bootstrap(
        (prediction.score, labels.mean),
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = intervals(prediction, labels, draws=2000)["srcc"]
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_the_same_seed_gives_the_same_intervals():
    labels = random_labels(60)
    prediction = noisy_prediction(labels)
    first = intervals(prediction, labels, draws=50, seed=3)
    assert first == intervals(prediction, labels, draws=50, seed=3)
    assert first != intervals(prediction, labels, draws=50, seed=4)


def test_draws_do_not_depend_on_the_size_of_the_blocks(monkeypatch):
    cluster = np.arange(40)
    whole = np.concatenate([*draw_counts(cluster, 9, seed=1)], axis=1)
    monkeypatch.setattr("heads.metrics.bootstrap.CHUNK_VALUES", 100)
    blocks = [*draw_counts(cluster, 9, seed=1)]
    assert [block.shape[1] for block in blocks] == [2, 2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
    np.testing.assert_array_equal(whole.sum(axis=0), np.full(9, 40))


def test_photographs_of_one_group_are_drawn_together():
    group = np.array(["b", "", "a", "b", "a", "", "b"])
    cluster = clusters(group)
    assert cluster.tolist() == [1, 2, 0, 1, 0, 3, 1]
    (counts,) = draw_counts(cluster, 30, seed=0)
    np.testing.assert_array_equal(counts[0], counts[3])
    np.testing.assert_array_equal(counts[2], counts[4])
    one_of_each = counts[[0, 1, 2, 5]]
    np.testing.assert_array_equal(one_of_each.sum(axis=0), np.full(30, 4))


def test_groups_of_copies_widen_the_interval_as_they_must():
    # Ten copies of each photograph know no more than the photographs themselves.
    single = random_labels(60)
    copies = np.repeat(np.arange(60), 10)
    prediction = noisy_prediction(single)
    grouped = random_labels(60, group=[f"g{i}" for i in range(60)]).take(copies)
    apart = single.take(copies)
    alone = np.ptp(intervals(prediction, single, draws=400)["mse"])
    together = np.ptp(intervals(prediction.take(copies), grouped, draws=400)["mse"])
    pretended = np.ptp(intervals(prediction.take(copies), apart, draws=400)["mse"])
    assert together == pytest.approx(alone, rel=0.15)
    assert pretended < alone / 2


def test_with_one_group_there_is_no_interval():
    labels = random_labels(20, group=["all"] * 20)
    spans = intervals(noisy_prediction(labels), labels, draws=20)
    assert all(math.isnan(bound) for bound in spans["srcc"])
    assert spans["confusion"] is None


def test_a_prediction_does_not_differ_from_itself():
    labels = in_groups(random_labels(50))
    prediction = with_intervals(noisy_prediction(labels))
    gaps = paired_intervals(prediction, prediction, labels, draws=40)
    assert gaps.pop("confusion") is None
    assert set(gaps.values()) == {(0.0, 0.0, 0.0)}


def test_a_paired_difference_is_narrower_than_its_two_parts():
    labels = random_labels(200)
    good = noisy_prediction(labels, noise=0.5)
    slightly_worse = noisy_prediction(labels, noise=0.55)
    difference, lo, hi = paired_intervals(good, slightly_worse, labels, draws=300)["mse"]
    assert lo < difference < hi < 0
    assert hi - lo < np.ptp(intervals(good, labels, draws=300)["mse"])


def test_a_difference_is_taken_draw_by_draw():
    labels = random_labels(50)
    a, b = noisy_prediction(labels, 0.3), noisy_prediction(labels, 0.6, seed=2)
    mine, theirs = (bootstrap(p, labels, draws=60, seed=1) for p in (a, b))
    gap = mine.drawn["acc"] - theirs.drawn["acc"]
    expected = np.quantile(gap, [0.025, 0.975])
    np.testing.assert_allclose(mine.minus(theirs)["acc"][1:], expected)


def test_a_correlation_is_compared_with_a_constant_as_with_zero():
    labels = random_labels(150)
    head, floor = noisy_prediction(labels), constant_prediction(labels)
    gaps = paired_intervals(head, floor, labels, draws=100)
    for name in ("srcc", "plcc", "krcc", "std_srcc", "std_plcc"):
        value, lo, hi = gaps[name]
        assert value == pytest.approx(evaluate(head, labels)[name])
        assert 0 < lo < value < hi
    assert all(math.isnan(bound) for bound in intervals(floor, labels, draws=20)["srcc"])


def test_what_does_not_apply_to_one_of_two_heads_is_not_compared():
    labels = random_labels(40)
    full = noisy_prediction(labels)
    ranking = Prediction(full.score, full.p_beautiful, ranking_only=True)
    gaps = paired_intervals(full, ranking, labels, draws=20)
    assert gaps["mse"] is None
    assert gaps["emd_r2"] is None
    assert gaps["auc"] == (0, 0, 0)


def test_a_metric_that_many_draws_leave_undefined_has_no_interval():
    # One beautiful photograph of 30: a third of the draws miss it.
    labels = labels_of_means(np.r_[np.linspace(1, 4, 29), 9.0])
    prediction = Prediction(labels.mean, labels.mean / 10)
    spans = intervals(prediction, labels, draws=100)
    assert all(math.isnan(bound) for bound in spans["auc"])
    assert not math.isnan(spans["mae"][0])


@pytest.mark.parametrize("slow", ["krcc", "ece"])
def test_what_is_slow_to_draw_has_an_interval_only_for_few_photographs(slow):
    small, large = random_labels(1000), random_labels(1001)
    assert intervals(noisy_prediction(small), small, draws=5)[slow] is not None
    assert intervals(noisy_prediction(large), large, draws=5)[slow] is None
    assert evaluate(noisy_prediction(large), large)[slow] > 0


@pytest.mark.parametrize(
    ("metric", "lo", "hi", "said"),
    [
        ("srcc", 0.1, 0.2, Verdict.BEATS),
        ("srcc", -0.2, -0.1, Verdict.DOES_NOT),
        ("srcc", -0.1, 0.2, Verdict.CANNOT_TELL),
        ("acc", 0.0, 0.0, Verdict.DOES_NOT),
        ("acc", -0.1, 0.0, Verdict.CANNOT_TELL),
        ("mse", 0.0, 0.1, Verdict.CANNOT_TELL),
        ("acc", 0.0, 0.1, Verdict.CANNOT_TELL),
        ("mse", -0.2, -0.1, Verdict.BEATS),
        ("mse", 0.1, 0.2, Verdict.DOES_NOT),
        ("mse", -0.1, 0.2, Verdict.CANNOT_TELL),
        ("auc", math.nan, math.nan, Verdict.CANNOT_TELL),
        ("spread", 0.1, 0.2, Verdict.CANNOT_TELL),
    ],
)
def test_the_verdict_follows_the_good_side_of_zero(metric, lo, hi, said):
    assert verdict(metric, lo, hi) == said


def test_the_verdicts_are_said_in_these_words_and_kept_as_these_values():
    assert {kind.value: kind.words for kind in Verdict} == {
        "beats": "beats its floor",
        "cannot-tell": "cannot tell",
        "does-not": "does not",
    }


def test_a_verdict_is_read_from_its_value_and_from_the_words_of_earlier_files():
    for kind in Verdict:
        assert Verdict.read(kind.value) is Verdict.read(kind.words) is kind
    assert Verdict.read(None) is Verdict.read("of a later version") is None


@pytest.mark.slow
def test_a_thousand_draws_of_five_thousand_photographs_take_seconds():
    labels = random_labels(5_000)
    prediction = noisy_prediction(labels)
    begun = time.process_time()
    intervals(prediction, labels)
    assert time.process_time() - begun < 8


# --- a metric that is added -----------------------------------------------------------------------


def toy(prediction, labels):
    return float(np.median(np.abs(prediction.score - labels.mean)))


@pytest.fixture
def with_toy(monkeypatch):
    """The catalogue with one more metric, which has a formula and no weighted form."""
    metric = Metric("median absolute error", False, "the constant head's", 4, formula=toy)
    monkeypatch.setitem(METRICS, "toy", metric)


def test_an_added_metric_is_measured_drawn_and_judged(with_toy, tmp_path):
    labels = random_labels(60)
    head, floor = (
        Sample.of(prediction, labels)
        for prediction in (noisy_prediction(labels), constant_prediction(labels))
    )
    measures = measure(head, floor)
    toy_measured = measures["toy"]
    assert toy_measured.value == toy(head.prediction, labels)
    assert toy_measured.lo < toy_measured.value < toy_measured.hi
    assert toy_measured.verdict is Verdict.BEATS
    stored = measures_to_dict(head, measures)
    assert stored["toy"] == toy_measured.value
    assert stored["intervals"]["toy"] == [toy_measured.lo, toy_measured.hi]
    assert (stored["floor"]["toy"], stored["verdict"]["toy"]) == (toy_measured.floor, Verdict.BEATS)
    write_csv(tmp_path / "leaderboard.csv", [Entry("ridge", "runs/ridge", head, measures, 9)])
    with (tmp_path / "leaderboard.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert [float(row[f"toy{end}"]) for end in ("", "_lo", "_hi")] == [
        toy_measured.value,
        toy_measured.lo,
        toy_measured.hi,
    ]


def test_resampling_gives_what_the_weighted_form_gives(monkeypatch):
    labels = random_labels(50)
    prediction = noisy_prediction(labels)
    plain = Metric(
        "mean absolute error",
        False,
        "",
        formula=lambda p, truth: float(np.abs(p.score - truth.mean).mean()),
    )
    monkeypatch.setitem(METRICS, "plain", plain)
    drawn = bootstrap(prediction, labels, draws=30).drawn
    np.testing.assert_allclose(drawn["plain"], drawn["mae"], rtol=1e-12)


def test_a_metric_that_does_not_apply_to_a_head_is_not_drawn(monkeypatch):
    monkeypatch.setitem(METRICS, "none", Metric("nothing", True, "", formula=lambda p, truth: None))
    measured = bootstrap(noisy_prediction(random_labels(9)), random_labels(9), draws=5)
    assert measured.values["none"] is measured.drawn["none"] is None
