"""The file between the two stages: pooled features and labels of photographs, in HDF5.

from cache import open_cache

cache = open_cache("features/train.h5")  # cache.features (N, V, D), cache.labels.votes, ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache.store import open_cache

__all__ = ["open_cache"]


def __getattr__(name: str) -> Any:
    """Load `open_cache` when it is first used: h5py takes longer than `--help` may."""
    if name != "open_cache":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cache.store import open_cache

    return open_cache


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
