"""The report's last section: commands, settings, fingerprints and versions of its runs; and one run
as a few lines of text.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heads.metrics.catalogue import METRICS
from heads.metrics.comparison import StoredMetrics
from heads.models.neural.settings import ResolvedSettings
from heads.models.own.settings import OwnSettings
from heads.models.registry import HEADS
from heads.report.data import ReportData, RunData
from heads.web.html import DASH


@dataclass(frozen=True)
class Fact:
    """Something about the features: code in its own letters, and plain text."""

    name: str
    code: str = ""
    text: str = ""


def differences(run: RunData, best: RunData) -> list[str]:
    """Return what a run was made of that the best one was not, each in a few words."""
    mine, theirs = run.config, best.config
    words = [
        f"{name.replace('_', ' ')} {_short(name, value)}"
        for name, value, _ in mine.extractor.differences(theirs.extractor)
    ]
    if mine.limit != theirs.limit:
        words.append("all of train" if mine.limit is None else f"--limit {mine.limit:,}")
    for split, facts in mine.splits.items():
        other = theirs.splits[split]
        if facts.manifest_sha256 != other.manifest_sha256:
            words.append(f"other photographs or labels of {split}")
        elif not words and facts.content_sha256 != other.content_sha256:
            words.append(f"other features of {split}")
    if mine.label_note != theirs.label_note:
        words.append(f"note: {mine.label_note}" if mine.label_note else "no note on its labels")
    return words


def _short(name: str, value: Any) -> str:
    if name == "layers":
        return ", ".join(str(layer) for layer, *_ in value) if len(value) < 3 else str(len(value))
    if name == "views":
        return ", ".join(value) if len(value) < 3 else str(len(value))
    return value[:12] if name.endswith("sha256") else str(value)


@dataclass(frozen=True, eq=False)
class Repetition:
    """Enough to repeat every number.

    `settings` are in words, by the run's name; `versions` of each library, by its name, are the one
    that made the features and the one that trained the best head.
    """

    settings: dict[str, str]
    commands: list[str]
    features: list[Fact]
    versions: dict[str, tuple[str, str]]


def repetition(data: ReportData) -> Repetition:
    """Return commands, settings, fingerprints and versions."""
    heads, features = data.best.config.library_versions, data.cache.library_versions
    return Repetition(
        settings={run.name: settings_words(run) for run in data.runs},
        commands=[_command(data.folder.resolve() / run.name) for run in data.runs],
        features=_features(data),
        versions={
            name: (str(features.get(name, DASH)), str(heads.get(name, DASH)))
            for name in sorted({*heads, *features})
        },
    )


def _command(folder: Path) -> str:
    return f"heads train --out again --config {shlex.quote(str(folder / 'config.json'))}"


def settings_words(run: RunData) -> str:
    """Return the settings that are not the head's defaults, and what a penalty was chosen on."""
    resolved, differing = run.config.resolved, _differing(run)
    if isinstance(resolved, OwnSettings):
        return f"{resolved.place} ({resolved.code})"
    listed = ", ".join(f"{k.replace('_', '-')} {json.dumps(v)}" for k, v in differing.items())
    if not isinstance(resolved, ResolvedSettings):
        chosen = run.choice and f"penalty {run.choice.penalty:.2g}, chosen on {run.choice.on}"
        return "; ".join(words for words in (listed, chosen) if words) or "none"
    many = resolved.ensemble
    networks = f" (average of {many} networks)" if many > 1 else ""
    if not differing:
        return "the defaults" + networks
    if run.config.settings == HEADS[run.config.head].blog_settings:
        return "the blog's settings"
    return listed + networks


def is_usual(run: RunData) -> bool:
    """Whether there is nothing to say: no settings, or one network with the head's defaults."""
    resolved = run.config.resolved
    many = resolved.ensemble if isinstance(resolved, ResolvedSettings) else 1
    return many == 1 and not _differing(run)


def _differing(run: RunData) -> dict[str, Any]:
    """Return the settings that are not the head's defaults."""
    if run.config.head not in HEADS:
        return {}
    usual, given = HEADS[run.config.head].default_settings, run.config.settings
    return {name: value for name, value in vars(given).items() if vars(usual)[name] != value}


def _features(data: ReportData) -> list[Fact]:
    config, extractor, rule = data.best.config, data.best.config.extractor, data.cache.split_rule
    return [
        Fact("features", str(data.best.features)),
        Fact("photographs", str(data.photographs_root or data.cache.data_root)),
        Fact("labels", text=data.note or "as people gave them"),
        Fact("split", text=f"{rule.rule}, seed {rule.seed}"),
        Fact("extractor's fingerprint", extractor.sha256),
        *(
            Fact(name.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
            for name, value in extractor.to_dict().items()
        ),
        *(
            Fact(f"manifest of {split}", facts.manifest_sha256, f"{facts.n:,} photographs")
            for split, facts in config.splits.items()
        ),
    ]


# --- one run as text ------------------------------------------------------------------------------


def describe(path: Path, metrics: Mapping[str, Any]) -> str:
    """Return a few lines: where the run lies, and its metrics beside the floor's."""
    stored = StoredMetrics(metrics)
    lines = [
        f"{path}: {metrics['head']}, trained on {metrics['n_train']:,} photographs in "
        f"{metrics['fit_seconds']:.1f} s, measured on {metrics['n']:,} of {metrics['split']}.",
        f"{'':14}{'head':>9}  {'95 % interval':>20}  {'floor':>9}  verdict",
    ]
    # The confusion matrix has no place in a column.
    lines += [_line(name, stored) for name in METRICS if name != "confusion"]
    return "\n".join(line for line in [*lines, _without_duplicates(metrics)] if line)


def _without_duplicates(metrics: Mapping[str, Any]) -> str:
    """Return a line about photographs of test that look like one of training; '' for none."""
    found = metrics.get("duplicates", {})
    if not found.get("n"):
        return ""
    start = f"{found['n']:,} photographs of {metrics['split']} look like one of training"
    srcc = (found.get("without") or {}).get("srcc")
    return f"{start}; without them: " + ("nothing is left" if srcc is None else f"srcc {srcc:.4f}")


def _line(name: str, stored: StoredMetrics) -> str:
    """Return one metric's line: nothing if it does not apply, a dash if the run lacks it."""
    value, floor, verdict = stored.value(name), stored.floor(name), stored.verdict(name)
    if name not in stored:
        return f"{name:14}{'-':>9}"
    if value is None:
        return ""
    lo, hi = stored.interval(name)
    span = "" if lo is None or hi is None else f"[{lo:.4f}, {hi:.4f}]"
    shown = "" if floor is None else f"{floor:.4f}"
    words = "" if verdict is None else verdict.words
    return f"{name:14}{value:9.4f}  {span:>20}  {shown:>9}  {words}".rstrip()
