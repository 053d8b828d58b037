"""Stage two: aesthetic heads trained on cached features, compared with their floors.

    from heads import HEADS, compare, load_splits, open_scorer, train

    data = load_splits("features")
    run = train("emd", data, hidden=(256,))  # runs/emd; run.history, run.predictions()
    board = compare(data, heads=["ridge", "emd"])  # board.frame(); Jupyter shows the table
    table = open_scorer("runs/emd").frame(["a.jpg", "b.jpg"])

Each name is loaded when it is first used (PEP 562), so that importing `heads` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heads.api import compare, train
    from heads.data.splits import load_splits
    from heads.estimators import AestheticClassifier, AestheticRegressor, MobileNetV2Features
    from heads.models.own.entry import own_head
    from heads.models.registry import HEADS
    from heads.scoring.scorer import open_scorer

__all__ = [
    "HEADS",
    "AestheticClassifier",
    "AestheticRegressor",
    "MobileNetV2Features",
    "compare",
    "load_splits",
    "open_scorer",
    "own_head",
    "train",
]

_MODULES = {
    "HEADS": "heads.models.registry",
    "AestheticClassifier": "heads.estimators",
    "AestheticRegressor": "heads.estimators",
    "MobileNetV2Features": "heads.estimators",
    "compare": "heads.api",
    "load_splits": "heads.data.splits",
    "open_scorer": "heads.scoring.scorer",
    "own_head": "heads.models.own.entry",
    "train": "heads.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
