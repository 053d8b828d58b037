"""The planted sets, loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads.data.splits import SplitData, load_splits


@pytest.fixture(scope="module")
def data(planted: Path) -> dict[str, SplitData]:
    return load_splits(planted)


@pytest.fixture(scope="module")
def data7(planted7: Path) -> dict[str, SplitData]:
    return load_splits(planted7)
