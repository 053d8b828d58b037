"""bfloat16 is used where it is fast, and only there, unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from cache.errors import EngineError
from heads.models.neural import precision
from heads.models.neural.precision import multiplies_bfloat16, precision_of
from heads.models.neural.settings import NetworkSettings


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the file that lists the processor's flags; there is none yet."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPUINFO", path)
    multiplies_bfloat16.cache_clear()
    yield path
    multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "chosen"), [("avx512f avx512_bf16", "bfloat16"), ("avx512f", "float32")]
)
def test_a_hidden_layer_is_multiplied_as_the_processor_likes(
    processor: Path, flags: str, chosen: str
) -> None:
    processor.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} vme\n")
    assert precision_of(NetworkSettings(hidden=(8,))) == chosen
    assert precision_of(NetworkSettings(hidden=())) == "float32"


def test_an_unknown_processor_multiplies_float32(processor: Path) -> None:
    assert not processor.exists()
    assert precision_of(NetworkSettings()) == "float32"


def test_what_is_asked_for_is_used(processor: Path) -> None:
    assert precision_of(NetworkSettings(precision="bfloat16")) == "bfloat16"
    processor.write_text("flags : avx512_bf16")
    assert precision_of(NetworkSettings(precision="float32")) == "float32"


def test_other_backends_multiply_float32_and_say_so(
    processor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor.write_text("flags : avx512_bf16")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert precision_of(NetworkSettings()) == "float32"
    with pytest.raises(EngineError, match=r"bfloat16 needs .* tensorflow; it is jax\. Set"):
        precision_of(NetworkSettings(precision="bfloat16"))
