"""Every head with every metric, the best in bold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from heads.data.splits import load_splits
from heads.experiments.train import train
from heads.metrics.catalogue import METRICS
from heads.models.registry import HEADS
from heads.report.data import read_report
from heads.report.ranking import ranking
from heads.report.run import differences
from heads.report.write import write_report
from heads.runs.files import read_config
from tests.heads.planted import with_metadata
from tests.heads.report.finished_runs import (
    ALL_HEADS,
    PLAN,
    forget_metric,
    make_features,
    make_runs,
)
from tests.heads.report.reading import read


def test_every_run_has_its_row_with_every_metric(page: str) -> None:
    table = page[page.index('class="sortable metrics"') :]
    table = table[: table.index("</table>")]
    for name in (*ALL_HEADS, "emd"):
        assert f'data-value="{name}">{name}' in table
    for name in METRICS:
        assert name == "confusion" or f">{name}" in table


def test_the_best_value_is_the_highest_or_the_lowest_as_the_metric_wants(runs: Path) -> None:
    data = read_report(runs)
    best = ranking(data).best
    assert best["srcc"] == max(run.value("srcc") for run in data.runs)
    assert best["mse"] == min(v for run in data.runs if (v := run.value("mse")) is not None)
    assert best["spread"] is None
    assert "confusion" not in best


def test_the_floor_gets_no_verdict_against_itself(page: str) -> None:
    table = page[page.index('class="sortable ranking"') :]
    rows = table[: table.index("</table>")].split("<tr>")
    (floor,) = (row for row in rows if 'data-value="constant"' in row)
    assert "is the floor" in floor
    assert sum("beats its floor" in row for row in rows) == 4


def test_heads_of_metadata_stand_below_those_that_look_and_are_said_to_look_at_nothing(
    own: Path,
) -> None:
    data = with_metadata(load_splits(read_config(own / "ridge").features_dir))
    train("metadata", data, own)
    report = read_report(own)
    looking = [HEADS[run.config.head].about.looks_at_photographs for run in report.runs]
    assert looking == sorted(looking, reverse=True)
    (row,) = ranking(report).of_metadata
    page = write_report(own).read_text(encoding="utf-8")
    said = "metadata looks at none either: it knows what lists of photographs say, and that alone"
    assert f"{said} ranks at an SRCC of {row.stored.shown('srcc'):.3f} (" in page
    assert "may be owed to the same" in page


def cells(page: str, run: str) -> dict[str, str]:
    """Return a run's cells of the table of every metric, as HTML, by the metric's name."""
    table = page.split('<table class="sortable metrics">')[1].split("</table>")[0]
    names = re.findall(r"<th scope=col[^>]*>(\w+)", table)
    (row,) = (row for row in table.split("<tr>")[2:] if f'data-value="{run}">' in row)
    inside = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
    return dict(zip(names, inside, strict=True))


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_that_a_run_lacks_is_a_dash_and_one_too_many_is_passed_over(
    own: Path, page: str, metric: str
) -> None:
    forget_metric(own / "emd", metric)
    text = write_report(own).read_text()
    assert not read(text).wrong
    assert "left out" not in text
    assert "sharpness" not in text
    before, after = cells(page, "emd"), cells(text, "emd")
    assert after == before | ({} if metric == "confusion" else {metric: "–"})
    assert cells(text, "ridge").keys() == cells(page, "ridge").keys()


def test_runs_of_other_features_limits_and_notes_name_what_differs(
    page: str, tmp_path: Path
) -> None:
    assert "differs in" not in page
    runs = make_runs(tmp_path, PLAN, ("constant", "ridge"), trained=False)
    features = tmp_path / "features"
    train("ridge-dist", load_splits(features, limit=50), runs)
    plan = replace(PLAN, weights_sha256="1" * 64, label_note="")
    train("logistic", load_splits(make_features(tmp_path / "other", plan)), runs)
    data = read_report(runs)
    named = {row.name: row.differs for row in ranking(data).rows}
    assert set(named) == {"constant", "ridge", "ridge-dist", "logistic"}
    assert named[data.best.name] == []
    by_name = {run.name: run for run in data.runs}
    other = ["weights sha256 111111111111", "no note on its labels"]
    assert differences(by_name["ridge-dist"], by_name["ridge"]) == ["--limit 50"]
    assert differences(by_name["logistic"], by_name["ridge"]) == other
    text = write_report(runs).read_text()
    assert f"the last column names what differs from {data.best.name}" in text
    assert all("; ".join(words) in text for words in named.values())
