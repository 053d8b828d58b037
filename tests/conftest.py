"""Fixtures that all tests share: where the real data lies, if it is here."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.console import LOGGER, note_once

CHECKOUT = Path(__file__).parents[1]


def _shared_folder(name: str) -> Path:
    """Return a folder of real photographs, or skip the test, saying what is missing."""
    root = Path(os.environ.get("AESTHETIC_SHARED", CHECKOUT.parent / "shared" / "data"))
    folder = root / name
    if not folder.is_dir():
        pytest.skip(f"the real data {name} is not here: no folder {folder} (AESTHETIC_SHARED)")
    return folder


class Remarks(logging.Handler):
    """Prints the packages' remarks on stderr, for a program that asked for them."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


@pytest.fixture(autouse=True)
def remarks() -> Iterator[None]:
    """Every test hears the remarks."""
    logger, handler = logging.getLogger(LOGGER), Remarks()
    note_once.cache_clear()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml."""
    return CHECKOUT


@pytest.fixture(scope="session")
def oasis() -> Path:
    """519 photographs with votes 1..7 in labels.csv."""
    return _shared_folder("oasis")


@pytest.fixture(scope="session")
def ava() -> Path:
    """A part of AVA: 87,080 rows, few photographs."""
    return _shared_folder("ava")
