"""A comparison as a notebook shows it."""

from __future__ import annotations

from pathlib import Path

from heads import compare, load_splits
from heads.report.board import board_html


def test_the_board_is_the_reports_table_without_scripts_and_keeps_its_style(
    planted: Path, tmp_path: Path
) -> None:
    board = compare(load_splits(planted), ["ridge"], tmp_path)
    html = board_html(board)
    assert html == board._repr_html_()
    assert html.index('data-value="constant"') < html.index('data-value="ridge"')
    assert "is the floor" in html
    assert "beats its floor" in html
    assert "<svg" in html
    assert "<script" not in html
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    assert style.startswith(".aesthetic-board {")
    assert ":root" not in style
    assert "\nbody" not in style
