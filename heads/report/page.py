"""The report's page: which head to use, by how much it wins, whether to trust that, what was run.

Owns the order of the sections and their words. What each head does wrong is in `report_mistakes`.
"""

from __future__ import annotations

from html import escape

import numpy as np

from heads.metrics.bootstrap import COVERAGE, DRAWS, Verdict
from heads.metrics.comparison import Contest
from heads.report.data import RANKED_BY, ReportData, RunData, scale_text, title
from heads.report.mistakes import mistakes_section, others_section
from heads.report.photos import Album
from heads.report.plots import side_by_side, training_section
from heads.report.ranking import ranking_section
from heads.report.run import run_section
from heads.web.html import (
    COVERED,
    Cell,
    Table,
    decimal,
    interval_text,
    listed,
    mark,
    page_file,
    percent,
    scroll,
    shown,
)

# The page asks nothing of any network; the browser is told to hold it to that.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SECTIONS = (
    ("answer", "Which head"),
    ("ranking", "Against the floor"),
    ("trust", "Can I trust it"),
    ("mistakes", "What it gets wrong"),
    ("side", "Side by side"),
    ("training", "Training"),
    ("others", "Other heads"),
    ("run", "What was run"),
)
FACTS = (
    ("srcc", "Rank correlation, SRCC"),
    ("mse", "Squared error, MSE"),
    ("emd_r2", "Distributions, EMD"),
    ("acc", "Right labels"),
    ("auc", "Area under the ROC"),
)


def render(data: ReportData, album: Album) -> str:
    """Return the whole page as one HTML document that needs nothing else."""
    style, script = page_file("report.css"), page_file("report.js")
    links = "".join(f'<a href="#{name}">{words}</a>' for name, words in SECTIONS)
    sections = "\n".join(
        (
            answer_section(data),
            ranking_section(data),
            trust_section(data),
            mistakes_section(data, album),
            side_by_side(data),
            training_section(data),
            others_section(data, album),
            run_section(data),
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title(data))}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
{album.definitions()}
<header>
{headline(data)}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
<footer>{escape(title(data))}. Made by aesthetic-heads {escape(_version(data))}.</footer>
<script>
{script}</script>
</body>
</html>
"""


def headline(data: ReportData) -> str:
    """Return the heading: data, number of photographs, scale, threshold and the labels' note."""
    labels, splits = data.labels, data.best.config.splits
    names = "head" if len(data.runs) == 1 else "heads"
    note = f"<p class=note>Note: {escape(data.note)}</p>" if data.note else ""
    left_out = ""
    if data.left_out:
        reasons = "; ".join(f"{name} ({why})" for name, why in data.left_out.items())
        left_out = f"<p class=muted>Left out: {escape(reasons)}</p>"
    counts = ", ".join(
        f"{splits[split].n:,} to {use}"
        for split, use in (("train", "train"), ("val", "choose on"), ("test", "measure on"))
        if split in splits
    )
    return (
        f"<h1>{escape(data.name)}: {len(data.runs)} {names} on {len(labels):,} photographs</h1>\n"
        f"<p class=about>Scores on the scale {scale_text(labels.scale)}; beautiful means a mean "
        f"above {escape(labels.threshold)}. Photographs: {counts}.</p>{note}{left_out}"
    )


# --- which head -----------------------------------------------------------------------------------


def answer_section(data: ReportData) -> str:
    """Return the answer in one sentence, and the few numbers behind it."""
    best, labels = data.best, data.labels
    wins = best.stored.verdict(RANKED_BY) is Verdict.BEATS
    lo, hi = best.stored.interval(RANKED_BY)
    if wins:
        ceiling = (
            ""
            if data.ceiling is None
            else f", the ceiling {shown('srcc', data.ceiling.srcc_ceiling)}"
        )
        words = (
            f"Its scores put the {len(labels):,} test photographs most nearly in the order that "
            "people put them in: a rank correlation (SRCC) of "
            f"{shown('srcc', best.value('srcc'))}, with a {COVERED} interval of "
            f"{interval_text('srcc', lo, hi)}. The floor has 0{ceiling}."
        )
    else:
        words = (
            f"On these {len(labels):,} photographs no head is shown to order them better than one "
            "answer for all. More photographs, or other features, are needed before any of them "
            "is worth using."
        )
    head = f"Use {escape(best.name)}" if wins else "None of them yet"
    return (
        "<section class=answer id=answer><h2>Which head should I use?</h2>\n"
        f"<p class=head>{head}</p><p>{words}</p>{_peers(data) if wins else ''}\n"
        f"{_facts(best)}</section>"
    )


def _peers(data: ReportData) -> str:
    peers = [escape(name) for name, c in data.contests.items() if c.winner is None]
    if not data.contests:
        return ""
    if not peers:
        return "<p>It is ahead of every other head by more than chance.</p>"
    if len(peers) == 1:
        return f"<p>{peers[0]} cannot be told apart from it here and will do as well.</p>"
    return (
        f"<p>{listed(peers)} cannot be told apart from it on these photographs; "
        "take the one that suits you.</p>"
    )


def _facts(run: RunData) -> str:
    parts = []
    for metric, name in FACTS:
        if run.value(metric) is None:
            continue
        lo, hi = run.stored.interval(metric)
        parts.append(
            f"<div><dt>{name}</dt>"
            f"<dd>{shown(metric, run.value(metric))}{mark(run.stored.verdict(metric))}"
            f"<small>{interval_text(metric, lo, hi)}</small>"
            f"<small>floor {shown(metric, run.stored.floor(metric))}</small></dd></div>"
        )
    return f"<dl class=facts>{''.join(parts)}</dl>"


# --- can I trust it -------------------------------------------------------------------------------


def trust_section(data: ReportData) -> str:
    """Return what the intervals mean, how far people agree, and the contests with the best."""
    labels = data.labels
    unit = "photographs"
    if (labels.group != "").any():
        unit = (
            f"groups of photographs ({len(np.unique(labels.group)):,} of them), never parts of one"
        )
    width = " "
    lo, hi = data.best.stored.interval(RANKED_BY)
    if lo is not None and hi is not None and hi - lo > 0.1:
        width = (
            f" {len(labels):,} photographs leave an interval {decimal(hi - lo, 2)} wide: small "
            "differences between heads cannot be seen with so few. "
        )
    return (
        "<section id=trust><h2>Can I trust that?</h2>\n"
        f"<p>Every interval comes from {DRAWS:,} bootstrap draws of whole {unit}; the true value "
        f"lies inside {100 * COVERAGE:.0f} times of 100.{width}The head on top was chosen by the "
        "very photographs it is measured on, which flatters it a little.</p>\n"
        f"{_ceiling_words(data)}{_contest_table(data)}</section>"
    )


def _ceiling_words(data: ReportData) -> str:
    ceiling = data.ceiling
    if ceiling is None:
        why = "are means without votes" if data.labels.votes is None else "have too few votes"
        return f"<p>The labels {why}, so how far people agree is not known.</p>"
    votes, left_out = data.labels.n_votes, len(data.labels) - ceiling.n_photos
    without = f" ({left_out:,} photographs with one vote are left out)" if left_out else ""
    srcc, reaches = data.best.value("srcc"), ""
    if srcc is not None:
        reached = percent(srcc / max(ceiling.srcc_ceiling, 1e-9))
        reaches = f" {escape(data.best.name)} reaches {reached} of that ceiling."
    return (
        f"<p>Each photograph has {int(votes.min()):,} to {int(votes.max()):,} votes. One half of "
        f"them predicts the other so well that their mean has a reliability of "
        f"{decimal(ceiling.srcc, 3)}{without}; a head that knew what everybody thinks would "
        f"reach an SRCC of {decimal(ceiling.srcc_ceiling, 3)} here.{reaches}</p>"
    )


def _contest_table(data: ReportData) -> str:
    if not data.contests:
        return ""
    best = escape(data.best.name)
    rows = [_contest_row(name, contest) for name, contest in data.contests.items()]
    caption = f"SRCC of {best} minus that of the other head, on the same draws"
    table = Table(caption, ("other head", f"difference, {COVERED} interval", "better"), rows)
    return f"<h3>Is {best} better than the others?</h3>{scroll(caption, table.html())}"


def _contest_row(name: str, contest: Contest) -> tuple[Cell, ...]:
    ends = contest.difference, contest.lo, contest.hi
    difference, low, high = (decimal(end, 4, sign=True) for end in ends)
    winner = contest.winner or Verdict.CANNOT_TELL.words
    return (
        Cell(escape(name), name),
        Cell(f"{difference}<small>{low} to {high}</small>", contest.difference),
        Cell(escape(winner), winner),
    )


def _version(data: ReportData) -> str:
    return data.best.config.library_versions.get("aesthetic-heads", "")
