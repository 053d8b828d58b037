"""What sweeps and curves found: a table for people, a CSV for programs, a page for a browser.

Needs no framework.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.files import Mark, check_output, write_text_atomically
from cache.text import CsvLines, harmless_cell
from cache.types import FloatArray
from heads.metrics.comparison import StoredMetrics
from heads.report.words import template
from heads.web import charts
from heads.web.html import PAGES, Figure

if TYPE_CHECKING:
    from heads.experiments.sweep import Point
    from heads.experiments.train import TrainedRun

SWEPT = ("lr", "l2", "dropout", "val_loss")
GROWN = ("srcc", "plcc", "mse", "emd_r2", "acc", "auc")
# How the tables start.
SWEEP_MARK, CURVE_MARK = Mark(f"{','.join(SWEPT)},val_".encode()), Mark(b"n_train,")
# Drawn where the head has them.
PLOTTED = ("srcc", "emd_r2", "mse", "auc")


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    lines = csv.DictWriter(CsvLines(text), columns)
    lines.writeheader()
    lines.writerows({name: harmless_cell(cell) for name, cell in row.items()} for row in rows)
    return text.getvalue()


# --- sweeps ---------------------------------------------------------------------------------------


def sweep_rows(points: Sequence[Point]) -> list[dict[str, float]]:
    """Return one row a point: `SWEPT`, the metric that heads are ranked by, and `seeds`."""
    return [
        {
            "lr": float(p.settings.lr or 0),
            "l2": p.settings.l2,
            "dropout": p.dropout,
            "val_loss": p.val_loss,
            f"val_{p.metric}": p.val_value,
            "seeds": len(p.val_losses),
        }
        for p in points
    ]


def sweep_table(points: Sequence[Point], chosen: Point) -> str:
    """Return an aligned table, best first, the chosen point starred."""
    order = sorted(points, key=lambda p: math.inf if math.isnan(p.val_loss) else p.val_loss)
    by = f"val_{chosen.metric}"
    lines = [f"{'lr':>10} {'l2':>8} {'dropout':>8} {'val_loss':>10} {by:>9}"]
    for point, row in zip(order, sweep_rows(order), strict=True):
        star = "  * chosen" if point is chosen else ""
        lines.append(
            f"{row['lr']:10.3g} {row['l2']:8.3g} {row['dropout']:8.2f} {row['val_loss']:10.6f} "
            f"{row[by]:9.4f}{star}"
        )
    return "\n".join(lines)


def check_sweep(folder: Path) -> None:
    """Refuse, before any work, to replace what `write_sweep` did not write.

    Raises:
        StorageError: sweep.csv or sweep.html is something else.
    """
    check_output(folder / "sweep.csv", SWEEP_MARK)
    check_output(folder / "sweep.html", *PAGES)


def write_sweep(folder: Path, head: str, points: Sequence[Point], chosen: Point) -> None:
    """Write sweep.csv, one row a point, a diverged loss empty, and the heat map sweep.html.

    Raises:
        StorageError: the disk is full or refuses.
    """
    rows = [
        {k: "" if math.isnan(v) else repr(v) for k, v in row.items()} for row in sweep_rows(points)
    ]
    write_text_atomically(folder / "sweep.csv", _csv(list(rows[0]), rows))
    write_text_atomically(folder / "sweep.html", sweep_page(head, points, chosen))


@dataclass(frozen=True)
class HeatMap:
    """The points of one dropout: their rates, and a row of them for each l2."""

    dropout: float
    rates: list[float]
    rows: dict[float, list[Point]]


def sweep_page(head: str, points: Sequence[Point], chosen: Point) -> str:
    """Return a page: for each dropout a table of l2 by lr, coloured by the loss."""
    known = [p.val_loss for p in points if math.isfinite(p.val_loss)]
    lo, hi = min(known), max(known)

    def share(point: Point) -> float | None:
        """How much of the colour the point gets, 0 to 1; None where it diverged."""
        if not math.isfinite(point.val_loss):
            return None
        shade = 1 - (point.val_loss - lo) / (hi - lo) if hi > lo else 1.0
        return 0.05 + 0.55 * shade

    maps = []
    for dropout in dict.fromkeys(p.dropout for p in points):
        here = [p for p in points if p.dropout == dropout]
        rates = dict.fromkeys(float(p.settings.lr or 0) for p in here)
        rows: dict[float, list[Point]] = {}
        for point in here:
            rows.setdefault(point.settings.l2, []).append(point)
        maps.append(HeatMap(dropout, list(rates), rows))
    return template("sweep.html").render(head=head, maps=maps, chosen=chosen, share=share)


# --- curves ---------------------------------------------------------------------------------------


def curve_rows(runs: Sequence[TrainedRun]) -> list[dict[str, Any]]:
    """Return one row a run: `n_train`, metrics and the ends of their intervals, time, folder."""
    rows = []
    for run in runs:
        row: dict[str, Any] = {"n_train": run.metrics["n_train"]}
        stored = StoredMetrics(run.metrics)
        for name in GROWN:
            lo, hi = stored.interval(name)
            row |= {name: stored.value(name), f"{name}_lo": lo, f"{name}_hi": hi}
        rows.append(row | {"fit_seconds": run.metrics["fit_seconds"], "run": str(run.path)})
    return rows


def curve_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an aligned table, one line a size, with half of each interval's width."""
    lines = [f"{'n_train':>9}" + "".join(f"{name:>17}" for name in GROWN) + f"{'seconds':>9}"]
    for row in rows:
        cells = "".join(f"{_cell(row, name):>17}" for name in GROWN)
        lines.append(f"{row['n_train']:>9,}{cells}{row['fit_seconds']:9.1f}")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    value, lo, hi = (row[name + end] for end in ("", "_lo", "_hi"))
    if value is None:
        return ""
    return f"{value:.4f}" + ("" if lo is None else f" ±{(hi - lo) / 2:.4f}")


def curve_files(folder: Path, head: str) -> tuple[Path, Path]:
    """Return where the table and the page of a curve lie, before any work.

    Raises:
        StorageError: one of them is there and is something else.
    """
    path, page = folder / f"curve-{head}.csv", folder / f"curve-{head}.html"
    check_output(path, CURVE_MARK)
    check_output(page, *PAGES)
    return path, page


def write_curve(
    folder: Path, head: str, rows: Sequence[Mapping[str, Any]], floors: Mapping[str, float | None]
) -> tuple[Path, Path]:
    """Write curve-HEAD.csv, one row a size, and curve-HEAD.html, and return their paths.

    Raises:
        StorageError: the disk is full or refuses.
    """
    path, page = curve_files(folder, head)
    write_text_atomically(path, _csv(list(rows[0]), rows))
    write_text_atomically(page, curve_page(head, rows, floors))
    return path, page


def curve_page(
    head: str, rows: Sequence[Mapping[str, Any]], floors: Mapping[str, float | None]
) -> str:
    """Return a page of plots over the number of training photographs.

    Args:
        head: its name.
        rows: one a size, smallest first: `n_train`, and each metric with its `_lo` and `_hi`.
        floors: the constant head's metrics.
    """
    figures = [
        Figure(name, "", charts.growth_curve(_growth(name, rows, floors.get(name)), head))
        for name in PLOTTED
        if all(row[name] is not None for row in rows)
    ]
    return template("curve.html").render(head=head, figures=figures)


def _growth(name: str, rows: Sequence[Mapping[str, Any]], floor: float | None) -> charts.Growth:
    def column(key: str) -> FloatArray:
        return np.array([row[key] for row in rows], np.float64)

    n_train, value, lo, hi = map(column, ("n_train", name, f"{name}_lo", f"{name}_hi"))
    return charts.Growth(name, n_train, value, lo, hi, floor)
