"""The precision that networks are trained in: float32, or bfloat16 where that is faster.

In bfloat16, a step rounds the features and the first kernel to 8 binary digits, multiplies those,
and rounds the product and, on the way back, its gradients alike. The weights and their moments, all
other layers, the figures of the history and every prediction are float32.

Source: Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras

from cache.errors import EngineError
from heads.models.neural.settings import NetworkSettings

CPUINFO = Path("/proc/cpuinfo")


def precision_of(settings: NetworkSettings) -> str:
    """Return `float32` or `bfloat16`: what the settings ask for, else what this machine does fast.

    A linear head's product is too narrow to gain.

    Raises:
        EngineError: bfloat16 is asked for, and Keras' backend is not TensorFlow.
    """
    compiled = keras.backend.backend() == "tensorflow"
    if settings.precision == "bfloat16" and not compiled:
        raise EngineError(
            "--precision bfloat16 needs Keras' backend tensorflow; it is "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow, or choose float32."
        )
    if settings.precision is not None:
        return settings.precision
    fast = bool(settings.hidden) and compiled and multiplies_bfloat16()
    return "bfloat16" if fast else "float32"


@cache
def multiplies_bfloat16() -> bool:
    """Return whether TensorFlow runs on a processor that multiplies bfloat16 faster than float32.

    Told by AVX512-BF16 among the flags that Linux lists; False where nothing is listed, or where a
    GPU does the work.
    """
    import tensorflow as tf

    if not CPUINFO.exists() or tf.config.list_physical_devices("GPU"):
        return False
    return "avx512_bf16" in CPUINFO.read_text().split()
