"""Metrics in words, and templates that refuse what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from heads.metrics.bootstrap import Verdict
from heads.report.data import read_report
from heads.report.words import COVERED, MARKS, interval_text, shown, template, title


def test_a_value_has_its_metrics_decimals_or_a_dash() -> None:
    assert (shown("srcc", 0.12345), shown("emd_r2", 0.12345)) == ("0.123", "0.1235")
    assert (shown("srcc", -0.5), shown("mse", None)) == ("−0.500", "–")


def test_an_interval_without_an_end_is_not_shown() -> None:
    assert interval_text("srcc", 0.1, 0.25) == "0.100 to 0.250"
    assert interval_text("srcc", None, 0.25) == ""
    assert COVERED == "95\u202f%"


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert list(MARKS) == list(Verdict)
    assert len(set(MARKS.values())) == 3


def test_a_report_is_named_by_data_heads_scale_threshold_and_note(runs: Path) -> None:
    assert title(read_report(runs)) == (
        "data: 5 heads on 60 test photographs, scale 1 to 7, beautiful above 4 "
        "(votes are simulated)"
    )


def test_a_template_refuses_what_it_was_not_given() -> None:
    with pytest.raises(UndefinedError, match="'figures' is undefined"):
        template("curve.html").render(head="ridge")
