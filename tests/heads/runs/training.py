"""A head trained into a folder, with a few things of the request changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heads.data.splits import SplitData
from heads.experiments.train import TrainedRun, TrainRequest, train_run
from heads.models.neural.settings import NetworkSettings


def request(
    out: Path, head: str = "ridge", settings: NetworkSettings | None = None, **changes: Any
) -> TrainRequest:
    """Return a request with a few things changed."""
    plain = TrainRequest(head, settings, 0, out)
    return replace(plain, **changes)


def train(
    data: Mapping[str, SplitData], out: Path, head: str = "ridge", **changes: Any
) -> TrainedRun:
    """Train a head into a folder."""
    return train_run(request(out, head, **changes), data)
