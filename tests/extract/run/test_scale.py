"""AVA's real size: 255,530 rows, most photographs missing, in seconds and bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache.store import open_cache
from tests.cheap import make_weights, photograph

ROWS = 255_530
LINKED = 2_000
# Generous: a run takes a tenth of it on two quiet cores. What it guards is the order of magnitude.
SECONDS = 180
MEGABYTES = 1500


@pytest.fixture(scope="module")
def ava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AVA.txt at its real size; 2,000 of the photographs are links to twenty files."""
    folder = tmp_path_factory.mktemp("ava")
    dice = np.random.default_rng(0)
    ids = np.arange(1, ROWS + 1) * 3
    votes = dice.multinomial(
        200, [0.01, 0.02, 0.05, 0.12, 0.25, 0.25, 0.15, 0.09, 0.04, 0.02], ROWS
    )
    table = np.column_stack([np.arange(ROWS), ids, votes, np.zeros((ROWS, 3), int)])
    lines = [" ".join(map(str, row)) for row in table.tolist()]
    (folder / "AVA.txt").write_text("\n".join(lines) + "\n")
    lists = folder / "aesthetics_image_lists"
    lists.mkdir()
    test = dice.choice(ids, 20_000, replace=False)
    (lists / "generic_test.jpgl").write_text("\n".join(map(str, test)) + "\n")
    (folder / "images").mkdir()
    for number in range(20):
        photograph(number).save(folder / f"source-{number}.jpeg")
    for number, image_id in enumerate(dice.choice(ids, LINKED, replace=False).tolist()):
        (folder / "images" / f"{image_id}.jpg").symlink_to(folder / f"source-{number % 20}.jpeg")
    return folder


def run(folder: Path, *more: str) -> tuple[str, float, float]:
    """Run the cheap `extract`; return stdout, seconds and megabytes at the peak."""
    # VmHWM is the program's own peak; what getrusage says includes the parent before exec.
    report = "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    work = "import re,sys;from tests.cheap import main;code=main(sys.argv[1:])"
    program = f"{work};{report};sys.exit(code)"
    command = [
        sys.executable, "-c", program, "--split", "all", "--data", str(folder),
        "--out", str(folder / "features"), "--weights", make_weights(folder), "--json", *more,
    ]  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "CHEAP_SECONDS_A_BATCH": "0"},
    )
    *lines, megabytes = done.stdout.splitlines()
    return "\n".join(lines), time.monotonic() - start, float(megabytes) / 1024


@pytest.mark.slow
def test_the_real_size_is_planned_extracted_and_resumed_in_seconds(ava_folder: Path) -> None:
    text, seconds, megabytes = run(ava_folder)
    summaries = [json.loads(line) for line in text.splitlines()]
    assert sum(s["ok"] for s in summaries) == LINKED
    assert sum(s["ok"] + s["missing"] for s in summaries) == ROWS
    assert megabytes < MEGABYTES
    assert seconds < SECONDS
    test = open_cache(ava_folder / "features" / "test.h5")
    assert test.n_rows == 20_000
    assert test.split_rule.rule == "the official test list, the rest by hash"

    appeared = int(test.labels.image_id[np.flatnonzero(test.status == 2)[0]])
    (ava_folder / "images" / f"{appeared}.jpg").symlink_to(ava_folder / "source-3.jpeg")
    text, seconds, megabytes = run(ava_folder)
    assert [json.loads(line)["extracted"] for line in text.splitlines()] == [0, 0, 1]
    assert megabytes < MEGABYTES
