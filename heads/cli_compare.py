"""`heads compare`: several heads on the same features, beside their floor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from heads import cli_options
from heads.registry import FLOOR, HEADS

if TYPE_CHECKING:
    from heads.dataset import SplitData
    from heads.fitting import Floor
    from heads.leaderboard import Entry, Title

EPILOG = """examples:
  heads compare                            all heads
  heads compare --heads logistic,emd,binary
  heads compare --limit 5000 --out runs-5000
Writes leaderboard.csv and report.html beside the runs. The constant head
is always among them: it is the floor.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads compare`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--heads",
        type=cli_options.head_names,
        metavar="A,B",
        help=f"which (default: all that the labels suffice for: {', '.join(HEADS)})",
    )
    cli_options.add_data_options(parser)


def run(options: argparse.Namespace) -> int:
    """Train what is missing, print the table, write leaderboard.csv and report.html."""
    from heads import leaderboard
    from heads.dataset import load_splits
    from heads.fitting import Floor
    from heads.report import write_report

    data = load_splits(options.features, limit=options.limit, memory_bytes=options.memory)
    names = _names(options.heads, has_votes=data["train"].labels.votes is not None)
    floor = Floor.of(data)
    entries = [_entry(name, options, data, floor) for name in names]
    path = options.out / "leaderboard.csv"
    leaderboard.write_csv(path, entries)
    page = write_report(options.out, samples={Path(e.run).name: e.sample for e in entries})
    if options.json:
        rows = leaderboard.ranked(entries)
        files = {"leaderboard": str(path), "report": str(page)}
        print(json.dumps({**files, "heads": [_json_row(row) for row in rows]}))
    else:
        print(leaderboard.render(_title(options, data), entries))
        console.note(f"\n{path}: the same with every metric and interval.")
        console.note(f"{page}: the same with plots and photographs, for a browser.")
    return console.EXIT_OK


def _names(asked: Sequence[str] | None, *, has_votes: bool) -> list[str]:
    """Return the heads to compare, the floor first; heads that were asked for are not left out."""
    if asked is not None:
        return [FLOOR, *(name for name in dict.fromkeys(asked) if name != FLOOR)]
    fitting = [name for name, entry in HEADS.items() if has_votes or not entry.needs_votes]
    left_out = [name for name in HEADS if name not in fitting]
    if left_out:
        console.note(f"Left out, since the labels hold no vote counts: {', '.join(left_out)}.")
    return fitting


def _entry(
    name: str, options: argparse.Namespace, data: Mapping[str, SplitData], floor: Floor
) -> Entry:
    from heads.evaluate import measure
    from heads.fitting import TrainRequest, sample_of, train_run
    from heads.leaderboard import Entry

    request = TrainRequest(
        head=name,
        settings=None,
        seed=options.seed,
        limit=options.limit,
        features_dir=options.features,
        out=options.out,
        overwrite=options.overwrite,
        memory_bytes=options.memory,
    )
    done = train_run(request, data, floor)
    if not done.reused:
        console.note(f"{done.path}: trained in {done.metrics['fit_seconds']:.1f} s.")
    sample = sample_of(done, data)
    return Entry(name, str(done.path), sample, measure(sample, floor.sample), len(data["train"]))


def _json_row(entry: Entry) -> dict[str, object]:
    from heads.evaluate import measures_to_dict

    return {
        "head": entry.head,
        "run": entry.run,
        **measures_to_dict(entry.sample, entry.measures),
    }


def _title(options: argparse.Namespace, data: Mapping[str, SplitData]) -> Title:
    from heads.fitting import HEADLINE
    from heads.leaderboard import Title

    test = data[HEADLINE]
    return Title(
        features_dir=str(options.features),
        split=HEADLINE,
        threshold=test.labels.threshold,
        label_note=test.cache.label_note,
        n=len(test),
        n_train=len(data["train"]),
        groups=bool((test.labels.group != "").any()),
    )
