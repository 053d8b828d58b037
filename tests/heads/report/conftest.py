"""Finished runs and their page that the tests of the report share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heads.report.write import write_report
from tests.heads.report.finished_runs import make_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five finished runs; only to be read."""
    return make_runs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def page(runs: Path) -> str:
    return write_report(runs).read_text(encoding="utf-8")


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A copy of the runs that a test may change."""
    return shutil.copytree(runs, tmp_path / "runs")
