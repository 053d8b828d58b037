"""`heads curve`: what more photographs bring."""

from __future__ import annotations

import argparse
import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cache import console
from cache.errors import HeadError
from heads.cli import options as cli_options
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import HEADS, Settings

if TYPE_CHECKING:
    from heads.experiments.train import TrainedRun

EPILOG = """examples:
  heads curve ridge --sizes 1000,5000,20000,all
  heads curve emd --sizes 100,200,all --out runs
Each size is an ordinary run on the first so many photographs of train, which
lie in hash order: smaller sizes are part of larger ones. All average as many
networks as the largest does by default. OUT/HEAD is the run of the largest size,
if it was free. Writes OUT/curve-HEAD.csv and, with plots, curve-HEAD.html.
"""
SHOWN = ("srcc", "plcc", "mse", "emd_r2", "acc", "auc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `heads curve`."""
    parser.epilog = EPILOG
    parser.add_argument("head", choices=tuple(HEADS), metavar="HEAD", help=", ".join(HEADS))
    parser.add_argument(
        "--sizes",
        type=sizes,
        default=(1000, 5000, 20000, None),
        metavar="N,N,all",
        help="how many photographs to train on (default: 1000,5000,20000,all)",
    )
    cli_options.add_data_options(parser)
    cli_options.add_setting_options(parser)


def sizes(text: str) -> tuple[int | None, ...]:
    """Parse '1000,5000,all'; None is all."""
    try:
        return tuple(
            None if part == "all" else cli_options.positive(part) for part in text.split(",")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"sizes such as 1000,5000,all, not {text!r}") from None


def run(options: argparse.Namespace) -> int:
    """Train at each size, print the table, write it as CSV and as plots."""
    from heads.data.splits import load_splits
    from heads.report.curve import growth_page
    from heads.report.sweep import write_text

    if options.limit is not None:
        raise HeadError("heads curve takes its sizes from --sizes; leave out --limit.")
    whole = load_splits(options.features, memory_bytes=options.memory)
    available = len(whole["train"])
    wanted = []
    for size in dict.fromkeys(options.sizes):
        if size is not None and size > available:
            console.note(f"Left out: {size:,} photographs; train has {available:,}.")
        else:
            wanted.append(size)
    if not wanted:
        raise HeadError(
            f"No size is left: train has {available:,} photographs. Add all to --sizes."
        )
    # The largest first: where there is no run of this head yet, OUT/HEAD is the best of them.
    wanted.sort(key=lambda size: size or available, reverse=True)
    settings = _of_all_sizes(options, wanted[0] or available)
    runs = [_trained(options, settings, size) for size in wanted][::-1]
    rows = [_row(done) for done in runs]
    path = options.out / f"curve-{options.head}.csv"
    page = path.with_suffix(".html")
    write_text(path, _csv(rows))
    write_text(page, growth_page(options.head, rows, runs[-1].metrics["floor"]))
    if options.json:
        print(json.dumps({"curve": str(path), "page": str(page), "sizes": rows}))
        return console.EXIT_OK
    print(table(rows))
    console.note(f"{path}: the same with full precision and intervals; {page}: with plots.")
    return console.EXIT_OK


def _of_all_sizes(options: argparse.Namespace, largest: int) -> Settings:
    """Return the settings, with as many networks at every size as the largest one's default has.

    More networks at small sizes alone would hide some of what more photographs bring.
    """
    settings = cli_options.chosen_settings(options, options.head)
    if not isinstance(settings, NetworkSettings):
        return settings
    return replace(settings, ensemble=settings.networks(largest))


def _trained(options: argparse.Namespace, settings: Settings, size: int | None) -> TrainedRun:
    from heads.data.splits import load_splits
    from heads.experiments.train import TrainRequest, train_run

    request = TrainRequest(
        head=options.head,
        settings=settings,
        seed=options.seed,
        limit=size,
        features_dir=options.features,
        out=options.out,
        overwrite=options.overwrite,
        keep_others=True,
        memory_bytes=options.memory,
    )
    data = load_splits(options.features, limit=size, memory_bytes=options.memory)
    return train_run(request, data)


def _row(done: TrainedRun) -> dict[str, Any]:
    row: dict[str, Any] = {"n_train": done.metrics["n_train"]}
    for name in SHOWN:
        lo, hi = done.metrics["intervals"][name] or (None, None)
        row |= {name: done.metrics[name], f"{name}_lo": lo, f"{name}_hi": hi}
    return row | {"fit_seconds": done.metrics["fit_seconds"], "run": str(done.path)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return one line a size."""
    lines = [f"{'n_train':>9}" + "".join(f"{name:>17}" for name in SHOWN) + f"{'seconds':>9}"]
    for row in rows:
        cells = "".join(f"{_cell(row, name):>17}" for name in SHOWN)
        lines.append(f"{row['n_train']:>9,}{cells}{row['fit_seconds']:9.1f}")
    return "\n".join(lines)


def _cell(row: dict[str, Any], name: str) -> str:
    value, lo, hi = (row[name + end] for end in ("", "_lo", "_hi"))
    if value is None:
        return ""
    return f"{value:.4f}" + ("" if lo is None else f" ±{(hi - lo) / 2:.4f}")


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    lines = csv.DictWriter(text, list(rows[0]) if rows else ["n_train"], lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()
