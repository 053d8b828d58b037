"""Every metric against an oracle from elsewhere, and what is blank, undefined or a constant's."""

import math
import statistics
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from cache.types import Scale
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.metrics.catalogue import (
    CHOOSING,
    METRICS,
    evaluate,
    for_json,
    for_table,
    ranked_by,
    srcc_within,
)
from tests.heads.made import (
    constant_prediction,
    in_groups,
    labels_of_means,
    labels_of_votes,
    noisy_prediction,
    random_labels,
    with_intervals,
)

NAMES = [
    *("srcc", "plcc", "krcc", "mse", "mae", "dist_mse", "emd_r1", "emd_r2"),
    *("std_srcc", "std_plcc", "acc", "balanced_acc", "precision", "recall", "f1", "auc"),
    *("brier", "log_loss", "ece", "confusion", "spread"),
    *CHOOSING,
    *("decided", "decided_acc", "coverage", "interval_width"),
]


INTERVALS = {"decided", "decided_acc", "coverage", "interval_width"}


@pytest.fixture(scope="module")
def case():
    labels = in_groups(random_labels(300), 3)
    return with_intervals(noisy_prediction(labels)), labels


@pytest.fixture(scope="module")
def tied_case():
    labels = random_labels(300)
    rounded = np.round(noisy_prediction(labels).score)
    return Prediction(rounded, np.round(rounded / 10, 1)), labels


def test_the_metrics_have_the_names_and_the_order_of_the_design(case):
    assert list(evaluate(*case)) == NAMES == list(METRICS)


@pytest.mark.parametrize("which", ["case", "tied_case"])
def test_correlations_agree_with_scipy(which, request):
    prediction, labels = request.getfixturevalue(which)
    values = evaluate(prediction, labels)
    pair = prediction.score, labels.mean
    assert values["srcc"] == pytest.approx(stats.spearmanr(*pair).statistic)
    assert values["plcc"] == pytest.approx(stats.pearsonr(*pair).statistic)
    assert values["krcc"] == pytest.approx(stats.kendalltau(*pair).statistic)


def test_errors_of_probabilities_agree_with_scikit_learn(case):
    prediction, labels = case
    values = evaluate(prediction, labels)
    pair = labels.beautiful, prediction.p_beautiful
    assert values["brier"] == pytest.approx(sk.brier_score_loss(*pair))
    assert values["log_loss"] == pytest.approx(sk.log_loss(*pair))


def test_the_calibration_error_is_the_mean_distance_of_bins_of_equal_size():
    labels = labels_of_votes([[0, 1]] * 30 + [[1, 0]] * 70, threshold="1.5")
    p = 0.1 * np.repeat(np.arange(10), 10)
    # Three bins that say 0, 0.1 and 0.2 are beautiful throughout; the others are not.
    expected = (1 + 0.9 + 0.8 + 0.3 + 0.4 + 0.5 + 0.6 + 0.7 + 0.8 + 0.9) / 10
    assert evaluate(Prediction(1 + p, p), labels)["ece"] == pytest.approx(expected)


def test_the_calibration_error_of_equal_probabilities_does_not_depend_on_their_order():
    labels = labels_of_votes([[0, 1]] * 30 + [[1, 0]] * 70, threshold="1.5")
    share = np.full(100, 0.3)
    assert evaluate(Prediction(1 + share, share), labels)["ece"] == pytest.approx(0, abs=1e-12)


def test_deviations_are_correlated_with_those_of_the_votes(case):
    prediction, labels = case
    # From the variances as fractions: deviations in floats would break ties.
    drawn = [np.repeat(np.arange(1, 11), row).tolist() for row in labels.votes]
    drawn = np.sqrt([float(statistics.pvariance(map(Fraction, row))) for row in drawn])
    levels = np.arange(1, 11)
    second = prediction.distribution @ levels**2
    predicted = np.sqrt(second - (prediction.distribution @ levels) ** 2)
    values = evaluate(prediction, labels)
    assert values["std_srcc"] == pytest.approx(stats.spearmanr(predicted, drawn).statistic)
    assert values["std_plcc"] == pytest.approx(stats.pearsonr(predicted, drawn).statistic)


def test_errors_agree_with_scikit_learn(case):
    prediction, labels = case
    values = evaluate(prediction, labels)
    assert values["mse"] == pytest.approx(sk.mean_squared_error(labels.mean, prediction.score))
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(labels.mean, prediction.score))
    assert values["dist_mse"] == pytest.approx(
        sk.mean_squared_error(labels.distribution, prediction.distribution)
    )


def test_emd_r1_is_wasserstein_divided_by_the_levels(case):
    prediction, labels = case
    levels = np.arange(1, 11)
    pairs = zip(prediction.distribution, labels.distribution, strict=True)
    truth = np.mean([stats.wasserstein_distance(levels, levels, p, t) / 10 for p, t in pairs])
    assert evaluate(prediction, labels)["emd_r1"] == pytest.approx(truth)


def test_emd_r2_takes_the_root_of_each_photograph_before_the_mean(case):
    prediction, labels = case
    roots = []
    for p, t in zip(prediction.distribution, labels.distribution, strict=True):
        gaps = [sum(p[: k + 1]) - sum(t[: k + 1]) for k in range(10)]
        roots.append(math.sqrt(sum(g * g for g in gaps) / 10))
    assert evaluate(prediction, labels)["emd_r2"] == pytest.approx(np.mean(roots))


def test_the_earth_movers_distance_of_opposite_ends_by_hand():
    # All votes on 1, all predicted on 4: the CDFs differ by 1 at 1, 2 and 3, and not at 4.
    labels = labels_of_votes([[7, 0, 0, 0]], threshold="2.5")
    prediction = Prediction(np.array([4.0]), np.array([0.9]), np.array([[0.0, 0, 0, 1]]))
    values = evaluate(prediction, labels)
    assert values["emd_r1"] == pytest.approx(3 / 4)
    assert values["emd_r2"] == pytest.approx(math.sqrt(3 / 4))
    assert values["dist_mse"] == pytest.approx(2 / 4)


@pytest.mark.parametrize("which", ["case", "tied_case"])
def test_label_metrics_agree_with_scikit_learn(which, request):
    prediction, labels = request.getfixturevalue(which)
    values = evaluate(prediction, labels)
    true, called = labels.beautiful, prediction.score > 5.5
    assert values["acc"] == pytest.approx(sk.accuracy_score(true, called))
    assert values["balanced_acc"] == pytest.approx(sk.balanced_accuracy_score(true, called))
    assert values["precision"] == pytest.approx(sk.precision_score(true, called))
    assert values["recall"] == pytest.approx(sk.recall_score(true, called))
    assert values["f1"] == pytest.approx(sk.f1_score(true, called))
    assert values["confusion"] == sk.confusion_matrix(true, called).tolist()
    assert values["auc"] == pytest.approx(sk.roc_auc_score(true, prediction.p_beautiful))


def test_labels_of_0_and_1_have_the_metrics_of_labels_alone():
    picked = np.random.default_rng(0).integers(0, 2, 80).astype(float)
    labels = labels_of_means(picked, scale=Scale(0, 1), threshold="0.5")
    p = np.clip(picked * 0.3 + np.linspace(0, 0.7, 80), 0, 1)
    values = evaluate(Prediction(p, p), labels)
    known = {name for name, value in values.items() if value is not None}
    of_means = {"srcc", "plcc", "krcc", "mse", "mae", "spread"}
    assert known >= {"acc", "balanced_acc", "precision", "recall", "f1", "auc", "confusion"}
    assert not known & of_means
    assert values["auc"] == pytest.approx(sk.roc_auc_score(picked, p))
    assert ranked_by(labels) == "auc"
    assert ranked_by(random_labels(3)) == "srcc"


def test_the_area_follows_p_beautiful_and_not_the_score(case):
    prediction, labels = case
    turned = Prediction(prediction.score, 1 - prediction.p_beautiful, prediction.distribution)
    area = evaluate(prediction, labels)["auc"]
    assert evaluate(turned, labels)["auc"] == pytest.approx(1 - area)


def test_the_truth_itself_reaches_the_best_of_every_metric():
    labels = in_groups(random_labels(50))
    truth = Prediction(labels.mean, labels.beautiful.astype(float), labels.distribution)
    truth = replace(truth, margin=np.zeros(50), apart=np.zeros(50))
    values = evaluate(truth, labels)
    for name, metric in METRICS.items():
        if metric.higher_is_better is not None:
            best = 1.0 if metric.higher_is_better else 0.0
            assert values[name] == pytest.approx(best, abs=1e-12), name
    assert values["spread"] == pytest.approx(1)


def test_spread_is_the_ratio_of_the_deviations(case):
    prediction, labels = case
    ratio = prediction.score.std() / labels.mean.std()
    assert evaluate(prediction, labels)["spread"] == pytest.approx(ratio)


def test_a_constant_head_has_null_correlations_and_no_spread():
    labels = random_labels(40)
    values = evaluate(constant_prediction(labels), labels)
    for name in ("srcc", "plcc", "krcc", "std_srcc", "std_plcc"):
        assert math.isnan(values[name])
        assert for_json(values)[name] is None
        assert for_table(name, values[name]) == 0
    assert values["spread"] == 0
    assert values["auc"] == pytest.approx(0.5)


def test_a_constant_that_floats_cannot_hold_is_still_constant():
    labels = labels_of_means(np.linspace(1, 9, 31))
    prediction = Prediction(np.full(31, 5.1), np.full(31, 0.1))
    assert math.isnan(evaluate(prediction, labels)["plcc"])
    assert evaluate(prediction, labels)["spread"] == 0


def test_errors_on_the_scale_are_blank_for_a_head_that_only_ranks(case):
    prediction, labels = case
    ranking = Prediction(prediction.score, prediction.p_beautiful, ranking_only=True)
    values = evaluate(ranking, labels)
    blank = {name for name, value in values.items() if value is None} - INTERVALS
    assert blank == {"mse", "mae", "dist_mse", "emd_r1", "emd_r2", "std_srcc", "std_plcc"}


def test_distances_between_distributions_are_blank_for_labels_with_means_only(case):
    prediction, _ = case
    values = evaluate(prediction, labels_of_means(np.linspace(1, 10, 300)))
    blank = {name for name, value in values.items() if value is None}
    assert blank == {
        "dist_mse",
        "emd_r1",
        "emd_r2",
        "std_srcc",
        "std_plcc",
        *CHOOSING,
        "decided",
        "decided_acc",
    }


def test_with_one_class_the_area_and_balanced_accuracy_are_undefined():
    labels = labels_of_means([6.0, 7.0, 8.0])
    values = evaluate(Prediction(np.array([4.0, 3, 2]), np.array([0.1, 0.2, 0.3])), labels)
    assert math.isnan(values["auc"])
    assert math.isnan(values["balanced_acc"])
    assert for_table("auc", values["auc"]) is None
    assert [values[name] for name in ("precision", "recall", "f1", "acc")] == [0, 0, 0, 0]


def test_defined_values_stay_as_they_are_in_files_and_tables():
    assert for_json({"acc": 0.5, "mse": None, "confusion": [[1, 2], [3, 4]]}) == {
        "acc": 0.5,
        "mse": None,
        "confusion": [[1, 2], [3, 4]],
    }
    assert for_table("acc", 0.25) == 0.25
    assert for_table("mse", None) is None


def test_measuring_nothing_is_refused():
    with pytest.raises(HeadError, match="no photograph to measure predictions on; extract"):
        evaluate(Prediction(np.zeros(0), np.zeros(0)), labels_of_means([]))


# --- within challenges ----------------------------------------------------------------------------


def test_correlation_within_challenges_is_weighted_by_their_size():
    challenge = np.repeat([3, 8, 9, 0], [12, 30, 9, 40]).astype(np.int32)
    labels = random_labels(len(challenge), challenge=challenge)
    prediction = noisy_prediction(labels, noise=0.7)
    each = [
        stats.spearmanr(prediction.score[challenge == c], labels.mean[challenge == c]).statistic
        for c in (3, 8)
    ]
    assert srcc_within(prediction, labels) == pytest.approx((12 * each[0] + 30 * each[1]) / 42)


def test_knowing_only_the_challenge_gives_nothing_within_it():
    challenge = np.repeat([1, 2], 20).astype(np.int32)
    labels = random_labels(40, challenge=challenge)
    prediction = Prediction(challenge.astype(float), np.full(40, 0.5))
    assert math.isnan(srcc_within(prediction, labels))


@pytest.mark.parametrize("challenge", [None, np.zeros(40, np.int32), np.arange(40, dtype=np.int32)])
def test_without_a_challenge_of_ten_there_is_no_correlation_within(challenge):
    labels = random_labels(40, challenge=challenge)
    assert srcc_within(noisy_prediction(labels), labels) is None
