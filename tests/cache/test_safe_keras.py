"""An old Keras is refused in words, and the version is the one that is installed."""

from __future__ import annotations

import tomllib

import pytest

from cache import safe_keras
from cache.errors import EngineError
from cache.safe_keras import OLDEST, refuse_old_keras
from tests.documents import CHECKOUT


@pytest.mark.parametrize("old", ["3.6.0", "3.8.0", "3.13.2", "3.15.0", "2.15.0", "3.15"])
def test_an_old_keras_is_refused_with_a_remedy(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_keras, "version", lambda name: old)
    words = rf"Keras {old} is installed; .*hidden in model files.*'keras>={OLDEST}'"
    with pytest.raises(EngineError, match=words):
        refuse_old_keras()


@pytest.mark.parametrize("new", [OLDEST, "3.16.0.dev1", "3.100.0", "4.0"])
def test_a_new_one_is_taken(new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_keras, "version", lambda name: new)
    refuse_old_keras()


def test_the_oldest_is_the_one_that_is_installed_with_the_program() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert f"keras>={OLDEST}" in project["dependencies"]
    refuse_old_keras()
