"""Options that several subcommands of `heads` share, and how they become settings.

Standard library only at import.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from cache.text import quoted, shown
from heads.errors import HeadError, RunError
from heads.models.neural.settings import (
    LABELS,
    OPTIMIZERS,
    PRECISIONS,
    TRANSFORMS,
    VIEW_USES,
    NetworkSettings,
)
from heads.models.registry import (
    GROUP,
    HEADS,
    HeadEntry,
    Settings,
    changed_settings,
    find_head,
    neural_heads,
    settings_from_dict,
)
from heads.runs.kinds import check_kinds, check_record, parse_json

T = TypeVar("T")

# What `heads train` takes from a run's config.json.
CONFIG_KINDS: dict[str, Any] = {
    **{"head": str, "seed": int, "limit": int | None, "features_dir": str},
    **{"settings": dict[str, Any] | None, "streamed_bytes": int | None},
    **{"splits": dict[str, dict[str, Any]], "extractor_sha256": str},
}
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add_data_options(parser: argparse.ArgumentParser, *, limit: bool = True) -> None:
    """Add --features, --out, --limit if wanted, --seed, --memory, --overwrite and --json."""
    parser.add_argument(
        "--features",
        type=Path,
        default=Path("features"),
        metavar="DIR",
        help="where extract wrote train.h5, val.h5 and test.h5 (default: features)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="for the runs (default: runs)"
    )
    if limit:
        parser.add_argument(
            "--limit",
            type=positive,
            metavar="N",
            help="train on the first N photographs only; smaller limits are part of larger ones",
        )
    parser.add_argument(
        "--seed", type=natural, default=0, help="same seed, same numbers (default: 0)"
    )
    parser.add_argument(
        "--memory",
        type=memory_size,
        metavar="SIZE",
        help="features above this size, such as 8G, stream from the disk (default: half of the "
        "machine's memory)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="train anew and replace an earlier run"
    )
    add_json(parser)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the run that a command uses."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a trained head, such as runs/ridge")


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the folder whose runs a command is about."""
    default = Path("runs")
    words = "the folder with the runs (default: runs)"
    parser.add_argument("runs", nargs="?", type=Path, default=default, metavar="RUNS", help=words)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_weights(parser: argparse._ActionsContainer) -> None:
    """Add --weights."""
    parser.add_argument(
        "--weights",
        default="auto",
        metavar="auto|keras|wheel|FILE",
        help="where the backbone's weights are; they must be those of the run (default: auto)",
    )


def add_extractor_options(parser: argparse.ArgumentParser) -> None:
    """Add --weights, --engine, --device and --jobs: how photographs become features."""
    group = parser.add_argument_group("how features are computed")
    add_weights(group)
    group.add_argument(
        "--engine",
        choices=("auto", "keras", "openvino"),
        default="auto",
        help="auto: OpenVINO on a processor where it is installed, else Keras",
    )
    group.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    group.add_argument(
        "--jobs", type=natural, default=0, metavar="N", help="threads; default: all cores"
    )


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of neural heads, and the presets of all of them."""
    group = parser.add_argument_group(
        f"settings of the neural heads ({', '.join(neural_heads())})",
        "The defaults are tuned; heads that are solved directly have none of these.",
    )
    for name in SETTING_FLAGS:
        add_setting(group, name)
    group.add_argument(
        "--preset",
        choices=("blog",),
        help="blog: the blog post's own settings, random start on raw features; for comparison",
    )


def add_setting(parser: argparse._ActionsContainer, name: str) -> None:
    """Add the flag of one of `SETTING_FLAGS`, which is None where it is not given."""
    kind, metavar, words = SETTING_FLAGS[name]
    flag = "--" + name.replace("_", "-")
    if isinstance(kind, tuple):
        parser.add_argument(flag, choices=kind, help=words)
    else:
        parser.add_argument(flag, type=kind, metavar=metavar, help=words)


def chosen_settings(
    options: argparse.Namespace, head: str, base: Mapping[str, Any] | None = None
) -> Settings:
    """Return a head's settings: defaults, preset or `base`, then the flags that were given.

    Raises:
        HeadError: a value is out of range, or flags were given to a head that has no settings.
    """
    entry = find_head(head)
    flags = {name: getattr(options, name) for name in SETTING_FLAGS}
    flags = {name: value for name, value in flags.items() if value is not None}
    if not isinstance(entry, HeadEntry):
        return changed_settings(entry, None, flags)
    if options.preset and not entry.neural:
        raise HeadError(
            f"The head {head} has no setting --preset: it is solved directly. Leave it out, or "
            f"train one of {', '.join(neural_heads())}."
        )
    settings = entry.blog_settings if options.preset == "blog" else entry.default_settings
    if base is not None and not options.preset:
        settings = _settings_of_file(base)
    return changed_settings(entry, settings, flags)


def _settings_of_file(values: Mapping[str, Any]) -> Settings:
    try:
        settings = settings_from_dict(values)
        check_record(settings)
        return settings
    except (TypeError, ValueError, OverflowError) as error:
        raise RunError(
            f"The settings in --config have a value of the wrong kind: {shown(error)}. Numbers "
            'stand without quotes, and hidden is a list, such as "hidden": [256].'
        ) from error


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a run's config.json, or a file with some of its fields.

    Raises:
        RunError: the file is missing or no JSON object.
    """
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            check_kinds(values, CONFIG_KINDS)
    except (OSError, ValueError) as error:
        raise RunError(
            f"--config {path} cannot be read: {shown(error)}. Give a config.json that `heads "
            "train` wrote."
        ) from error
    if not isinstance(values, dict):
        raise RunError(f"--config {path} holds no JSON object. Give a run's config.json.")
    return values


# --- argparse types -------------------------------------------------------------------------------


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {value}")
    return value


def natural(text: str) -> int:
    """Parse a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"at least 0, not {value}")
    return value


def listed(text: str, parse: Callable[[str], T], expected: str) -> tuple[T, ...]:
    """Parse values with commas between them; `expected` begins the message if one is wrong."""
    try:
        return tuple(parse(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{expected} not {quoted(text)}") from None


def numbers(text: str) -> tuple[float, ...]:
    """Parse '1e-4,3e-4'."""
    return tuple(dict.fromkeys(listed(text, float, "numbers such as 0.1,0.01,")))


def widths(text: str) -> tuple[int, ...]:
    """Parse '512,128'; 'none' is a linear head."""
    if text == "none":
        return ()
    return listed(text, positive, "widths such as 256 or 512,128, or none;")


def memory_size(text: str) -> int:
    """Parse '8G', '500M' or a number of bytes."""
    unit = text[-1:].lower()
    number = text[:-1] if unit in UNITS else text
    try:
        size = int(float(number) * UNITS.get(unit, 1))
    except ValueError:
        size = 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"a size such as 8G or 500M, not {quoted(text)}")
    return size


def head_name(text: str) -> str:
    """Parse the name of a registered head, MODULE:NAME, or the name of an entry point."""
    if text not in HEADS and ":" not in text and not entry_points(group=GROUP, name=text):
        raise argparse.ArgumentTypeError(
            f"no head {quoted(text)}; there are {', '.join(HEADS)}, and heads of your "
            "own as MODULE:NAME"
        )
    if ":" in text and "" not in sys.path:
        # As `python -m` does: modules that lie where the command is given can be named.
        sys.path.insert(0, "")
    return text


def head_names(text: str) -> tuple[str, ...]:
    """Parse 'emd,ridge', refusing unknown heads."""
    return tuple(map(head_name, text.split(",")))


# --- the settings of neural heads -----------------------------------------------------------------

_DEFAULT = NetworkSettings()
# By the field of NetworkSettings: what parses its flag, or the choices, its metavar, and its help.
SETTING_FLAGS: dict[str, tuple[Callable[[str], Any] | tuple[str, ...], str, str]] = {
    "ensemble": (
        positive,
        "N",
        "average N networks in each neural head (default: 3 up to 10,000 photographs, for a "
        "linear head and beyond 1)",
    ),
    "hidden": (
        widths,
        "W,W",
        "widths of hidden layers, such as 256 or 512,128, or none for a linear head "
        f"(default: {','.join(map(str, _DEFAULT.hidden))})",
    ),
    "dropout": (
        float,
        "P",
        "behind each hidden layer, one mask for a whole batch (default: 0.5)",
    ),
    "input_dropout": (
        float,
        "P",
        "on the features (default: 0.5, for a linear head 0.8, less below 1,280 features; beyond "
        "1,000 photographs its odds fall as 1 / n)",
    ),
    "l2": (
        float,
        "X",
        "shrinks the weights towards zero: weight decay with adamw, else a penalty in the loss "
        f"(default: {_DEFAULT.l2})",
    ),
    "lr": (
        float,
        "X",
        "learning rate; falls to zero along a cosine (default: 0.5 / number of features, at "
        "most 0.01, 0.0004 from 1,280 features on; for a linear tanh head a quarter of 0.5)",
    ),
    "batch_size": (
        positive,
        "N",
        "photographs in a step (default: at most a hundredth of all, within 256 to 1024, and all "
        "of one size)",
    ),
    "epochs": (positive, "N", "passes over train (default: 10, more for few photographs)"),
    "patience": (
        positive,
        "N",
        "stop after N epochs without progress on val and keep the best one (default: train to the "
        "end of the schedule and keep that)",
    ),
    "optimizer": (OPTIMIZERS, "", f"(default: {_DEFAULT.optimizer})"),
    "views": (
        VIEW_USES,
        "",
        "with several views a photograph: train on a random one in each epoch, or on their mean "
        f"(default: {_DEFAULT.views}); predictions always use the mean",
    ),
    "transform": (
        TRANSFORMS,
        "",
        "of the features: root takes the signed square root of each, which evens out their skew "
        f"(default: {_DEFAULT.transform})",
    ),
    "labels": (
        LABELS,
        "",
        "of logistic and binary: soft learns the share of votes above the threshold, hard whether "
        "the mean lies above it (default: soft; labels with means only are always hard)",
    ),
    "precision": (
        PRECISIONS,
        "",
        "of the products of features and weights in training (default: bfloat16 where the "
        "processor multiplies it fast and there is a hidden layer, else float32; so --config of a "
        "run from another machine may choose otherwise)",
    ),
}
