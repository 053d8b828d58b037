"""What a sweep found: a table for people, sweep.csv for programs, a heat map for a browser.

Numpy and the standard library only.
"""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cache.files import write_text_atomically

if TYPE_CHECKING:
    from heads.experiments.sweep import Point

COLUMNS = ("lr", "l2", "dropout", "val_loss", "val_srcc", "seeds")
STYLE = (
    "body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;margin:1rem 0}"
    "th,td{padding:.4rem .7rem;text-align:right;border:1px solid #8886}"
    "td.best{outline:3px solid currentColor;font-weight:700}"
)


def rows(points: Sequence[Point]) -> list[dict[str, float]]:
    """Return one row a point, by `COLUMNS`."""
    return [
        {
            "lr": float(p.settings.lr or 0),
            "l2": p.settings.l2,
            "dropout": p.dropout,
            "val_loss": p.val_loss,
            "val_srcc": p.val_srcc,
            "seeds": len(p.val_losses),
        }
        for p in points
    ]


def table(points: Sequence[Point], chosen: Point) -> str:
    """Return an aligned table, best first, the chosen point starred."""
    order = sorted(points, key=lambda p: math.inf if math.isnan(p.val_loss) else p.val_loss)
    lines = [f"{'lr':>10} {'l2':>8} {'dropout':>8} {'val_loss':>10} {'val_srcc':>9}"]
    for point, row in zip(order, rows(order), strict=True):
        star = "  * chosen" if point is chosen else ""
        lines.append(
            f"{row['lr']:10.3g} {row['l2']:8.3g} {row['dropout']:8.2f} {row['val_loss']:10.6f} "
            f"{row['val_srcc']:9.4f}{star}"
        )
    return "\n".join(lines)


def write_csv(path: Path, points: Sequence[Point]) -> None:
    """Write one row a point, full precision; a diverged loss is empty.

    Raises:
        StorageError: the disk is full or refuses.
    """
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    lines.writeheader()
    for row in rows(points):
        lines.writerow({k: "" if math.isnan(v) else repr(v) for k, v in row.items()})
    write_text_atomically(path, text.getvalue())


def heat_map(head: str, points: Sequence[Point], chosen: Point) -> str:
    """Return a page: for each dropout a table of l2 by lr, the darker the lower the loss."""
    known = [p.val_loss for p in points if math.isfinite(p.val_loss)]
    span = (min(known), max(known))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Sweep of {html.escape(head)}</title><style>{STYLE}</style>",
        f"<h1>Sweep of {html.escape(head)}</h1><p>Loss on val and, below it, SRCC; lower loss is "
        "darker; single networks, the mean over seeds. The framed setting was chosen. Test was not "
        "looked at.</p>",
    ]
    for dropout in dict.fromkeys(p.dropout for p in points):
        here = [p for p in points if p.dropout == dropout]
        parts.append(_table(f"dropout {dropout:g}", here, chosen, span))
    return "\n".join(parts)


def _table(caption: str, points: Sequence[Point], chosen: Point, span: tuple[float, float]) -> str:
    rates = list(dict.fromkeys(p.settings.lr for p in points))
    head = "".join(f"<th scope=col>lr {rate:.3g}</th>" for rate in rates)
    body = []
    for l2 in dict.fromkeys(p.settings.l2 for p in points):
        cells = "".join(_cell(p, p is chosen, span) for p in points if p.settings.l2 == l2)
        body.append(f"<tr><th scope=row>l2 {l2:g}</th>{cells}</tr>")
    return f"<table><caption>{caption}</caption><tr><td></td>{head}</tr>{''.join(body)}</table>"


def _cell(point: Point, chosen: bool, span: tuple[float, float]) -> str:
    if not math.isfinite(point.val_loss):
        return "<td>diverged</td>"
    lo, hi = span
    shade = 1 - (point.val_loss - lo) / (hi - lo) if hi > lo else 1.0
    css = " class=best" if chosen else ""
    return (
        f"<td{css} style='background:rgb(0 114 178 / {0.05 + 0.55 * shade:.2f})'>"
        f"{point.val_loss:.5f}<br>{point.val_srcc:.3f}</td>"
    )
