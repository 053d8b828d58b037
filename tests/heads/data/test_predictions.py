"""Predictions: checked when made; what label a head gives."""

from dataclasses import replace

import numpy as np
import pytest

from cache.types import Scale
from heads.data.predictions import Prediction, predicted_label, ranking_score
from heads.errors import HeadError
from tests.heads.made import labels_of_means, noisy_prediction, random_labels


def test_predictions_of_unequal_lengths_are_refused():
    with pytest.raises(HeadError, match=r"columns of a prediction need one length; got 2, 3"):
        Prediction(np.ones(2), np.ones(3))


def test_a_prediction_of_nan_is_refused():
    with pytest.raises(HeadError, match=r"NaN or infinity.*cache verify.*lower --lr"):
        Prediction(np.array([1.0, np.nan]), np.ones(2))


def test_taking_rows_of_a_prediction_keeps_its_kind():
    labels = random_labels(5)
    whole = noisy_prediction(labels)
    part = whole.take(slice(1, 3))
    np.testing.assert_array_equal(part.distribution, whole.distribution[1:3])
    ranking = Prediction(np.ones(3), np.ones(3), ranking_only=True, label_by_p=True)
    assert len(ranking.take(slice(0, 2))) == 2
    assert ranking.take(slice(0, 2)).ranking_only
    assert ranking.take(slice(0, 2)).label_by_p


def test_a_score_on_the_scale_is_beautiful_above_the_threshold():
    labels = labels_of_means([5.0, 5.0, 5.0], threshold="4.5")
    prediction = Prediction(np.array([4.5, 4.6, 4.4]), np.array([0.9, 0.1, 0.9]))
    assert predicted_label(prediction, labels.threshold).tolist() == [False, True, False]


@pytest.mark.parametrize("kind", ["ranking_only", "label_by_p"])
def test_a_label_by_probability_is_beautiful_above_one_half(kind):
    labels = labels_of_means([5.0, 5.0, 5.0])
    prediction = Prediction(np.full(3, 9.0), np.array([0.5, 0.51, 0.2]), **{kind: True})
    assert predicted_label(prediction, labels.threshold).tolist() == [False, True, False]


def test_predictions_put_together_are_the_whole():
    whole = noisy_prediction(random_labels(5))
    known = replace(whole, margin=np.arange(5.0), apart=np.full(5, np.inf))
    joined = Prediction.concat([known.take(slice(0, 2)), known.take(slice(2, 5))])
    assert (joined.margin.tolist(), joined.apart.tolist()) == ([0, 1, 2, 3, 4], [np.inf] * 5)
    for prediction in (whole, Prediction(whole.score, whole.p_beautiful, None, True, True)):
        joined = Prediction.concat([prediction.take(slice(0, 2)), prediction.take(slice(2, 5))])
        np.testing.assert_array_equal(joined.score, prediction.score)
        np.testing.assert_array_equal(joined.p_beautiful, prediction.p_beautiful)
        assert (joined.distribution is None) == (prediction.distribution is None)
        assert joined.ranking_only == joined.label_by_p == prediction.ranking_only
    np.testing.assert_array_equal(
        Prediction.concat([whole.take(slice(0, 2)), whole.take(slice(2, 5))]).distribution,
        whole.distribution,
    )


def test_a_ranking_score_spans_the_scale():
    score = ranking_score(np.array([0.0, 0.5, 1.0]), Scale(2, 8))
    np.testing.assert_array_equal(score, [2, 5, 8])
