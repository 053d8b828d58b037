"""Linear heads against networks: who is a pair, and what both took."""

from __future__ import annotations

import pytest

from heads.experiments.contests import Contestant, Cost, lesson, pairs
from heads.metrics.comparison import Sample
from heads.models.neural.settings import BLOG, ClosedFormSettings
from heads.models.registry import HEADS, Settings
from tests.heads.made import noisy_prediction, random_labels

TRUTH = random_labels(60, levels=5)
GOOD = Sample.of(noisy_prediction(TRUTH, 0.15), TRUTH)
ROUGH = Sample.of(noisy_prediction(TRUTH, 0.6), TRUTH)


def contestant(head: str, sample: Sample, settings: Settings | None = None) -> Contestant:
    """Return a head with its default settings, or others."""
    learned = lesson(head, settings or HEADS[head].default_settings)
    return Contestant(f"my {head}", head, learned, sample, Cost(1.0, 5))


def test_networks_say_which_linear_head_learns_the_same() -> None:
    rivals = {name: entry.about.linear_rival for name, entry in HEADS.items()}
    known = {name: rival for name, rival in rivals.items() if rival}
    assert known == {"emd": "ridge-dist", "sigmoid": "ridge", "binary": "logistic"}
    assert all(HEADS[name].neural and not HEADS[rival].neural for name, rival in known.items())
    for name, rival in known.items():
        assert HEADS[name].about.ranking_only == HEADS[rival].about.ranking_only
        assert HEADS[name].about.needs_votes == HEADS[rival].about.needs_votes


def test_a_pair_is_network_minus_linear_head_in_what_both_are_made_for() -> None:
    there = [contestant("ridge-dist", ROUGH), contestant("emd", GOOD), contestant("ridge", ROUGH)]
    (pair,) = pairs(there)
    assert (pair.network.name, pair.linear.name) == ("my emd", "my ridge-dist")
    told = pair.to_dict()
    assert list(told["difference"]) == ["srcc", "emd_r2"]
    assert told["better"] == {"srcc": "my emd", "emd_r2": "my emd"}
    values = GOOD.bootstrap.values["srcc"], ROUGH.bootstrap.values["srcc"]
    assert told["difference"]["srcc"][0] == pytest.approx(values[0] - values[1])
    assert told["seconds"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("network", "linear"),
    [
        (None, HEADS["logistic"].with_labels("hard")),
        (HEADS["binary"].with_labels("hard"), None),
        (BLOG, HEADS["logistic"].with_labels("hard")),
        (None, ClosedFormSettings()),
    ],
)
def test_heads_that_learned_from_other_labels_or_features_are_no_pair(
    network: Settings | None, linear: Settings | None
) -> None:
    both = [contestant("binary", GOOD, network), contestant("logistic", ROUGH, linear)]
    assert pairs(both) == []
    assert len(pairs([contestant("binary", GOOD), contestant("logistic", ROUGH)])) == 1


def test_a_cost_is_the_mean_of_all_fits_or_not_measured() -> None:
    assert Cost.mean([Cost(1.0, 5), Cost(2.0, 7)]) == Cost(1.5, 5)
    assert Cost.mean([Cost(1.0, 5), Cost(None, 7)]).time == "not measured"
    assert Cost.mean([]) == Cost(None, None)
    assert (Cost(61.26).time, Cost(0, 3_961_999).size, Cost().size) == (
        "61.3 s",
        "3,962 kB",
        "not measured",
    )
    assert Cost.from_dict(Cost(1.5, 5).to_dict()) == Cost(1.5, 5)
    assert Cost.from_dict(Cost().to_dict()) == Cost()
