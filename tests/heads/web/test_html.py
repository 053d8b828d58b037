"""Numbers as text, templates that are found and escape, a theme that can be read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from heads.web import html
from heads.web.html import Figure, decimal, environment, listed, percent

THEME = Path(html.__file__).parent / "templates" / "theme.css"


def test_numbers_have_a_real_minus_and_never_a_negative_zero() -> None:
    assert decimal(-0.5, 2) == "−0.50"
    assert decimal(-0.0001, 2) == "0.00"
    assert decimal(0.25, 2, sign=True) == "+0.25"
    assert decimal(float("nan"), 2) == "–"
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


def test_a_share_keeps_its_per_cent_on_one_line() -> None:
    assert (percent(0.754), percent(0.5, 1)) == ("75\u202f%", "50.0\u202f%")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A room with one page of its own."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "own.html").write_text(
        '{% extends "base.html" %}{% from "parts.html" import grid %}'
        "{% block title %}{{ name }}{% endblock %}"
        "{% block body %}{{ grid(figures) }}{% endblock %}"
    )
    return tmp_path


def test_a_page_has_the_theme_and_escapes_all_but_markup(room: Path) -> None:
    figure = Figure("<i>", "'\"", Markup("<svg></svg>"))
    page = environment(room).get_template("own.html").render(name="<script>", figures=[figure])
    assert THEME.read_text().splitlines()[1] in page
    assert "<title>&lt;script&gt;</title>" in page
    assert "<figcaption>&lt;i&gt; <span>&#39;&#34;</span></figcaption><svg></svg>" in page


def test_a_page_that_lacks_something_is_not_made(room: Path) -> None:
    with pytest.raises(UndefinedError, match="'figures' is undefined"):
        environment(room).get_template("own.html").render(name="a")


# --- the theme ------------------------------------------------------------------------------------


def palettes(theme: str) -> list[dict[str, str]]:
    """Return the colours of :root, light, dark and printed."""
    blocks = re.findall(r":root \{([^}]*)\}", theme)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def luminance(colour: str) -> float:
    """Return the relative luminance of '#rrggbb' (WCAG 2.1)."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", ["ink", "muted", "truth", "predicted", "good", "bad"])
def test_text_stands_out_in_light_dark_and_print(name: str) -> None:
    found = palettes(THEME.read_text())
    assert len(found) == 3
    for colours in found:
        for ground in ("paper", "surface"):
            pair = sorted((luminance(colours[name]), luminance(colours[ground])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground, colours[name])


def test_what_hides_or_reorders_text_is_shown_and_markup_stays(room: Path) -> None:
    (room / "templates" / "a.html").write_text("{{ a }}|{{ b }}|\u202e")
    page = environment(room).get_template("a.html")
    shown = page.render(a="<x\udcff\u202e>\nb", b=Markup("<b>\u202e</b>"))
    assert shown == "&lt;x\\xff\\u202e&gt;\nb|<b>\u202e</b>|\u202e"
