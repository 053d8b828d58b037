"""`heads list`: the heads by name."""

from __future__ import annotations

import argparse
import json

from cache import console
from heads.registry import HEADS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads list`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(options: argparse.Namespace) -> int:
    """Print each head with its summary and default settings."""
    rows = [
        {
            "head": entry.name,
            "summary": entry.summary,
            "needs_votes": entry.needs_votes,
            "neural": entry.neural,
            "settings": entry.default_settings and entry.default_settings.to_dict(),
        }
        for entry in HEADS.values()
    ]
    if options.json:
        print(json.dumps(rows))
        return console.EXIT_OK
    for row in rows:
        needs = "  (needs vote counts)" if row["needs_votes"] else ""
        print(f"{row['head']:14}{row['summary']}{needs}")
    print("\nThe last five are neural and take settings: see `heads train --help`.")
    return console.EXIT_OK
