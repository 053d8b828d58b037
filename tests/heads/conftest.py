"""Planted caches that the tests of stage two share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cheap import Opener
from tests.heads.planted import Plan, plant
from tests.heads.studio import Studio, build_studio


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train, val and test with votes 1..10, one view, 32 features; only to be read."""
    return plant(tmp_path_factory.mktemp("planted") / "features")


@pytest.fixture(scope="session")
def planted7(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with votes 1..7, three views, a remark and two unreadable photographs."""
    plan = Plan(levels=7, n_views=3, label_note="votes are simulated", unreadable=(3, 500))
    return plant(tmp_path_factory.mktemp("planted7") / "features", plan)


@pytest.fixture(scope="session")
def planted_means(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with mean-only labels on 0..100."""
    return plant(tmp_path_factory.mktemp("planted0") / "features", Plan(levels=0))


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Photographs, their caches by a cheap engine, and runs trained on them; only to be read."""
    return build_studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture
def cheap_engine(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Whoever opens an engine for features gets the cheap one."""
    opener = Opener()
    monkeypatch.setattr("extract.api.open_engine", opener)
    return opener
