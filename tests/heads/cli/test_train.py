"""`heads train`: what it prints and where, its flags, and a run repeated from its config."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heads.runs.files import read_config, read_json
from heads.runs.folder import find_runs
from tests.heads.cli.command import heads
from tests.heads.planted import keras_saves

pytestmark = keras_saves


def test_train_prints_its_results_on_stdout_alone(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "ridge", "--features", planted, "--out", tmp_path) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert f"{tmp_path / 'ridge'}: ridge, trained on 600 photographs" in shown.out
    (line,) = (line for line in shown.out.splitlines() if line.startswith("srcc"))
    assert line.split()[-3:] == ["beats", "its", "floor"]


def test_train_passes_its_flags_on_and_tells_them_in_the_config(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = "--hidden 8,4 --dropout 0.1 --input-dropout 0.3 --l2 0.5 --lr 0.01 --batch-size 50"
    flags += " --epochs 2 --patience 1 --optimizer sgd --views mean --seed 3 --limit 300"
    done = heads("train", "emd", *flags.split(), "--features", planted, "--out", tmp_path, "--json")
    assert done == 0
    shown = json.loads(capfd.readouterr().out)
    config = read_config(Path(shown["run"]))
    settings = config.settings
    assert settings is not None
    assert (settings.hidden, settings.dropout, settings.input_dropout) == ((8, 4), 0.1, 0.3)
    assert (settings.l2, settings.lr, settings.batch_size) == (0.5, 0.01, 50)
    assert (settings.epochs, settings.patience) == (2, 1)
    assert (settings.optimizer, settings.views) == ("sgd", "mean")
    assert (config.seed, config.limit, config.splits["train"].n) == (3, 300, 300)
    assert shown["metrics"]["n_train"] == 300
    assert shown["reused"] is False


def test_a_preset_gives_way_to_flags(planted: Path, tmp_path: Path) -> None:
    arguments = ["--preset", "blog", "--epochs", "1", "--features", planted, "--out", tmp_path]
    assert heads("train", "binary", *arguments) == 0
    settings = read_config(tmp_path / "binary").settings
    assert settings is not None
    assert (settings.start, settings.l2, settings.epochs) == ("random", 0.1, 1)


def test_a_config_file_repeats_a_run(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--epochs", "1", "--lr", "0.02", "--seed", "5", "--limit", "200"]
    assert heads("train", "tanh", *flags, "--features", planted, "--out", tmp_path) == 0
    config = tmp_path / "tanh" / "config.json"
    assert heads("train", "--config", config, "--out", tmp_path) == 0
    assert "is reused" in capfd.readouterr().err
    assert heads("train", "--config", config, "--seed", "0", "--out", tmp_path / "other") == 0
    repeated = read_config(tmp_path / "other" / "tanh")
    assert (repeated.seed, repeated.limit) == (0, 200)
    assert repeated.settings == read_config(tmp_path / "tanh").settings


def test_a_config_repeated_on_other_features_says_that_it_gives_other_numbers(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "ridge", "--features", planted, "--out", tmp_path) == 0
    file = tmp_path / "ridge" / "config.json"
    values = json.loads(file.read_text())
    values["splits"]["val"]["content_sha256"] = values["extractor_sha256"] = "0" * 64
    file.write_text(json.dumps(values))
    capfd.readouterr()
    assert heads("train", "--config", file, "--out", tmp_path / "again") == 0
    said = f"the settings of {file}, not its numbers: the extractor, val are not what it was made"
    assert said in capfd.readouterr().err
    assert heads("train", "--config", file, "--limit", "9", "--out", tmp_path / "less") == 0
    assert "numbers: the extractor, train, val are not" in capfd.readouterr().err


@pytest.mark.parametrize(
    "values",
    [
        *({"head": ["emd"]}, {"seed": "1"}, {"seed": -1}, {"limit": 0.5}, {"features_dir": 3}),
        *({"settings": [1]}, {"splits": ["train"]}, {"splits": {"train": 3}}),
    ],
)
def test_a_config_with_values_of_the_wrong_kind_is_refused(
    planted: Path, tmp_path: Path, values: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"head": "ridge", "features_dir": str(planted)} | values))
    assert heads("train", "--config", file, "--out", tmp_path) == 1
    (name,) = values
    assert f"config.json cannot be read: {name} cannot be " in capfd.readouterr().err


@pytest.mark.parametrize("text", ["[" * 99_999, '{"seed": NaN}', '{"seed": 1e999}'])
def test_a_config_that_is_no_proper_json_is_refused(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(text)
    assert heads("train", "--config", tmp_path / "config.json", "--out", tmp_path) == 1
    assert "config.json cannot be read: " in capfd.readouterr().err


@pytest.mark.parametrize("settings", [{"lr": "3e-4"}, {"hidden": 256}, {"epochs": 1.5}])
def test_a_setting_of_the_wrong_kind_is_named(
    planted: Path, tmp_path: Path, settings: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"head": "emd", "settings": settings}))
    assert heads("train", "--config", file, "--features", planted, "--out", tmp_path) == 1
    assert "The settings in --config have a value of the wrong kind" in capfd.readouterr().err


def test_the_same_settings_said_or_chosen_are_the_same_run(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["sigmoid", "--features", planted, "--out", tmp_path, "--epochs", "1"]
    assert heads("train", *given) == 0
    values = read_json(tmp_path / "sigmoid" / "config.json")
    assert (values["settings"]["ensemble"], values["resolved"]["ensemble"]) == (None, 3)
    assert heads("train", *given, "--ensemble", "3") == 0
    assert "this very run is already there" in capfd.readouterr().err
    assert len(find_runs(tmp_path)) == 1


def test_a_config_of_another_head_is_refused(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heads("train", "ridge", "--features", planted, "--out", tmp_path)
    config = tmp_path / "ridge" / "config.json"
    assert heads("train", "emd", "--config", config, "--out", tmp_path) == 1
    assert "is of the head ridge, not emd" in capfd.readouterr().err


def test_a_head_of_votes_on_means_is_said_plainly(
    planted_means: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "emd", "--features", planted_means, "--out", tmp_path) == 1
    assert "means only" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_explains_the_settings(capfd: pytest.CaptureFixture[str]) -> None:
    assert heads("train", "--help") == 0
    text = capfd.readouterr().out
    for word in ("--hidden", "--preset", "(default: 256)", "examples:", "half a minute"):
        assert word in text


def test_keras_json_and_the_locale_and_warnings_change_no_number(
    planted: Path, tmp_path: Path
) -> None:
    settings = {"floatx": "float64", "image_data_format": "channels_first", "epsilon": 0.01}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    words = [
        "compare",
        "--heads",
        "binary",
        "--ensemble",
        "1",
        "--limit",
        "100",
        "--features",
        planted,
        "--out",
    ]
    process = {
        "KERAS_HOME": str(tmp_path),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, "-m", "heads", *map(str, [*words, tmp_path / "theirs"])],
        env=os.environ | process,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "+- is half of the 95 % interval" in done.stdout
    assert heads(*words, tmp_path / "mine") == 0
    mine, theirs = (tmp_path / out / "binary" / "predictions.csv" for out in ("mine", "theirs"))
    assert theirs.read_bytes() == mine.read_bytes()


def test_a_backend_that_is_not_there_is_one_line(planted: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed")
    done = subprocess.run(
        [sys.executable, "-m", "heads", "train", "emd", "--features", planted, "--out", tmp_path],
        env=os.environ | {"KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr.splitlines()[-1]
    assert "KERAS_BACKEND" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
