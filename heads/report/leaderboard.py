"""The comparison of heads: a table for people, a CSV for programs, and the verdicts in words."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache.files import Mark, write_text_atomically
from cache.text import LONGEST_LINE, CsvLines, harmless_cell, shown
from heads.data.labels import Labels
from heads.experiments.compare import Comparison, Entry, Title
from heads.experiments.contests import Pair
from heads.experiments.duplicates import Found
from heads.metrics.bootstrap import DRAWS, Verdict
from heads.metrics.catalogue import CHOOSING, METRICS, for_table, ranked_by
from heads.metrics.comparison import Contest, Measured, Measures, Sample, contest, verdicts
from heads.metrics.reliability import ceiling, choice_ceiling
from heads.models.registry import FLOOR, about_head

MARK = Mark(b"head,srcc,")  # how leaderboard.csv starts
NO_VALUE = ""
WITH_WIDTH = ("srcc", "acc", "auc")
# (metric, heading, whether half the interval's width is shown behind the value)
SHOWN = tuple((name, m.heading, name in WITH_WIDTH) for name, m in METRICS.items() if m.heading)
WIDTH = 118
# Below some twenty clusters resampling them understates what they vary by (Cameron, Gelbach and
# Miller, "Bootstrap-Based Improvements for Inference with Clustered Errors", 2008, section 1).
FEW_GROUPS = 20
FINGERPRINT_DIGITS = 12


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """Return the floor first, then the others by falling SRCC, or AUC for labels of 0 and 1."""

    def key(entry: Entry) -> tuple[bool, float]:
        by = ranked_by(entry.sample.labels)
        value = for_table(by, _number(entry.measures[by].value))
        return entry.head != FLOOR, -(value or 0.0)

    return sorted(entries, key=key)


def render(comparison: Comparison) -> str:
    """Return the title, the table, what surrounds it, verdicts and contests as plain text."""
    rows = best_first(comparison.entries)
    parts = [
        title_lines(comparison.title),
        [table(rows), *_failed_lines(comparison.failed)],
        _ceiling_lines(rows[0].sample.labels)
        + _metadata_lines(rows)
        + _within_lines(rows)
        + _deviation_lines(rows),
        _interval_lines(rows),
        _choosing_lines(rows),
        _duplicate_lines(comparison.found, rows),
        _verdict_lines(rows),
        _best_lines(rows),
        _pair_lines(comparison.pairs),
        _layer_lines(comparison.layers),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _failed_lines(failed: Mapping[str, Exception]) -> list[str]:
    """Name the heads of one's own that raised, each with its error."""
    return [
        line
        for name, error in failed.items()
        for line in _wrapped(f"{name}  failed: ", failure(error))
    ]


def failure(error: Exception) -> str:
    """Return an error in a line, in characters that can be shown."""
    return shown(f"{type(error).__name__}: {error}".replace("\n", " "))


def title_lines(title: Title) -> list[str]:
    """Return what was compared on what, in sentences."""
    unit = f"whole groups, {title.groups:,} of them" if title.groups else "photographs"
    means = "pair_acc is the share of comparisons that a head puts in people's order"
    if title.threshold:
        means = f"beautiful means a mean above {title.threshold}"
    few = f" Intervals of fewer than {FEW_GROUPS} groups come out too narrow."
    return [
        *([f"Note: {shown(title.label_note, LONGEST_LINE)}."] if title.label_note else []),
        f"{shown(title.features_dir)}: {title.n:,} photographs of {title.split}, trained on "
        f"{title.trained_on}; {means}.",
        f"± is half of the 95 % interval ({DRAWS:,} bootstrap resamples of {unit}); blank where a "
        "metric does not apply." + few * (0 < title.groups < FEW_GROUPS),
    ]


def _ceiling_lines(labels: Labels) -> list[str]:
    known = ceiling(labels, seed=0)
    if known is None:
        return []
    left_out = len(labels) - known.n_photos
    return _wrapped(
        "Noise ceiling: ",
        f"even the true means would correlate with these votes by srcc {known.srcc_ceiling:.3f} "
        f"and plcc {known.plcc_ceiling:.3f} only (halves of the votes against each other"
        + (f"; without {left_out:,} photographs that have one vote" if left_out else "")
        + ").",
    )


def _metadata_lines(entries: Sequence[Entry]) -> list[str]:
    """Say at what heads rank that know only size, bytes, tags or challenge."""
    parts, shared = [], False
    for entry in entries:
        if about_head(entry.head).looks_at_metadata:
            srcc = entry.measures["srcc"]
            ends = (for_table("srcc", _number(end)) for end in (srcc.value, srcc.lo, srcc.hi))
            value, lo, hi = (end or 0.0 for end in ends)
            parts.append(f"{entry.head} {value:.3f} [{lo:.3f}, {hi:.3f}]")
            shared |= lo > 0
    tail = ". What other heads gain on 0 they may partly owe to the same" * shared
    start = "Photographs' metadata alone, srcc: "
    return _wrapped(start, ", ".join(parts) + tail + ".") if parts else []


def _within_lines(entries: Sequence[Entry]) -> list[str]:
    known = [(entry.head, entry.sample.within) for entry in entries]
    parts = [f"{head} {value:.3f}" for head, value in known if value is not None and value == value]
    return _wrapped("Within challenges, srcc: ", ", ".join(parts)) if parts else []


def _choosing_lines(entries: Sequence[Entry]) -> list[str]:
    """Say how often each head chooses right in a group, beside chance and the votes' two halves."""
    labels = entries[0].sample.labels
    if labels.pairs_alone:
        n = 0 if labels.pairs is None else len(labels.pairs)
        return [f"{n:,} comparisons are of two of these photographs. {FLOOR} is chance."]
    known = choice_ceiling(labels, seed=0)
    if known is None:
        return []
    grid = [
        ["", *CHOOSING],
        *([e.head, *(_with_ends(e.measures, m) for m in CHOOSING)] for e in entries),
    ]
    if known.metrics is not None:
        grid.append(["half of the votes", *(f"{known.metrics[m]:.3f}" for m in CHOOSING)])
    facts = (
        f"{known.n_groups:,} of two or more; {known.n_told:,} of their {known.n_pairs:,} pairs "
        f"have an order that the votes tell. {FLOOR} is chance."
    )
    lines = [*_wrapped("Choosing within groups, ", facts), *_aligned(grid)]
    called = {entry.head: _decided(entry.measures) for entry in entries}
    parts = [f"{head} {words}" for head, words in called.items() if words]
    return lines + (_wrapped("Not too close to call: ", "; ".join(parts) + ".") if parts else [])


def _decided(measures: Measures) -> str:
    """Return what share of pairs a head decides and what share of these is right; '' if unknown."""
    decided, right = (_number(measures[name].value) for name in ("decided", "decided_acc"))
    if decided is None or math.isnan(decided):
        return ""
    if not decided or right is None:
        return "no pair"
    return f"{decided:.3f} of the pairs, {right:.3f} of them right"


def _interval_lines(entries: Sequence[Entry]) -> list[str]:
    """Say how many true means the heads' 90 % intervals hold, and how wide they are."""
    parts = []
    for entry in entries:
        held, width = (_number(entry.measures[m].value) for m in ("coverage", "interval_width"))
        if held is not None and width is not None and not math.isnan(held):
            parts.append(f"{entry.head} {held:.3f} (width {width:.2f})")
    return _wrapped("Means within their 90 % intervals: ", ", ".join(parts) + ".") if parts else []


def _with_ends(measures: Measures, metric: str) -> str:
    """Return a value with its interval, 'v [lo, hi]'; nothing where it is not defined."""
    measured = measures[metric]
    value, lo, hi = map(_number, (measured.value, measured.lo, measured.hi))
    if value is None or math.isnan(value):
        return NO_VALUE
    known = lo is not None and hi is not None and math.isfinite(lo + hi)
    return f"{value:.3f}" + (f" [{lo:.3f}, {hi:.3f}]" if known else "")


def _duplicate_lines(found: Found | None, entries: Sequence[Entry]) -> list[str]:
    if found is None or not found.n_measured:
        return []
    by = ranked_by(entries[0].sample.labels)
    known = [(e.head, e.without[by]) for e in entries if e.without is not None]
    parts = [f"{head} {value:.3f}" for head, value in known if value is not None]
    start = f"Without {found.n_measured:,} that look like photographs of training, {by}: "
    return _wrapped(start, ", ".join(parts) or "nothing is left to measure on")


def _deviation_lines(entries: Sequence[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        shown = [
            f"{name} {_number(entry.measures[name].value):.{_decimals(name)}f} ± {deviation:.4f}"
            for name, deviation in entry.deviation.items()
            if name in {column for column, *_ in _columns(entries)}
        ]
        if shown and not about_head(entry.head).constant:
            start = f"  {entry.head}, {entry.repeats} runs: "
            lines += _wrapped(start, ", ".join(shown))
    return ["Mean and standard deviation over runs:", *lines] if lines else []


def _columns(entries: Sequence[Entry]) -> tuple[tuple[str, str, bool], ...]:
    """Return the columns of the table, as `SHOWN`; comparisons alone have one metric."""
    alone = entries[0].sample.labels.pairs_alone
    return (("pair_acc", "pair_acc", True),) if alone else SHOWN


def table(entries: Sequence[Entry]) -> str:
    """Return the aligned table, at most 120 columns wide."""
    columns = _columns(entries)
    grid = [["head", *(heading for _, heading, _ in columns)]]
    grid += [
        [e.head + " = floor" * (e.head == FLOOR), *(_cell(e.measures, *c) for c in columns)]
        for e in entries
    ]
    return "\n".join(_aligned(grid))


def _aligned(grid: Sequence[Sequence[str]]) -> list[str]:
    """Align columns right, the first left, below a ruled heading."""
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    lines = [
        row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in grid
    ]
    return [lines[0], "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])]


def _cell(measures: Measures, metric: str, heading: str, with_interval: bool) -> str:
    measured = measures[metric]
    value = for_table(metric, _number(measured.value))
    if value is None or not math.isfinite(value):
        return NO_VALUE
    text = f"{value:.{_decimals(metric)}f}"
    if with_interval and measured.lo is not None and measured.hi is not None:
        half = (measured.hi - measured.lo) / 2
        text += f" ±{half:.3f}" if math.isfinite(half) else "       "
    return text


def _decimals(metric: str) -> int:
    return min(METRICS[metric].decimals, 4)


def _verdict_lines(entries: Sequence[Entry]) -> list[str]:
    lines = ["Against the floor (95 % interval of the paired difference):"]
    # The other metrics are in leaderboard.csv; a verdict on each of them would bury the answer.
    judged = [name for name, *_ in _columns(entries) if METRICS[name].higher_is_better is not None]
    for entry in entries:
        if entry.head == FLOOR:
            continue
        known = verdicts({name: entry.measures[name] for name in judged})
        parts = [f"{kind.words} in {', '.join(known[kind])}" for kind in Verdict if kind in known]
        lines += _wrapped(f"  {entry.head}: ", "; ".join(parts) or "nothing to compare")
    return lines


def _best_lines(entries: Sequence[Entry]) -> list[str]:
    looking = [e for e in entries if about_head(e.head).looks_at_photographs]
    lines = []
    for other in looking[1:]:
        best = looking[0]
        by = ranked_by(best.sample.labels)
        found = contest((best.head, best.sample), (other.head, other.sample), (by,))
        lines += _wrapped(f"  {other.head}: ", _contest_words(found)) if found else []
    if not lines:
        return []
    start = f"{looking[0].head}, the first of this table, against the others (paired differences):"
    return [start, *lines]


def _pair_lines(pairs: Sequence[Pair]) -> list[str]:
    lines = []
    for pair in pairs:
        start = f"  {pair.network.name} against {pair.linear.name}: "
        lines += _wrapped(start, _contest_words(pair.contests))
        lines += _wrapped("    bought ", _bought(pair))
    start = (
        "Linear against neural: the same features and labels, network minus linear head, paired:"
    )
    return [start, *lines] if lines else []


def _bought(pair: Pair) -> str:
    """Say what the network gained, and what both took."""
    ahead = [c.metric for c in pair.contests if c.winner == pair.network.name]
    gains = [
        f"{name} {_plain(pair.linear.sample, name)} to {_plain(pair.network.sample, name)}"
        for name in ahead
    ]
    gained = " and ".join(gains) or "nothing that these photographs show"
    mine, theirs = pair.network.cost, pair.linear.cost
    return (
        f"{gained}, for {mine.time} instead of {theirs.time} a fit and {mine.size} instead of "
        f"{theirs.size} of model"
    )


def _plain(sample: Sample, metric: str) -> str:
    value = for_table(metric, _number(sample.bootstrap.values[metric]))
    return NO_VALUE if value is None else f"{value:.{_decimals(metric)}f}"


def _layer_lines(layers: Mapping[str, Sequence[Contest]]) -> list[str]:
    lines = []
    for head, contests in layers.items():
        lines += _wrapped(f"  {head}: ", _contest_words(contests))
    start = "All layers (multi) against the last one (top): the same folds, paired differences:"
    return [start, *lines] if lines else []


def _contest_words(contests: Sequence[Contest]) -> str:
    parts = []
    for c in contests:
        # A zero is +0.000.
        value, lo, hi = (f"{v + 0.0:+.{_decimals(c.metric)}f}" for v in (c.difference, c.lo, c.hi))
        winner = f"{c.winner} is better" if c.winner else "the data cannot tell them apart"
        parts.append(f"{c.metric} {value} [{lo}, {hi}] {winner}")
    return "; ".join(parts)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        start + text, WIDTH, subsequent_indent=" " * len(start), break_on_hyphens=False
    )


# --- leaderboard.csv ------------------------------------------------------------------------------


def csv_columns(*, with_deviation: bool = False) -> list[str]:
    """Return the header of leaderboard.csv."""
    metrics = [name + end for name in METRICS for end in ("", "_lo", "_hi")]
    spread = ["repeats", *(f"{name}_sd" for name in METRICS)] if with_deviation else []
    return ["head", *metrics, "n", "n_train", "run", "features", *spread]


def write_csv(
    path: Path, entries: Sequence[Entry], failed: Mapping[str, Exception] | None = None
) -> None:
    """Write one row a head, floor first; undefined correlations are 0, what does not apply empty.

    Where heads failed, their rows come last, and a last column holds the error.

    Raises:
        StorageError: the disk is full or refuses.
    """
    repeated = any(entry.repeats > 1 for entry in entries)
    columns = csv_columns(with_deviation=repeated) + ["error"] * bool(failed)
    text = io.StringIO()
    lines = csv.DictWriter(CsvLines(text), columns, extrasaction="ignore")
    lines.writeheader()
    lines.writerows(
        {name: harmless_cell(_cell_text(cell)) for name, cell in row.items()}
        for row in rows(entries, failed)
    )
    write_text_atomically(path, text.getvalue())


def rows(
    entries: Sequence[Entry], failed: Mapping[str, Exception] | None = None
) -> list[dict[str, Any]]:
    """Return one row a head, the best below the floor: each metric with the ends of its interval.

    Undefined correlations are 0, what does not apply is None. A head that failed, at the end, has
    its `error` alone.
    """
    errors = [{"head": name, "error": failure(each)} for name, each in (failed or {}).items()]
    return [*map(_row, best_first(entries)), *errors]


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"head": entry.head}
    for name, measured in entry.measures.items():
        row |= _cells(name, measured)
    row |= {"n": len(entry.sample.labels), "n_train": entry.n_train, "run": entry.run}
    row |= {"features": entry.features[:FINGERPRINT_DIGITS], "repeats": entry.repeats}
    return row | {f"{name}_sd": value for name, value in entry.deviation.items()}


def _cells(name: str, measured: Measured) -> dict[str, Any]:
    if isinstance(measured.value, list):
        return {name: measured.value, f"{name}_lo": None, f"{name}_hi": None}
    ends = {"": measured.value, "_lo": measured.lo, "_hi": measured.hi}
    return {name + end: for_table(name, value) for end, value in ends.items()}


def _cell_text(cell: Any) -> Any:
    return repr(cell) if isinstance(cell, float) else cell


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None
