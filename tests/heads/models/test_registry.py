"""Heads are made by name, whoever wrote them, and load no framework before they need it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cache.errors import EngineError
from heads.errors import HeadError
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import (
    HEADS,
    make_head,
    register,
)


@pytest.mark.parametrize("name", list(HEADS))
def test_the_registry_and_the_class_agree_on_the_name(name: str) -> None:
    assert HEADS[name].name == HEADS[name].about.name == make_head(name).about.name == name
    assert HEADS[name].about.summary


def test_an_unknown_head_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HeadError, match=r"no head forest; there are constant, mean-ratings"):
        make_head("forest")


def test_a_head_of_another_package_comes_through_the_same_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heads.models.registry.HEADS", HEADS.copy())
    register("plain", "heads.models.constant:ConstantHead")
    assert make_head("plain").about.looks_at_photographs is False


def test_another_backend_than_tensorflow_is_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(EngineError, match=r"backend tensorflow; it is jax\. Set KERAS_BACKEND="):
        make_head("emd")


def test_a_closed_form_head_takes_no_settings() -> None:
    with pytest.raises(HeadError, match=r"head ridge has no such settings.*Leave out --hidden"):
        make_head("ridge", NetworkSettings())


PROBE = """
import sys
from pathlib import Path
from heads.data.splits import load_splits
from heads.experiments.train import train
features, out, *names = sys.argv[1:]
data = load_splits(Path(features))
for name in names:
    train(name, data, Path(out))
print(*sorted({module.partition(".")[0] for module in sys.modules}))
"""


def test_heads_in_closed_form_train_without_tensorflow(planted: Path, tmp_path: Path) -> None:
    # Planted caches hold no metadata and no groups.
    closed = [n for n, e in HEADS.items() if not (e.neural or e.about.looks_at_metadata)]
    closed.remove("pairs")
    command = [sys.executable, "-c", PROBE, str(planted), str(tmp_path), *closed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {"tensorflow", "keras", "sklearn"}.isdisjoint(done.stdout.split())


def test_naming_the_heads_loads_no_framework() -> None:
    code = "import sys, heads.models.registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "keras", "sklearn", "h5py"}.isdisjoint(done.stdout.split())
