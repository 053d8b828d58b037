"""A run's files are read back as they were written, and damage is said with a remedy."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.types import sha256_text
from heads.data.splits import SplitData, load_splits
from heads.errors import RunError
from heads.models.neural.settings import NetworkSettings
from heads.runs.config import RunConfig
from heads.runs.files import (
    load_head,
    model_bytes,
    read_config,
    read_history,
    read_json,
    read_metrics,
    read_penalties,
    size_of_model,
    write_json,
)
from heads.runs.predictions import read_predictions
from tests.heads.planted import keras_saves
from tests.heads.runs.training import train
from tests.heads.unsealed import unsealed

pytestmark = keras_saves
QUICK = NetworkSettings(epochs=2, ensemble=1)


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


@pytest.mark.parametrize("head", ["constant", "ridge-dist", "logistic", "emd", "tanh"])
def test_a_loaded_head_predicts_what_the_run_has_written(
    data: dict[str, SplitData], tmp_path: Path, head: str
) -> None:
    settings = QUICK if head in ("emd", "tanh") else None
    run = train(data, tmp_path, head, settings=settings)
    prediction = load_head(run.path).predict(data["test"].X)
    stored = read_predictions(run.path)
    rows = stored.split == "test"
    np.testing.assert_array_equal(stored.score[rows], prediction.score)
    np.testing.assert_array_equal(stored.p_beautiful[rows], prediction.p_beautiful)
    if prediction.distribution is None:
        assert stored.distribution is None
    else:
        np.testing.assert_array_equal(stored.distribution[rows], prediction.distribution)


def test_a_config_repeats_the_run(data: dict[str, SplitData], tmp_path: Path) -> None:
    settings = replace(QUICK, hidden=(4,), lr=0.003)
    run = train(data, tmp_path, "emd", settings=settings, seed=7)
    config = read_config(run.path)
    assert (config.head, config.settings, config.seed) == ("emd", settings, 7)
    assert config.extractor == data["train"].cache.spec
    assert config.splits["val"].n == 150
    assert config.library_versions["keras"][0].isdigit()
    again = train(data, tmp_path / "again", config.head, settings=config.settings, seed=7)
    assert read_history(again.path) == read_history(run.path)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))).identity == config.identity


# --- the same run, another run --------------------------------------------------------------------


def test_no_run_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no finished run.*heads train HEAD"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"cannot be read.*--overwrite"),
        ("[]", "holds no JSON object"),
        ('{"format": "other", "version": 1}', r"has the format other version 1; this program"),
        ('{"format": "aesthetic-run", "version": 9}', r"version 9; this program reads"),
        (
            '{"format": "aesthetic-run", "version": 1, "settings": null}',
            r"is damaged: .* is missing",
        ),
    ],
)
def test_a_damaged_or_foreign_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=said):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ranking_only": None, "n": None}, "n, ranking_only cannot be read"),
        ({"intervals": 7}, "intervals cannot be 7"),
        ({"verdict": ["srcc"]}, r'verdict cannot be \["srcc"\]'),
    ],
)
def test_damaged_metrics_are_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = unsealed(train(data, tmp_path).path) / "metrics.json"
    values = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in values.items() if changes.get(name, 0) is not None}
    path.write_text(json.dumps(kept))
    words = f"metrics.json is damaged: {said}. Train the head again with --overwrite"
    with pytest.raises(RunError, match=words):
        train(data, tmp_path)


def test_a_model_whose_values_lack_one_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    for head in ("ridge", "emd"):
        run = train(data, tmp_path, head, settings=QUICK if head == "emd" else None).path
        unsealed(run)
        values = json.loads((run / "model.json").read_text())
        del values["note"]
        (run / "model.json").write_text(json.dumps(values))
        words = r"model\.npz cannot be loaded with model\.json: 'note' is missing\. Train"
        with pytest.raises(RunError, match=words):
            load_head(run)


def test_how_a_penalty_was_chosen_is_read_or_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path, "ridge").path
    choice = read_penalties(run, read_config(run))
    assert choice is not None
    assert len(choice.losses) == len(choice.penalties) == 22
    path = unsealed(run) / "model.json"
    values = json.loads(path.read_text())
    for changes, said in (
        ({"left_out_losses": [1.0]}, "22 penalties have 1 losses"),
        ({"penalties": "many"}, "penalties cannot be .many."),
    ):
        path.write_text(json.dumps(values | changes))
        with pytest.raises(RunError, match=rf"model\.json is damaged: .*{said}.*Train the head"):
            read_penalties(run, read_config(run))
    constant = train(data, tmp_path, "constant").path
    assert read_penalties(constant, read_config(constant)) is None


def test_the_size_of_a_model_is_that_of_its_file(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path, "ridge").path
    size = (run / "model.npz").stat().st_size
    assert size_of_model(run) == model_bytes(load_head(run)) == size
    (run / "model.npz").rename(run / "model.keras")
    assert size_of_model(run) == size
    (run / "model.keras").unlink()
    assert size_of_model(run) is None


def test_a_damaged_model_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = unsealed(train(data, tmp_path).path)
    (run / "model.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match=r"model\.npz cannot be loaded.*--overwrite"):
        load_head(run)


def test_a_network_of_an_earlier_version_predicts_the_same_to_the_last_digit(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = train(data, tmp_path, "emd", settings=QUICK).path
    head = load_head(run)
    expected = head.predict(data["test"].X)
    head.model_.save(unsealed(run) / "model.keras")
    (run / "model.npz").unlink()
    given = load_head(run).predict(data["test"].X)
    np.testing.assert_array_equal(given.score, expected.score)
    np.testing.assert_array_equal(given.p_beautiful, expected.p_beautiful)
    (run / "model.keras").write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded with.*--overwrite"):
        load_head(run)
    (run / "model.keras").unlink()
    with pytest.raises(RunError, match=r"model\.npz cannot be loaded with.*No such file"):
        load_head(run)


def test_a_model_that_carries_a_pickle_is_not_opened(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = unsealed(train(data, tmp_path).path)
    objects = np.array([{"code": 1}], dtype=object)
    np.savez(run / "model.npz", kernel=objects, bias=np.zeros(1))
    with pytest.raises(RunError, match=r"cannot be loaded.*allow_pickle"):
        load_head(run)
    assert zipfile.is_zipfile(run / "model.npz")


@pytest.mark.parametrize(("name", "read"), [("history", read_history), ("predictions", None)])
def test_a_damaged_table_is_refused_with_a_remedy(
    data: dict[str, SplitData], tmp_path: Path, name: str, read: Any
) -> None:
    run = unsealed(train(data, tmp_path).path)
    (run / f"{name}.csv").write_text("epoch,loss\n1\n")
    with pytest.raises(RunError, match=rf"{name}\.csv cannot be read.*--overwrite"):
        (read or read_predictions)(run)


def test_a_run_of_a_head_that_is_not_registered_is_named(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = unsealed(train(data, tmp_path).path)
    values = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(values | {"head": "forest"}))
    with pytest.raises(RunError, match=r"config\.json: There is no head forest.*Register it"):
        read_config(run)


def test_a_configuration_may_name_folders_of_any_bytes(tmp_path: Path) -> None:
    values = {"features_dir": os.fsdecode(b"caf\xe9/\xc3\xa9"), "note": "\ud800"}
    write_json(tmp_path / "config.json", values)
    assert "é" in (tmp_path / "config.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "config.json") == values
    assert len(sha256_text(values["features_dir"])) == 64


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": QUICK.to_dict()}, "its settings are not those of the head ridge"),
        ({"extractor_sha256": "0" * 64}, "its extractor does not match its fingerprint"),
        ({"seed": "0"}, 'seed cannot be "0"'),
        ({"features_dir": "a\0b"}, "features_dir cannot be"),
        ({"splits": {}}, "it needs the splits train, val, test"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(
    data: dict[str, SplitData], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = unsealed(train(data, tmp_path).path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(RunError, match=rf"config\.json is damaged: .*{said}.*--overwrite"):
        read_config(path.parent)


def test_metrics_of_no_split_are_refused(data: dict[str, SplitData], tmp_path: Path) -> None:
    path = unsealed(train(data, tmp_path).path) / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split": "all"}))
    with pytest.raises(RunError, match=r"metrics\.json is damaged: there is no split all"):
        read_metrics(path.parent)


def test_arrays_that_are_compressed_or_not_finite_are_not_opened(
    data: dict[str, SplitData], tmp_path: Path
) -> None:
    run = unsealed(train(data, tmp_path).path)
    with np.load(run / "model.npz") as stored:
        arrays = dict(stored)
    np.savez_compressed(run / "model.npz", **arrays)
    with pytest.raises(RunError, match=r"model\.npz cannot be loaded.*its arrays are compressed"):
        load_head(run)
    np.savez(run / "model.npz", **arrays | {"bias": np.full(1, np.nan)})
    with pytest.raises(RunError, match="bias holds other than finite numbers"):
        load_head(run)


def test_a_history_without_epochs_is_refused(tmp_path: Path) -> None:
    for text in ("loss\n1\n", "epoch,loss\n1,nan\n", "epoch,loss,loss\n1,2,3\n"):
        (tmp_path / "history.csv").write_text(text)
        with pytest.raises(RunError, match="it needs an epoch and finite numbers"):
            read_history(tmp_path)
