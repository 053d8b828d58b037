"""The report's last section: commands, settings, fingerprints and versions of its runs."""

from __future__ import annotations

import json
import shlex
from html import escape

from heads.models.neural.settings import ResolvedSettings
from heads.models.registry import HEADS
from heads.report.data import ReportData, RunData
from heads.web.html import DASH, Cell, Table, decimal, facts_table, scroll

DEFAULTS, DIRECT = "the defaults", "none, solved directly"


def run_section(data: ReportData) -> str:
    """Return commands, settings, fingerprints and versions: enough to repeat every number."""
    return (
        "<section id=run><h2>What exactly was run?</h2>\n"
        f"{scroll('The runs', _runs_table(data))}\n"
        f"<h3>The same run again</h3><pre><code>{_commands(data)}</code></pre>\n"
        f"<h3>Features</h3>{scroll('The features', _features_table(data))}\n"
        f"<h3>Versions</h3>{scroll('Versions', _versions_table(data))}</section>"
    )


def _runs_table(data: ReportData) -> str:
    rows = [_run_row(run) for run in data.runs]
    headings = ("run", "head", "trained on", "seconds", "epochs", "seed", "settings", "identity")
    return Table("The runs and how they were trained", headings, rows).html()


def _run_row(run: RunData) -> tuple[Cell, ...]:
    config, seconds = run.config, run.metrics["fit_seconds"]
    return (
        Cell(escape(run.name), run.name),
        Cell(escape(config.head), config.head, "left"),
        Cell(f"{run.metrics['n_train']:,}", run.metrics["n_train"]),
        Cell(decimal(seconds, 1), seconds),
        Cell(str(len(run.history)) if run.history else DASH, len(run.history) or ""),
        Cell(str(config.seed), config.seed),
        Cell(settings_words(run), "", "left"),
        Cell(f"<code>{config.identity[:12]}</code>", config.identity),
    )


def settings_words(run: RunData) -> str:
    """Return the settings that are not the head's defaults, as text of the page."""
    resolved = run.config.resolved
    if not isinstance(resolved, ResolvedSettings):
        return DIRECT
    many = resolved.ensemble
    networks = f" (average of {many} networks)" if many > 1 else ""
    entry, settings = HEADS[run.config.head], run.config.settings
    usual = entry.default_settings.to_dict() or {}
    differing = {k: v for k, v in (settings.to_dict() or {}).items() if usual[k] != v}
    if not differing:
        return DEFAULTS + networks
    if settings == entry.blog_settings:
        return "the blog's settings"
    listed = ", ".join(f"{k.replace('_', '-')} {json.dumps(v)}" for k, v in differing.items())
    return escape(listed) + networks


def _commands(data: ReportData) -> str:
    files = [data.folder.resolve() / run.name / "config.json" for run in data.runs]
    lines = [f"heads train --out again --config {shlex.quote(str(file))}" for file in files]
    return escape("\n".join(lines))


def _features_table(data: ReportData) -> str:
    config, extractor = data.best.config, data.best.config.extractor
    rule = data.cache.split_rule
    facts = [
        ("features", f"<code>{escape(config.features_dir)}</code>"),
        ("photographs", f"<code>{escape(str(data.cache.data_root))}</code>"),
        ("labels", escape(data.note) or "as people gave them"),
        ("split", escape(f"{rule.rule}, seed {rule.seed}")),
        ("extractor's fingerprint", f"<code>{extractor.sha256}</code>"),
        *(
            (name.replace("_", " "), f"<code>{escape(_plain(value))}</code>")
            for name, value in extractor.to_dict().items()
        ),
        *(
            (
                f"manifest of {split}",
                f"<code>{facts.manifest_sha256}</code> {facts.n:,} photographs",
            )
            for split, facts in config.splits.items()
        ),
    ]
    return facts_table("What the features were made of", facts)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _versions_table(data: ReportData) -> str:
    heads, features = data.best.config.library_versions, data.cache.library_versions
    rows = [
        (
            Cell(escape(name), name),
            Cell(escape(str(features.get(name, DASH))), "", "left"),
            Cell(escape(str(heads.get(name, DASH))), "", "left"),
        )
        for name in sorted({*heads, *features})
    ]
    headings = ("library", "features made with", "heads trained with")
    return Table("What the numbers depend on", headings, rows, css="versions").html()
