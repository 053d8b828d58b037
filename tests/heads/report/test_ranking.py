"""Every head with every metric, the best in bold."""

from __future__ import annotations

from pathlib import Path

from heads.metrics.catalogue import METRICS
from heads.report.data import read_report
from heads.report.ranking import ranking
from tests.heads.report.finished_runs import ALL_HEADS


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
