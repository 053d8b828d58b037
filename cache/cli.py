"""The `cache` command: look into feature caches, check them, hand them on.

Only argparse and the standard library are imported before a subcommand runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from cache import console
from cache.errors import AestheticError
from cache.text import LONGEST_LINE, shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cache` with the given arguments (the process's own by default)."""

    def command() -> int:
        options = build_parser().parse_args(arguments)
        return int(options.command(options))

    return console.run("cache", command)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `cache` and its subcommands."""
    parser = console.Parser(
        prog="cache",
        description="Look into the HDF5 files that `extract` writes, check them, hand them on.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    info = commands.add_parser(
        "info",
        help="what a file holds and how it was made",
        description="Say what a cache holds and how it was made. Unfinished files are shown too.",
    )
    info.set_defaults(command=_info)
    verify = commands.add_parser(
        "verify",
        help="check every row's checksum and values",
        description="Check that a cache is whole: length, every row's checksum, finite features "
        "within the backbone's range, ids that stand once, no row left out. Exit code 1 if not. "
        "A file of 235,000 photographs (600 MB) takes some seconds.",
    )
    verify.set_defaults(command=_verify)
    for each in (info, verify):
        each.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="features/train.h5, ..."
        )
        each.add_argument("--json", action="store_true", help="print one JSON object a file")
    merge = commands.add_parser(
        "merge",
        help="put the shards of a split together",
        description="Put together what `extract --shard i/n` made, here or on other machines. "
        "All n shards are needed, of the same data and settings; every row's checksum is looked "
        "at on the way. The result equals the file that one machine would have made.",
    )
    merge.add_argument("out", type=Path, metavar="OUT", help="features/train.h5")
    merge.add_argument("shards", nargs="+", type=Path, metavar="SHARD")
    merge.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    merge.set_defaults(command=_merge)
    export = commands.add_parser(
        "export",
        help="write features and labels for other programs",
        description="Write the rows that hold features, with their labels: npz for numpy, parquet "
        "(needs the package pyarrow) or csv for everything else.",
    )
    export.add_argument("file", type=Path, metavar="FILE", help="features/train.h5")
    export.add_argument("--to", choices=("npz", "parquet", "csv"), required=True)
    export.add_argument("--out", type=Path, help="default: FILE with the format's ending")
    export.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    export.set_defaults(command=_export)
    return parser


def _info(options: argparse.Namespace) -> int:
    from cache.info import describe, render

    code = console.EXIT_OK
    for file in options.files:
        try:
            facts = describe(file)
        except (AestheticError, OSError) as error:
            console.note(f"cache: {console.words(error)}")
            code = console.EXIT_PROBLEM
            continue
        if options.json:
            print(json.dumps(facts))
        else:
            console.show(render(facts))
    return code


def _verify(options: argparse.Namespace) -> int:
    from cache.verify import judge

    sound = True
    for file in options.files:
        verdict = judge(file)
        sound &= verdict.ok
        if options.json:
            print(json.dumps(verdict.to_dict()))
        elif not verdict.counts:
            console.note(f"cache: {verdict.findings[0].problem}")
        elif verdict.ok:
            console.show(f"{file}: sound, {verdict.counts['rows']:,} rows checked.")
            console.note(f"{file}: {verdict.not_covered}")
        else:
            for finding in verdict.findings:
                console.show(f"{shown(file)}: {shown(finding, LONGEST_LINE)}")
            console.show(f"{file}: damaged. Extract it again with `extract --overwrite`.")
    return console.EXIT_OK if sound else console.EXIT_PROBLEM


def _merge(options: argparse.Namespace) -> int:
    from cache.merge import merge

    cache = merge(options.out, options.shards, overwrite=options.overwrite)
    console.show(f"{options.out}: {cache.n_rows:,} rows of {len(options.shards)} shards.")
    return console.EXIT_OK


def _export(options: argparse.Namespace) -> int:
    from cache.export import export

    out = options.out or options.file.with_suffix("." + options.to)
    rows = export(options.file, out, options.to, overwrite=options.overwrite)
    console.show(f"{out}: {rows:,} photographs.")
    return console.EXIT_OK
