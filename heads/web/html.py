"""Pages from templates: where they are found, one look for all of them, and numbers as text.

Whatever a page shows is escaped as it is put in, except the markup that charts return. Knows no
metric: imports nothing of heads but itself.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cache.files import Mark
from cache.text import visible

DASH = "–"
# What tells a page of ours that may be replaced: the template says it; pages of earlier versions
# had the policy alone.
PAGES = (
    Mark(b"<!doctype html>", b'<meta name="generator" content="aesthetic-heads">'),
    Mark(b"<!doctype html>", b"content=\"default-src 'none'; img-src data:"),
)


@dataclass(frozen=True)
class Figure:
    """A plot, the name above it, and a few words behind the name."""

    name: str
    about: str
    plot: Markup


def environment(room: Path) -> Environment:
    """Return the templates in `room`/templates, and behind them those that all pages share."""
    folders = [room / "templates", Path(__file__).parent / "templates"]
    found = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["DASH"] = DASH
    found.filters |= {
        "allowed": allowed,
        "decimal": decimal,
        "listed": listed,
        "nested": nested,
        "percent": percent,
        "thousands": "{:,}".format,
    }
    return found


def _visible(value: object) -> object:
    """Show in texts from outside what would reorder or hide them, or is no character at all."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def allowed(content: str) -> Markup:
    """Return what a page's policy says of its one style sheet or script: its hash, or none at all.

    A browser applies no other, and neither attributes with styles nor handlers of events.
    """
    if not content:
        return Markup("'none'")
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode('ascii')}'")


def nested(style: str, css: str) -> Markup:
    """Return a page's style sheet as that of an element of a class, in a page of somebody else's.

    CSS nesting: the rules of the whole page become those of the element, all others reach no
    further.
    """
    inner = str(style).replace(":root", "&").replace("\nbody {", "\n& {")
    return Markup(f".{css} {{{inner}}}")


def decimal(value: float, decimals: int, *, sign: bool = False) -> str:
    """Return a number with a real minus sign; never minus zero."""
    if not math.isfinite(value):
        return DASH
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """Return a share as '75 %', kept on one line."""
    return f"{100 * share:.{decimals}f}\u202f%"


def listed(names: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
