"""One file, whole, from whatever runs can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heads.cli import main as cli
from heads.report.write import write_report


def test_the_same_runs_give_the_same_bytes(own: Path) -> None:
    assert write_report(own).read_bytes() == write_report(own).read_bytes()


def test_a_damaged_run_is_left_out_and_said_so(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "ridge" / "metrics.json").write_text("{")
    write_report(own)
    assert "ridge is left out of the report: " in capsys.readouterr().err


def test_the_command_prints_where_the_page_is(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(own)]) == 0
    assert capsys.readouterr().out == f"{own / 'report.html'}\n"
    assert cli.main(["report", str(own / "emd")]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_a_photograph_is_embedded_once_however_often_it_is_shown(page: str) -> None:
    pictures = re.findall(r'href="(data:image/jpeg;base64,[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) > 20
    assert page.count("<use ") > len(pictures)
