"""The page of `heads curve`: what more photographs bring, as plots for a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from heads.web import charts as plots
from heads.web.html import COVERED, figure, grid, page_file

# Drawn where the head has them.
PLOTTED = ("srcc", "emd_r2", "mse", "auc")


def growth_page(
    head: str, rows: Sequence[Mapping[str, Any]], floors: Mapping[str, float | None]
) -> str:
    """Return a page of plots over the number of training photographs.

    Args:
        head: its name.
        rows: one a size, smallest first: `n_train`, and each metric with its `_lo` and `_hi`.
        floors: the constant head's metrics.
    """
    figures = [
        figure(name, plots.growth_curve(_growth(name, rows, floors.get(name)), head))
        for name in PLOTTED
        if all(row[name] is not None for row in rows)
    ]
    title = f"What more photographs bring to {escape(head)}"
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width'><title>{title}</title>"
        f"<style>\n{page_file('report.css')}</style>\n<h1>{title}</h1>\n"
        "<p>Each point is a head trained on the first so many photographs and measured on the same "
        f"test photographs; its line is the {COVERED} interval, the dotted line the floor.</p>\n"
        f"{grid(figures)}\n"
    )


def _growth(name: str, rows: Sequence[Mapping[str, Any]], floor: float | None) -> plots.Growth:
    columns = {
        column: np.array([row[column] for row in rows], np.float64)
        for column in ("n_train", name, f"{name}_lo", f"{name}_hi")
    }
    return plots.Growth(name, *columns.values(), floor=floor)
