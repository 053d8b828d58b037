"""Neural heads: averages of networks, views, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heads.data.splits import SplitData
from heads.errors import HeadError
from heads.models.neural.head import SEED_STEP
from heads.models.registry import HEADS, make_head
from tests.heads.models.neural.trained import QUICK, fitted, predicted


def test_an_ensemble_is_the_mean_of_networks_that_differ(data: dict[str, SplitData]) -> None:
    settings = replace(QUICK, hidden=(4,), dropout=0.0, epochs=2, ensemble=1)
    first, _ = fitted(data, settings)
    both, history = fitted(data, replace(settings, ensemble=2))
    second, _ = fitted(data, settings, seed=SEED_STEP)
    means = (predicted(first, data).distribution + predicted(second, data).distribution) / 2
    np.testing.assert_allclose(predicted(both, data).distribution, means, rtol=1e-4)
    assert len(history) == 2
    assert not np.array_equal(predicted(first, data).score, predicted(second, data).score)


def test_layers_of_other_widths_than_the_features_are_refused(data: dict[str, SplitData]) -> None:
    with pytest.raises(HeadError, match=r"widths 5, 6 sum to 11.*32 features\. Leave"):
        fitted(data, replace(QUICK, layer_widths=(5, 6)))


def test_random_views_and_their_mean_both_learn(data7: dict[str, SplitData]) -> None:
    scores = []
    for views in ("random", "mean"):
        head, _ = fitted(data7, replace(QUICK, views=views, epochs=15))
        scores.append(predicted(head, data7).score)
        assert np.corrcoef(scores[-1], data7["test"].labels.mean)[0, 1] > 0.8
    assert not np.array_equal(*scores)


@pytest.mark.parametrize("name", ["emd", "binary"])
def test_the_blogs_settings_train_and_have_no_standardisation_inside(
    data: dict[str, SplitData], name: str
) -> None:
    head, _ = fitted(data, replace(HEADS[name].blog_settings, epochs=3), name)
    assert [layer.__class__.__name__ for layer in head.model_.layers] == ["InputLayer", "Dense"]


def test_too_few_photographs_are_refused(data: dict[str, SplitData]) -> None:
    train, val = data["train"], data["val"]
    one, none = train.labels.take(slice(1)), val.labels.take(slice(0))
    with pytest.raises(HeadError, match=r"emd needs at least 2 training photographs; got 1\."):
        make_head("emd", QUICK).fit(train.X[:1], one, val.X, val.labels, seed=0)
    with pytest.raises(HeadError, match=r"emd chooses .* validation.*none\. Make a val split"):
        make_head("emd", QUICK).fit(train.X, train.labels, val.X[:0], none, seed=0)
