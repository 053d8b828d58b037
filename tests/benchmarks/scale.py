"""What many rows cost beside their photographs: planning, the merge of shards, reading a cache.

    python -m tests.benchmarks.scale [--rows 255530]

Makes AVA.txt of so many rows, an empty file for each photograph, and by the project's own writer
shards of one split with random features of 1,280 numbers; at AVA's size that takes 2.1 GB of disk.
Then runs each step in a process of its own and prints its seconds, its core seconds, the peak of
its memory, and how much of that is a row's: what it is above the peak at a hundredth of the rows.
Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache import cli as cache_cli
from cache.resume import open_writer
from cache.types import Status
from cache.writer import Block
from extract.labels.splits import SplitSettings
from extract.run.extract import provenance_of
from extract.run.plan import Plan, plan
from extract.run.settings import Settings, Shard
from tests.cheap import make_weights

N_FEATURES, BLOCK, LINKS = 1280, 2048, 50_000
SHARES = (0.01, 0.02, 0.05, 0.12, 0.25, 0.25, 0.15, 0.09, 0.04, 0.02)


def make_data(folder: Path, rows: int) -> None:
    """Write AVA.txt, and images/ with links to a few empty files."""
    votes = np.random.default_rng(0).multinomial(200, SHARES, rows).tolist()
    lines = [f"{i} {3 * i + 1} {' '.join(map(str, each))} 1 2 9\n" for i, each in enumerate(votes)]
    (folder / "images").mkdir(parents=True)
    (folder / "AVA.txt").write_text("".join(lines))
    for i in range(rows):
        source = folder / f"source-{i // LINKS}"  # a file can have so many names and not many more
        source.touch()
        os.link(source, folder / "images" / f"{3 * i + 1}.jpg")


def planned(folder: Path) -> tuple[Settings, Plan]:
    """Plan to extract every row into one split."""
    one = SplitSettings(val_fraction=0, test_fraction=0)
    weights = make_weights(folder / "weights")
    settings = Settings(folder, folder / "features", splits=("train",), split=one, weights=weights)
    return settings, plan(settings)


def make_shards(folder: Path, count: int) -> None:
    """Write the split's shards as `extract --shard` does, with features of no photograph."""
    settings, made = planned(folder)
    ((manifest, facts),) = made.splits
    origin = replace(provenance_of(settings, made), whole_manifest_sha256=manifest.sha256)
    some = np.random.default_rng(0).gamma(0.6, 0.8, (BLOCK, 1, N_FEATURES)).clip(0, 6)
    some = some.astype(np.float16)
    for shard in (Shard(number, count) for number in range(1, count + 1)):
        part, its_facts = shard.cut(manifest, facts)
        writer = open_writer(
            shard.path(settings.out, "train"), part, made.spec, its_facts, origin, settings.reuse
        )
        with writer:
            for start in range(0, len(part), BLOCK):
                rows = np.arange(start, min(start + BLOCK, len(part)))
                ok = np.full(len(rows), Status.OK, np.uint8)
                size = np.full((len(rows), 2), 640, np.int32)
                writer.write(Block(rows, some[: len(rows)], ok, size, {}))
            writer.finish()


def merge(folder: Path) -> None:
    """Put the shards together, and remove them."""
    shards = sorted((folder / "features").glob("train.shard-*.h5"))
    command(folder, "merge", *map(str, shards), "--overwrite")
    for path in (folder / "features").glob("train.shard-*"):
        path.unlink()


def export(folder: Path) -> None:
    """Write an npz file, and remove it."""
    command(folder, "export", "--to", "npz", "--out", str(folder / "all.npz"))
    (folder / "all.npz").unlink()


def load(folder: Path) -> None:
    """Load the split as heads do."""
    from heads.data.splits import load_splits

    load_splits(folder / "features", ("train",))


def command(folder: Path, name: str, *more: str) -> None:
    """Run a `cache` command on the split's file."""
    if cache_cli.main([name, str(folder / "features" / "train.h5"), *more]):
        raise SystemExit(1)


STEPS: dict[str, Callable[[Path], object]] = {
    "planning": planned,
    "4 shards": lambda folder: make_shards(folder, 4),
    "cache merge, 4 shards": merge,
    "planning where all is done": planned,
    "cache verify": lambda folder: command(folder, "verify"),
    "cache info": lambda folder: command(folder, "info"),
    "cache export --to npz": export,
    "loading in heads": load,
    "16 shards": lambda folder: make_shards(folder, 16),
    "cache merge, 16 shards": merge,
}


def measure(step: str, folder: Path) -> dict[str, float]:
    """Run a step in this process."""
    before, start = time.process_time(), time.perf_counter()
    STEPS[step](folder)
    wall, core = time.perf_counter() - start, time.process_time() - before
    # The program's own peak; what getrusage says includes the parent before exec.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return {"wall": wall, "core": core, "bytes": 1024 * int(peak[1])}


def in_own_process(step: str, folder: Path) -> dict[str, float]:
    """Run a step in a fresh process."""
    program = [sys.executable, "-m", "tests.benchmarks.scale"]
    arguments = ["--step", step, "--folder", str(folder)]
    done = subprocess.run([*program, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def all_steps(rows: int) -> dict[str, dict[str, float]]:
    """Run every step on so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), rows)
        measured = {}
        for step in STEPS:
            if step == "16 shards":
                shutil.rmtree(Path(folder) / "features")
            measured[step] = in_own_process(step, Path(folder))
            print(f"{rows:,} rows, {step}: {measured[step]}", file=sys.stderr)
        return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=255_530)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step, options.folder)))
        return
    few, many = all_steps(options.rows // 100), all_steps(options.rows)
    added = options.rows - options.rows // 100
    print(f"{'step':30}{'s':>8}{'core-s':>8}{'MB':>7}{'bytes a row':>13}")
    for step, each in many.items():
        peak, a_row = each["bytes"], (each["bytes"] - few[step]["bytes"]) / added
        seconds = f"{each['wall']:8.1f}{each['core']:8.1f}"
        print(f"{step:30}{seconds}{peak / 1e6:7.0f}{a_row:13.0f}")


if __name__ == "__main__":
    main()
