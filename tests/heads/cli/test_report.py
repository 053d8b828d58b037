"""`heads report`: it prints where the page is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heads.cli import main as cli
from tests.heads.studio import Studio


def test_the_command_prints_where_the_page_is(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.copytree(studio.runs, tmp_path / "runs")
    assert cli.main(["report", str(own)]) == 0
    assert capsys.readouterr().out == f"{own / 'report.html'}\n"
    assert cli.main(["report", str(own / "ridge")]) == 1
    assert "holds no finished run" in capsys.readouterr().err
