"""One file, whole, from whatever runs can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from heads.metrics.bootstrap import Verdict
from heads.report.write import write_report
from tests.heads.report.finished_runs import edit_json


def test_the_same_runs_give_the_same_bytes(own: Path) -> None:
    assert write_report(own).read_bytes() == write_report(own).read_bytes()


def test_a_damaged_run_is_left_out_and_said_so(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "ridge" / "metrics.json").write_text("{")
    write_report(own)
    assert "ridge is left out of the report: " in capsys.readouterr().err


def test_a_photograph_is_embedded_once_however_often_it_is_shown(page: str) -> None:
    pictures = re.findall(r'href="(data:image/jpeg;base64,[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) > 20
    assert page.count("<use ") > len(pictures)


def test_a_report_on_the_verdicts_in_words_of_earlier_runs_is_the_same(own: Path) -> None:
    before = write_report(own).read_text()
    for path in own.glob("*/metrics.json"):
        verdicts = json.loads(path.read_text())["verdict"]
        words = {name: kind and Verdict(kind).words for name, kind in verdicts.items()}
        edit_json(path, verdict=words)
    assert write_report(own).read_text() == before
