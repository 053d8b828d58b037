"""`heads list`: the finished runs, what they were trained on and how good they are; the heads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache import console
from cache.text import LONGEST_LINE, shown
from heads.cli import options as cli_options
from heads.errors import RunError
from heads.models.registry import HEADS

SHOWN = ("srcc", "emd_r2", "mse", "acc", "auc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads list`."""
    cli_options.add_runs(parser)
    cli_options.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the runs of a folder, then each head with its summary; 1 if a run is damaged."""
    from heads.runs.folder import find_runs

    runs, heads = [_run_row(path) for path in find_runs(options.runs)], _heads()
    code = console.EXIT_PROBLEM if any(row["error"] for row in runs) else console.EXIT_OK
    if options.json:
        print(json.dumps({"runs": runs, "heads": heads}))
        return code
    if runs:
        console.show(f"Runs in {shown(options.runs)}, measured on test:\n{_runs_text(runs)}\n")
    else:
        console.show(f"No finished run in {options.runs}; make some with `heads compare`.\n")
    console.show("Heads:")
    for row in heads:
        needs = "  (needs vote counts)" if row["needs_votes"] else ""
        console.show(f"  {row['head']:14}{row['summary']}{needs}")
    neural = ", ".join(row["head"] for row in heads if row["neural"])
    console.show(f"Networks, which take settings (see `heads train --help`): {neural}.")
    return code


def _heads() -> list[dict[str, Any]]:
    return [
        {
            "head": entry.name,
            "summary": entry.about.summary,
            "needs_votes": entry.about.needs_votes,
            "neural": entry.neural,
            "settings": entry.default_settings.to_dict(),
        }
        for entry in HEADS.values()
    ]


def _run_row(path: Path) -> dict[str, Any]:
    """Return what is shown of a run; of a damaged one, `error`."""
    from heads.runs.checksums import check_files
    from heads.runs.files import read_config, read_metrics
    from heads.runs.places import features_of, note_of
    from heads.runs.reference import read_reference

    try:
        config, metrics, reference = read_config(path), read_metrics(path), read_reference(path)
        check_files(path)
    except RunError as error:
        return {"run": str(path), "error": str(error)}
    return {
        "run": str(path),
        "head": config.head,
        "settings": config.settings.to_dict(),
        "features_dir": str(features_of(path, config)),
        "features": config.extractor.sha256,
        "scale": [reference.scale.lo, reference.scale.hi],
        "threshold": reference.threshold,
        "limit": config.limit,
        "label_note": note_of(path, config),
        "n_train": config.splits["train"].n,
        "metrics": {name: metrics.get(name) for name in SHOWN},
        "error": "",
    }


def _runs_text(runs: Sequence[Mapping[str, Any]]) -> str:
    width = max(len(shown(Path(row["run"]).name)) for row in runs)
    lines = [f"  {'run':{width}}  {'head':13}" + "".join(f"{n:>8}" for n in SHOWN) + "  trained on"]
    for row in runs:
        name = shown(Path(row["run"]).name)
        if row["error"]:
            lines.append(f"  {name:{width}}  {shown(row['error'], LONGEST_LINE)}")
            continue
        values = "".join(_number(row["metrics"][metric]) for metric in SHOWN)
        lines.append(
            f"  {name:{width}}  {shown(row['head']):13}{values}  {row['n_train']:,} photographs of "
            f"{shown(row['features_dir'])} ({shown(_data_words(row), LONGEST_LINE)})"
        )
    return "\n".join(lines)


def _data_words(row: Mapping[str, Any]) -> str:
    """Return what metrics of two runs cannot be compared without."""
    (lo, hi), note = row["scale"], row["label_note"]
    words = f"features {row['features'][:8]}, scale {lo:g}..{hi:g}"
    words += f", beautiful above {row['threshold']}"
    return words + (f"; {note}" if note else "")


def _number(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.3f}"
