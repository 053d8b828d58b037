"""The `heads` command: train, compare and use heads on cached features.

Only argparse and the standard library are imported before a subcommand runs. Each subcommand
lives in a module of its own that offers `add_arguments(parser)` and `run(options)`, and is imported
only when it is the one that was asked for.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from cache import console

HELP_WIDTH = 78


@dataclass(frozen=True)
class Command:
    """A subcommand: one line for `heads --help`, and what its own help begins with."""

    summary: str
    description: str


# Each is in the module of its name.
COMMANDS = {
    "train": Command(
        "train one head",
        "Train one head on cached features, measure it on test and write runs/HEAD/. Heads in "
        "closed form choose their penalty and calibrate their probabilities on groups of train, "
        "left out in turn, or on val where there are none; networks calibrate on val. 235,000 "
        "photographs take half a minute on two cores.",
    ),
    "compare": Command(
        "train several heads and compare them",
        "Train every head that is not there yet, and print one table with the floor beside them "
        "and 95 % intervals. All heads on 235,000 photographs take about three minutes on two "
        "cores; on 10,000 about one.",
    ),
    "sweep": Command(
        "try a grid of settings",
        "Train a grid of settings of a neural head, one after the other on features that are "
        "prepared once, choose by the loss on val, and measure the chosen one on test.",
    ),
    "curve": Command(
        "show what more photographs bring",
        "Train a head on more and more of the photographs and show how good it gets.",
    ),
    "score": Command(
        "score photographs with trained heads",
        "Score photographs with one trained head or several. Photographs are read exactly as those "
        "of the run's own cache were, at the speed of `extract`, and stream.",
    ),
    "report": Command(
        "write one page about the runs of a folder",
        "Write RUNS/report.html: which head to use, by how much it beats the floor, how far to "
        "trust that, what it gets wrong, how training went, and what exactly was run. One file, "
        "photographs included, below 5 MB.",
    ),
    "explain": Command(
        "draw which parts of a photograph lift or lower its score",
        "Draw over a photograph which parts lift a head's score and which pull it down.",
    ),
    "export": Command(
        "export a run as one model from image to score",
        "Export a trained head with its backbone and all preprocessing as one model from 8-bit "
        "pixels to score and distribution.",
    ),
    "predict": Command(
        "score a cached split again",
        "Write a trained head's answers for a split of cached features, beside the truth.",
    ),
    "list": Command(
        "show the runs of a folder and name the heads",
        "Show the finished runs of a folder, what each was trained on and how good it is; then "
        "name every head and what it predicts.",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `heads` with the given arguments (the process's own by default)."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        options = _parsed(given)
        return int(options.command(options))

    return console.run(
        "heads",
        command,
        when_stopped="Finished runs are kept; the same command goes on with the rest.",
    )


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """Parse; arguments that may stand anywhere (`words`) are gathered from between options too."""
    parser = build_parser(given)
    options, rest = parser.parse_known_args(given)
    loose = [word for word in rest if word == "-" or not word.startswith("-")]
    if len(loose) != len(rest) or (rest and not hasattr(options, "words")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if loose:
        options.words += loose
    return options


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand that the arguments begin with gets its options."""
    parser = console.Parser(
        prog="heads",
        description="Train small heads on features that `extract` cached, compare them with the "
        "floor that needs no photograph, and use them.",
        epilog="Start with `heads compare`. Every command explains itself: heads COMMAND --help",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=command.summary,
            description=textwrap.fill(command.description, HELP_WIDTH),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == asked:
            module = import_module(f"heads.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(command=module.run)
    return parser
