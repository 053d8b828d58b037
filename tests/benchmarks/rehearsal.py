"""The whole way once at AVA's size, on photographs that this script makes, and what it costs.

    python tests/benchmarks/rehearsal.py FOLDER [--photographs 255530] [--ava DIR]

FOLDER is new or one of before, needs some 20 GB for all of AVA, and stays: `rm -r FOLDER` ends it.
Into it go JPEGs of AVA's sizes, AVA.txt with as many rows (those of DIR/AVA.txt first, where DIR is
an AVA folder; the others get the votes of one of them, drawn), the official test list, and AVA's
known gaps: rows without a file, files without a row, broken files. Then, each as a user would call
it, with a terminal for its progress:

- `extract --dry-run`, then `extract --split all`, killed with SIGKILL three times on its way;
- `cache verify` and `cache export`, `heads compare`, `heads report`, `heads score` of 20,000 files;
- with `--steps shards,dask`: the same extraction in two shards with their merge, and on a Dask
  cluster of two local processes (both of --limit photographs; Dask comes with the extra `dask`).

Of each step: wall and processor seconds, the peak memory of all its processes together (without
pages of files, which the system takes back), seconds until it first said something, its longest
silence, and photographs a second in each minute. Linux only: it reads /proc. Results are added to
FOLDER/results.jsonl after each step and printed.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

SIZES = ((640, 480), (640, 427), (427, 640), (480, 640), (640, 640), (640, 512), (800, 533))
MISSING, ROWLESS = 40, 30
BROKEN = {"truncated": 12, "empty": 4, "page": 4}
KILLED_AT = (0.1, 0.4, 0.75)
SCORED = 20_000
STEPS = ("make", "plan", "extract", "verify", "compare", "report", "export", "score")
MORE_STEPS = ("shards", "dask")
BLOCK = 500
COUNT = re.compile(rb"([\d,]+)/([\d,]+) \[")


# ---------------------------------------------------------------- the data


def make(folder: Path, rows: int, ava: Path | None) -> None:
    """Write AVA.txt, the test list and the photographs, where they are not there yet."""
    import numpy as np

    table = _rows(rows, ava)
    lists = folder / "aesthetics_image_lists"
    lists.mkdir(parents=True, exist_ok=True)
    (folder / "AVA.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in table))
    known = ava and ava / "aesthetics_image_lists" / "generic_test.jpgl"
    if known and known.is_file():
        shutil.copyfile(known, lists / known.name)
    else:
        drawn = np.random.default_rng(1).permutation(table[:, 1])[: max(1, rows * 2 // 25)]
        (lists / "generic_test.jpgl").write_text("".join(f"{i}\n" for i in drawn))
    images = folder / "images"
    images.mkdir(exist_ok=True)
    means = table[:, 2:12] @ np.arange(1, 11) / table[:, 2:12].sum(axis=1)
    liking = means.argsort().argsort() / len(means)
    blocks = [
        (images, table[i : i + BLOCK, 1].tolist(), liking[i : i + BLOCK].tolist())
        for i in range(0, rows, BLOCK)
    ]
    start, done = time.monotonic(), 0
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for n in pool.map(_make_block, blocks):
            done += n
            rate = done / (time.monotonic() - start)
            print(f"\rmaking photographs: {done:,}/{rows:,}, {rate:.0f}/s", end="", file=sys.stderr)
    print(file=sys.stderr)
    _spoil(images, table[:, 1].tolist())


def _rows(n: int, ava: Path | None) -> np.ndarray:  # noqa: F821
    """AVA's rows: those of `ava`, the ids of its test list next, invented ids last."""
    import numpy as np

    rng = np.random.default_rng(0)
    if ava is None:
        weights = np.exp(-((np.arange(1, 11) - rng.normal(5.4, 0.75, (2_000, 1))) ** 2) / 4)
        known = np.zeros((2_000, 15), np.int64)
        known[:, 1] = np.arange(1, 2_001)
        known[:, 2:12] = rng.poisson(210 * weights / weights.sum(axis=1, keepdims=True)) + 1
        listed: list[int] = []
    else:
        known = np.loadtxt(ava / "AVA.txt", np.int64)
        path = ava / "aesthetics_image_lists" / "generic_test.jpgl"
        listed = [int(line) for line in path.read_text().split()] if path.is_file() else []
    known = known[:n]
    taken = set(known[:, 1].tolist())
    fresh = [i for i in listed if i not in taken][: n - len(known)]
    first = max([*taken, *listed]) + 1
    fresh += range(first, first + n - len(known) - len(fresh))
    drawn = known[rng.integers(len(known), size=len(fresh))].copy()
    drawn[:, 1] = fresh
    drawn[:, 14] = rng.integers(1, 1_400, len(fresh))
    table = np.vstack([known, drawn])
    table[:, 0] = np.arange(1, n + 1)
    return table


def _make_block(block: tuple[Path, list[int], list[float]]) -> int:
    """Write JPEGs whose scene and brightness say a little of how well they are liked."""
    import numpy as np
    from PIL import Image

    images, ids, liking = block
    scenes = _scenes()
    for image_id, liked in zip(ids, liking, strict=True):
        path = images / f"{image_id}.jpg"
        if path.exists():
            continue
        rng = np.random.default_rng(image_id)
        shown = min(0.999, max(0.0, liked + rng.normal(0, 0.25)))
        width, height = SIZES[rng.integers(len(SIZES))]
        scene = scenes[int(shown * len(scenes))]
        left = rng.integers(scene.width - width + 1)
        top = rng.integers(scene.height - height + 1)
        picture = scene.crop((left, top, left + width, top + height))
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        gain = 0.75 + 0.4 * liked + 0.1 * rng.normal()
        picture = picture.point([min(255, int(gain * v)) for v in range(256)] * 3)
        picture.save(path, quality=int(rng.integers(85, 96)))
    return len(ids)


_opened: list = []


def _scenes() -> list:
    """The demo's photographs, enlarged so that every window fits."""
    if not _opened:
        from PIL import Image

        from extract.demo.pictures import load_pictures

        for picture in load_pictures().values():
            scale = max(1.0, 900 / picture.width, 750 / picture.height)
            size = (round(picture.width * scale), round(picture.height * scale))
            _opened.append(picture.resize(size, Image.Resampling.BICUBIC))
    return _opened


def _spoil(images: Path, ids: list[int]) -> None:
    """Take files away, break some and add some without a row: always the same ones."""
    step = max(1, len(ids) // (MISSING + sum(BROKEN.values()) + 1))
    places: Iterator[int] = iter(ids[step // 2 :: step])
    for _ in range(MISSING):
        (images / f"{next(places)}.jpg").unlink(missing_ok=True)
    for kind, count in BROKEN.items():
        for _ in range(count):
            path = images / f"{next(places)}.jpg"
            whole = path.read_bytes()
            short = {"truncated": whole[: len(whole) // 2 + 1], "empty": b"", "page": b"<html>"}
            path.write_bytes(short[kind])
    good = images / f"{ids[0]}.jpg"
    for i in range(ROWLESS):
        shutil.copyfile(good, images / f"{max(ids) + 1_000 + i}.jpg")


# ---------------------------------------------------------------- running and watching


@dataclass
class Watched:
    """What a command cost; seconds and MB, `rates` in photographs a second for each minute."""

    step: str
    wall: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    first_word: float | None = None
    silence: float = 0.0
    silent_at: float = 0.0
    code: int = 0
    rates: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    note: str = ""


def watch(
    step: str,
    command: list[str],
    log: Path,
    stdout: Path | None = None,
    kill_at: float | None = None,
) -> Watched:
    """Run a command in a terminal; kill it with SIGKILL once that share of a bar is done."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    before = os.times()
    with (stdout or Path(os.devnull)).open("wb") as file, log.open("ab") as kept:
        start = time.monotonic()
        out = file if stdout else theirs
        process = subprocess.Popen(command, stdout=out, stderr=theirs, start_new_session=True)
        os.close(theirs)
        watched = Watched(step)
        heard = [start]
        counts: list[tuple[float, int]] = []
        for read in _listen(process, ours, watched.memory):
            heard.append(time.monotonic())
            if heard[-1] - heard[-2] > 2:
                kept.write(b"\n<silent for %.1f s>\n" % (heard[-1] - heard[-2]))
            kept.write(read)
            for done, total in COUNT.findall(read)[-1:]:
                count, whole = (int(number.replace(b",", b"")) for number in (done, total))
                counts.append((heard[-1], count))
                if kill_at is not None and count > kill_at * whole:
                    os.killpg(process.pid, signal.SIGKILL)
                    kill_at = None
    watched.code, watched.wall = process.wait(), time.monotonic() - start
    os.close(ours)
    after = os.times()
    watched.cpu = sum(after[2:4]) - sum(before[2:4])
    watched.first_word = heard[1] - start if heard[1:] else None
    gaps = [(later - earlier, earlier - start) for earlier, later in pairwise(heard)]
    watched.silence, watched.silent_at = max(gaps, default=(watched.wall, 0.0))
    watched.rates = _rates(counts)
    watched.peak_mb = max(watched.memory, default=0.0)
    watched.memory = watched.memory[:: max(1, len(watched.memory) // 12)]
    return watched


def _listen(
    process: subprocess.Popen[bytes], terminal: int, memory: list[float]
) -> Iterator[bytes]:
    """Yield what the terminal gets until the process ends; note memory twice a second."""
    noted = 0.0
    while True:
        ended = process.poll() is not None
        if time.monotonic() - noted > 0.5:
            noted = time.monotonic()
            memory.append(_memory(process.pid))
        if select.select([terminal], [], [], 0 if ended else 0.1)[0]:
            try:
                yield os.read(terminal, 65536)
            except OSError:  # the terminal's other end is closed
                return
        elif ended:
            return


def _memory(leader: int) -> float:
    """MB of their own that a session's processes hold; pages of files are the system's."""
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            session = (folder / "stat").read_text().rpartition(")")[2].split()[3]
            if int(session) == leader:
                fields = dict(
                    line.split(":", 1) for line in (folder / "status").read_text().splitlines()
                )
                total += int(fields.get("RssAnon", "0 kB").split()[0])
        except (OSError, IndexError, ValueError):
            continue
    return total / 1024


def _rates(seen: list[tuple[float, int]]) -> list[float]:
    """Photographs a second of each whole minute, from (time, count) pairs; counts start anew."""
    rates, begin, base = [], 0.0, 0
    for now, count in seen:
        if (now, count) == seen[0] or count < base:
            begin, base = now, count
        if now - begin >= 60:
            rates.append(round((count - base) / (now - begin), 1))
            begin, base = now, count
    return rates


# ---------------------------------------------------------------- the steps


def run(folder: Path, steps: list[str], limit: int | None) -> None:
    """Do the steps in order, and print what each has cost."""
    results = folder / "results.jsonl"
    out, runs = folder / "features", folder / "runs"
    data, log = folder / "data", folder / "log.txt"
    python = [sys.executable, "-m"]
    extract = [*python, "extract", "--data", str(data), "--split", "all"]
    less = [] if limit is None else ["--limit", str(limit)]
    files = [str(out / f"{split}.h5") for split in ("train", "val", "test")]

    def step(name: str, command: list[str], **more: object) -> Watched:
        watched = watch(name, command, log=log, **more)
        with results.open("a") as file:
            file.write(json.dumps(asdict(watched)) + "\n")
        print(_line(watched), flush=True)
        return watched

    if "plan" in steps:
        step("extract --dry-run", [*extract, "--dry-run", "--out", str(out)])
    if "extract" in steps:
        for part in KILLED_AT:
            step(f"extract, killed at {part:.0%}", [*extract, "--out", str(out)], kill_at=part)
        step("extract, to its end", [*extract, "--out", str(out)])
    if "verify" in steps:
        step("cache verify", [*python, "cache", "verify", *files])
    if "compare" in steps:
        compare = [*python, "heads", "compare", "--features", str(out), "--out", str(runs)]
        step("heads compare", compare)
    if "report" in steps:
        step("heads report", [*python, "heads", "report", str(runs)])
        print(f"report.html: {(runs / 'report.html').stat().st_size / 1e6:.2f} MB")
    if "export" in steps:
        npz = [*python, "cache", "export", files[0], "--to", "npz", "--out"]
        step("cache export --to npz", [*npz, str(folder / "train.npz")])
    if "score" in steps:
        paths = folder / "some.csv"
        names = sorted(path.name for path in (data / "images").iterdir())[:SCORED]
        paths.write_text("path\n" + "".join(f"data/images/{name}\n" for name in names))
        score = [*python, "heads", "score", str(runs / "emd"), str(paths), "--format", "csv"]
        step("heads score", score, stdout=folder / "scores.csv")
    if "shards" in steps:
        for i in (1, 2):
            shard = [*extract, *less, "--out", str(folder / "shards"), "--shard", f"{i}/2"]
            step(f"extract --shard {i}/2", shard)
        parts = sorted(str(path) for path in (folder / "shards").glob("train.shard-*.h5"))
        merged = str(folder / "shards" / "train.h5")
        step("cache merge", [*python, "cache", "merge", merged, *parts])
    if "dask" in steps:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
            dask = ["--dask", cluster.scheduler_address, "--out", str(folder / "dask")]
            step("extract --dask (workers not counted)", [*extract, *less, *dask])


def _line(watched: Watched) -> str:
    rates = watched.rates
    sag = f", img/s by minute {min(rates):.0f} to {max(rates):.0f}" if rates else ""
    first = "never" if watched.first_word is None else f"{watched.first_word:.1f} s"
    return (
        f"{watched.step:32} {watched.wall:8.1f} s {watched.cpu:8.1f} core-s "
        f"{watched.peak_mb:6.0f} MB, first word {first}, longest silence "
        f"{watched.silence:.1f} s (after {watched.silent_at:.0f} s), exit {watched.code}{sag}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=255_530)
    parser.add_argument("--ava", type=Path, help="an AVA folder whose rows and test list are used")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"also {', '.join(MORE_STEPS)}")
    parser.add_argument("--limit", type=int, help="photographs of the steps shards and dask")
    options = parser.parse_args()
    steps = options.steps.split(",")
    if unknown := set(steps) - {*STEPS, *MORE_STEPS}:
        parser.error(f"unknown steps: {', '.join(sorted(unknown))}")
    folder = options.folder.resolve()
    if "make" in steps:
        make(folder / "data", options.photographs, options.ava)
    run(folder, steps, options.limit)


if __name__ == "__main__":
    main()
