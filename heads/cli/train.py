"""`heads train`: one head, one run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache import console
from heads.cli import options as cli_options
from heads.errors import HeadError
from heads.models.registry import HEADS

if TYPE_CHECKING:
    from heads.data.splits import SplitData

EPILOG = """examples:
  heads train emd                          the vote distribution, from features/ to runs/emd/
  heads train emd --hidden none            a linear head, several times as fast
  heads train emd --ensemble 5             one run that averages five networks
  heads train binary --preset blog         as the blog post trained it
  heads train ridge --limit 5000           on the first 5,000 photographs
  heads train --config runs/emd/config.json   the same run again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads train`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "head",
        nargs="?",
        type=cli_options.head_name,
        metavar="HEAD",
        help=", ".join(HEADS) + ", or one of your own as MODULE:NAME",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="repeat the run of this config.json; other options given here win over it",
    )
    cli_options.add_data_options(parser)
    cli_options.add_setting_options(parser)
    # None where not given, so that --config can fill them.
    parser.set_defaults(features=None, seed=None, usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Train, and print where the run is and how it did."""
    from heads import load_splits, train

    config = cli_options.read_config_file(options.config) if options.config else {}
    head = _head(options, config)
    settings = cli_options.chosen_settings(options, head, config.get("settings"))
    data = load_splits(
        options.features or _features(options.config, config),
        limit=options.limit or config.get("limit"),
        memory_bytes=options.memory or config.get("streamed_bytes"),
    )
    _note_other_data(options.config, config, data)
    done = train(
        head,
        data,
        options.out,
        settings=settings,
        seed=config.get("seed", 0) if options.seed is None else options.seed,
        overwrite=options.overwrite,
    )
    if options.json:
        print(json.dumps({"run": str(done.path), "reused": done.reused, "metrics": done.metrics}))
    else:
        console.show(repr(done))
    return console.EXIT_OK


def _features(file: Path | None, config: Mapping[str, Any]) -> Path:
    """Return the folder of the features that a run was made from, as it is found now."""
    from cache.places import find_folder

    noted = Path(config.get("features_dir", "features"))
    if file is None:
        return noted
    return find_folder(noted, file, lambda folder: (folder / "train.h5").is_file()) or noted


def _note_other_data(
    file: Path | None, config: Mapping[str, Any], data: Mapping[str, SplitData]
) -> None:
    """Say so where a run is repeated on other features or photographs than it was made with."""
    from heads.runs.config import SplitFacts

    noted = dict(config.get("splits") or {})
    differing = [
        name for name in data if name in noted and noted[name] != vars(SplitFacts.of(data[name]))
    ]
    extractor = config.get("extractor_sha256")
    if extractor not in (None, data["train"].cache.spec.sha256):
        differing.insert(0, "the extractor")
    if differing:
        console.note(
            f"This repeats the settings of {file}, not its numbers: {', '.join(differing)} "
            f"{'is' if len(differing) == 1 else 'are'} not what it was made with."
        )


def _head(options: argparse.Namespace, config: Mapping[str, Any]) -> str:
    named = options.head or config.get("head")
    if named is None:
        options.usage_error(f"name a head ({', '.join(HEADS)}) or give --config FILE")
    if "place" in (config.get("settings") or {}):
        raise HeadError(
            f"--config {options.config} is of {config['head']}, a head of your own, which its "
            "settings describe and do not make. Train it as it was: `heads train MODULE:NAME`."
        )
    if config.get("head", named) != named:
        raise HeadError(
            f"--config {options.config} is of the head {config['head']}, not {named}. "
            "Leave one of them out."
        )
    return str(named)
