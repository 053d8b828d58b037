"""One contract for every registered head, on caches with a planted signal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from heads.data.predictions import Prediction, predicted_label
from heads.data.splits import SplitData, load_splits
from heads.errors import HeadError
from heads.metrics.bootstrap import Verdict
from heads.metrics.comparison import Sample, measure
from heads.models.base import Head, LookingHead
from heads.models.linear import LinearModel
from heads.models.registry import (
    FLOOR,
    HEADS,
    load_neural_head,
    make_head,
)
from tests.heads.made import in_groups
from tests.heads.planted import keras_saves, with_metadata

CONSTANTS = [name for name, entry in HEADS.items() if entry.about.constant]
LEARNING = [name for name in HEADS if name not in CONSTANTS]
LOOKING = [name for name, entry in HEADS.items() if entry.about.looks_at_photographs]
OF_VOTES = [name for name, entry in HEADS.items() if entry.about.needs_votes]
OF_MEANS = [name for name in HEADS if name not in OF_VOTES]
Fitted = tuple[Head, Prediction]
_fitted: dict[tuple[str, str], Fitted] = {}


def fit(name: str, data: Mapping[str, SplitData], seed: int = 0) -> Head:
    """Train a head with its default settings."""
    head = make_head(name)
    train, val = data["train"], data["val"]
    given, given_val = head.about.given(train), head.about.given(val)
    # It learns from pairs within groups, and the planted photographs have none.
    labels = in_groups(train.labels, 20) if name == "pairs" else train.labels
    head.fit(given, labels, given_val, val.labels, seed=seed)
    return head


def fitted(name: str, kind: str, data: Mapping[str, SplitData]) -> Fitted:
    """Return a head trained on one of the planted sets, trained once for all tests."""
    if (name, kind) not in _fitted:
        head = fit(name, data)
        _fitted[name, kind] = head, head.predict(head.about.given(data["test"]))
    return _fitted[name, kind]


Sets = dict[str, dict[str, SplitData]]


@pytest.fixture(scope="module")
def sets(planted: Path, planted7: Path, planted_means: Path) -> dict[str, dict[str, SplitData]]:
    folders = {"ten": planted, "seven": planted7, "means": planted_means}
    return {kind: with_metadata(load_splits(folder)) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def floors(sets: Sets) -> dict[str, Sample]:
    """The constant head on the test photographs of each set, measured once for all tests."""
    predictions = {kind: fitted(FLOOR, kind, data)[1] for kind, data in sets.items()}
    return {kind: Sample.of(p, sets[kind]["test"].labels) for kind, p in predictions.items()}


EVERY = [(name, kind) for name in HEADS for kind in ("ten", "seven")]
EVERY += [(name, "means") for name in OF_MEANS]


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_predictions_have_the_shapes_and_ranges_of_the_contract(
    sets: Sets, name: str, kind: str
) -> None:
    labels = sets[kind]["test"].labels
    _, prediction = fitted(name, kind, sets[kind])
    assert prediction.score.shape == prediction.p_beautiful.shape == (200,)
    assert prediction.score.dtype == prediction.p_beautiful.dtype == np.float64
    assert prediction.score.min() >= labels.scale.lo
    assert prediction.score.max() <= labels.scale.hi
    assert prediction.p_beautiful.min() >= 0
    assert prediction.p_beautiful.max() <= 1
    if prediction.distribution is not None:
        assert prediction.distribution.shape == (200, labels.levels)
        assert prediction.distribution.min() >= 0
        np.testing.assert_allclose(prediction.distribution.sum(axis=1), 1)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_no_label_contradicts_its_probability(sets: Sets, name: str, kind: str) -> None:
    _, prediction = fitted(name, kind, sets[kind])
    called = predicted_label(prediction, sets[kind]["test"].labels.threshold)
    np.testing.assert_array_equal(called, prediction.p_beautiful > 0.5)


def reloaded(name: str, head: Head, folder: Path) -> Head:
    """Return a head as it comes back from files."""
    arrays, values = head.state()
    values = json.loads(json.dumps(values))
    np.savez(folder / "model.npz", **arrays)
    with np.load(folder / "model.npz", allow_pickle=False) as stored:
        if HEADS[name].neural:
            return load_neural_head(name, head.settings, dict(stored), values)
        return HEADS[name].load().from_state(dict(stored), values)


@keras_saves
@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_head_reloaded_from_its_files_predicts_the_same(
    sets: Sets, name: str, kind: str, tmp_path: Path
) -> None:
    head, before = fitted(name, kind, sets[kind])
    restored = reloaded(name, head, tmp_path)
    assert json.dumps(restored.state()[1]) == json.dumps(head.state()[1])
    after = restored.predict(head.about.given(sets[kind]["test"]))
    np.testing.assert_array_equal(after.score, before.score)
    np.testing.assert_array_equal(after.p_beautiful, before.p_beautiful)
    assert after.ranking_only == before.ranking_only
    assert after.label_by_p == before.label_by_p
    if before.distribution is not None:
        np.testing.assert_array_equal(after.distribution, before.distribution)


@pytest.mark.parametrize("kind", ["ten", "seven"])
@pytest.mark.parametrize("name", LOOKING)
def test_tensors_are_decoded_as_arrays_are(sets: Sets, name: str, kind: str) -> None:
    import keras
    from keras import ops

    head: LookingHead = fitted(name, kind, sets[kind])[0]  # type: ignore[assignment]
    model = head.model_
    width = len(model.bias) if isinstance(model, LinearModel) else model.output_shape[-1]
    outputs = np.random.default_rng(0).random((100, width))
    arrays = head.decode(outputs, np)
    inputs = keras.Input((width,))
    tensors = keras.Model(inputs, head.decode(inputs, ops))(outputs.astype(np.float32))
    assert set(tensors) == set(arrays) >= {"score", "p_beautiful"}
    for part, values in tensors.items():
        assert ops.convert_to_numpy(values).dtype == np.float32
        np.testing.assert_allclose(ops.convert_to_numpy(values), arrays[part], atol=2e-5)


@pytest.mark.parametrize("name", list(HEADS))
def test_the_same_seed_gives_the_same_predictions(sets: Sets, name: str) -> None:
    _, first = fitted(name, "ten", sets["ten"])
    head = fit(name, sets["ten"])
    again = head.predict(head.about.given(sets["ten"]["test"]))
    np.testing.assert_array_equal(again.score, first.score)


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kind in EVERY if name in LEARNING]
)
def test_a_learning_head_beats_its_floor_and_does_not_collapse(
    sets: Sets, floors: dict[str, Sample], name: str, kind: str
) -> None:
    labels = sets[kind]["test"].labels
    _, prediction = fitted(name, kind, sets[kind])
    measures = measure(Sample.of(prediction, labels), floors[kind])
    assert measures["srcc"].value > 0.8
    assert measures["spread"].value > 0.5
    judged = ["srcc", "auc", "acc", "balanced_acc"]
    judged += [] if prediction.ranking_only else ["mse", "mae"]
    judged += [] if prediction.distribution is None else ["emd_r1", "emd_r2", "dist_mse"]
    assert {metric: measures[metric].verdict for metric in judged} == dict.fromkeys(
        judged, Verdict.BEATS
    )


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_floors_are_constant(sets: Sets, name: str) -> None:
    _, prediction = fitted(name, "seven", sets["seven"])
    assert np.ptp(prediction.score) == np.ptp(prediction.p_beautiful) == 0


@pytest.mark.parametrize("name", OF_VOTES)
def test_heads_of_votes_refuse_mean_only_labels(sets: Sets, name: str) -> None:
    with pytest.raises(HeadError, match=r"means only.*vote counts"):
        fit(name, sets["means"])


@pytest.mark.parametrize("name", LOOKING)
def test_another_number_of_features_is_refused(sets: Sets, name: str) -> None:
    head, _ = fitted(name, "ten", sets["ten"])
    with pytest.raises(HeadError, match=r"32 .*31"):
        head.predict(sets["ten"]["test"].X[:][:, :, :31])


@pytest.mark.parametrize("name", list(HEADS))
def test_no_photographs_give_no_predictions(sets: Sets, name: str) -> None:
    head, _ = fitted(name, "ten", sets["ten"])
    assert len(head.predict(head.about.given(sets["ten"]["test"])[:0])) == 0
