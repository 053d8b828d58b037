"""A head trained into a folder, ridge if no other is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heads.data.splits import SplitData
from heads.experiments.train import TrainedRun
from heads.experiments.train import train as train_head


def train(
    data: Mapping[str, SplitData], out: Path, head: str = "ridge", **changes: Any
) -> TrainedRun:
    """Train a head into a folder."""
    return train_head(head, data, out, **changes)
