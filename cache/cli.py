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
from cache.options import add_label_options
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
        description="Look into the HDF5 files that `extract` writes, check them, hand them on, or "
        "make such files of features that you have.",
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
        "at on the way. The result equals the file that one machine would have made, but for the "
        "times noted in it.",
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
    _add_import(commands)
    return parser


IMPORT = """\
Make caches of features that you have already, from CLIP, DINO or any other network, so that heads
are trained, compared with their floors and reported on them as on our own. Photographs are not
read; `heads score`, `explain` and `export`, which would have to make such features, step aside.

FEATURES is one of
  X.npy        (photographs, numbers), or (photographs, views, numbers)
  X.npz        the same as its array `features`, with `image_id`: each vector's photograph
  X.parquet    a column `features` of vectors, with a column `image_id`, `file` or `image_path`
  a folder     img_emb/img_emb_N.npy and metadata/metadata_N.parquet, as clip-retrieval writes them
or several of one kind, put below each other. float16 and float32 stay as they are, float64 becomes
float32. Vectors are known by their photographs' names; those of an .npy lie in the order of LABELS.
"""

IMPORT_EXAMPLES = """\
examples:
  cache import features-clip --features clip.npz --labels data/labels.csv --extractor clip-vit-b32
  cache import features-dino --features dino.npy --labels data/AVA.txt --extractor dinov2-small
  cache export features/train.h5 --to npz     (val and test too), and back again:
  cache import again --features features/{train,val,test}.npz --extractor mobilenet
  heads compare --features features-clip
"""


def _add_import(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "import",
        help="make caches of features that were made elsewhere",
        description=IMPORT,
        epilog=IMPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of the caches")
    parser.add_argument(
        "--features", nargs="+", type=Path, required=True, help="where the vectors are, see above"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        help="labels.csv, ratings.csv or AVA.txt, as `extract` reads them; its folder is the one "
        "that photographs' paths are relative to. Files of `cache export` hold their own",
    )
    parser.add_argument(
        "--extractor",
        required=True,
        metavar="NAME",
        help="what made the vectors; caches of another NAME are never mixed with these",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace caches in OUT")
    add_label_options(parser.add_argument_group("labels and splits, as in `extract`"))
    parser.set_defaults(command=_import)


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
        with console.working(f"checking {file.name}"):
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
            console.show(f"{file}: damaged. Extract or import it again with --overwrite.")
    return console.EXIT_OK if sound else console.EXIT_PROBLEM


def _merge(options: argparse.Namespace) -> int:
    from cache.merge import merge

    with console.working(f"merging {len(options.shards)} shards"):
        cache = merge(options.out, options.shards, overwrite=options.overwrite)
    console.show(f"{options.out}: {cache.n_rows:,} rows of {len(options.shards)} shards.")
    return console.EXIT_OK


def _export(options: argparse.Namespace) -> int:
    from cache.export import export

    out = options.out or options.file.with_suffix("." + options.to)
    with console.working(f"writing {out.name}"):
        rows = export(options.file, out, options.to, overwrite=options.overwrite)
    console.show(f"{out}: {rows:,} photographs.")
    return console.EXIT_OK


def _import(options: argparse.Namespace) -> int:
    # The one command that needs stage one: its labels and splits are those of an extraction.
    from extract.labels.splits import SplitSettings
    from extract.run.importing import Import, import_features

    made = import_features(
        Import(
            out=options.out,
            features=tuple(options.features),
            labels=options.labels,
            extractor=options.extractor,
            scale=options.scale,
            split=SplitSettings.of(options),
            overwrite=options.overwrite,
        )
    )
    for each in made:
        path, labels = options.out / f"{each.split_rule.split}.h5", each.labels
        console.show(
            f"{path}: {len(each):,} photographs, scale {labels.scale}, beautiful above "
            f"{labels.threshold}."
        )
    return console.EXIT_OK
