"""The notebook: run from top to bottom as it stands, in a folder of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.fixture
def notebook(checkout: Path) -> Any:
    return nbformat.read(checkout / "docs" / "notebook.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [each for cell in notebook.cells for each in cell.get("outputs", [])]


def test_the_notebook_is_kept_without_what_it_says(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert not outputs(notebook)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(
    notebook: Any, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", found)
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=place).execute()
    (cell,) = (each for each in notebook.cells if each.source.endswith("\nboard"))
    board = cell.outputs[-1]["data"]["text/html"]
    assert all(name in board for name in ("constant", "logistic", "ridge", "emd", "knn-15"))
    assert "image/png" in outputs(notebook)[-1]["data"]
    assert (tmp_path / "notebook-demo" / "runs" / "report.html").exists()
