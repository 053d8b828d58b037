"""Keras in this process: whose settings hold, what a failed import says, and no fork."""

from __future__ import annotations

import os
import sys
import tomllib
from types import ModuleType, SimpleNamespace

import pytest

from cache import console, frameworks
from cache.errors import EngineError
from cache.frameworks import (
    OLDEST,
    SETTINGS,
    importing_keras,
    numeric_variables,
    refuse_forked,
    refuse_old_keras,
)
from tests.documents import CHECKOUT


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The settings of a stand-in for Keras, which another program has changed."""
    values: dict[str, object] = {
        "floatx": "float64",
        "image_data_format": "channels_first",
        "epsilon": 1e-3,
    }
    config = SimpleNamespace()
    for name in values:
        setattr(config, name, lambda name=name: values[name])
        setattr(config, f"set_{name}", lambda value, name=name: values.update({name: value}))
    module = ModuleType("keras")
    module.config = config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", module)
    return values


@pytest.mark.usefixtures("keras")
def test_settings_of_another_program_are_refused_and_left_alone() -> None:
    with (
        pytest.raises(EngineError, match=r"Keras' floatx is 'float64'.*keras.config.set_floatx"),
        importing_keras(),
    ):
        pass


def test_a_command_gives_keras_the_settings_that_numbers_rest_on(keras: dict[str, object]) -> None:
    def command() -> int:
        with importing_keras():
            pass
        return 0

    assert console.run("heads", command) == 0
    assert keras == SETTINGS


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'torch'"), "backend cannot be imported: No module"),
        (ValueError("Invalid `floatx`"), "Keras cannot be imported: Invalid `floatx`"),
        (PermissionError(13, "Permission denied", "keras.json"), "Permission denied: 'keras.json'"),
        (FileNotFoundError(2, "No usable temporary directory"), "temporary directory. Set TMPDIR"),
    ],
)
def test_a_failed_import_says_what_to_put_right(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", "/etc/keras")
    with pytest.raises(EngineError) as caught, importing_keras():
        raise error
    assert said in str(caught.value)
    assert ("/etc/keras/keras.json" in str(caught.value)) == ("TMPDIR" not in said)


def test_errors_of_ours_pass_through(keras: dict[str, object]) -> None:
    keras.update(SETTINGS)
    with pytest.raises(ValueError, match="ours"), importing_keras():
        raise ValueError("ours")


def test_a_fork_of_a_process_that_uses_a_framework_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frameworks, "_used_in", [])
    refuse_forked()
    refuse_forked()
    monkeypatch.setattr(frameworks, "_used_in", [os.getpid() + 1])
    with pytest.raises(EngineError, match=r"forked from process \d+.*would wait for ever"):
        refuse_forked()


def test_variables_that_change_numbers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in frameworks.NUMERIC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert numeric_variables() == ""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("XLA_FLAGS", "\x1b" + "x" * 100)
    assert numeric_variables() == r", TF_ENABLE_ONEDNN_OPTS=0, XLA_FLAGS=\x1b" + "x" * 36


@pytest.mark.parametrize("old", ["3.6.0", "3.8.0", "3.13.2", "3.15.0", "2.15.0", "3.15"])
def test_an_old_keras_is_refused_with_a_remedy(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "version", lambda name: old)
    words = rf"Keras {old} is installed; .*hidden in model files.*'keras>={OLDEST}'"
    with pytest.raises(EngineError, match=words):
        refuse_old_keras()


@pytest.mark.parametrize("new", [OLDEST, "3.16.0.dev1", "3.100.0", "4.0"])
def test_a_new_keras_is_taken(new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "version", lambda name: new)
    refuse_old_keras()


def test_the_oldest_keras_is_the_one_that_is_installed_with_the_program() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert f"keras>={OLDEST}" in project["dependencies"]
    refuse_old_keras()
