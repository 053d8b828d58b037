"""What a user would take instead, side by side, in one run on one machine.

    python tests/benchmarks/peers.py --python PEERS/bin/python [--small] [--rounds 1]
        [--photographs 2000] [--only torch,ours-openvino]

Run it from this project's environment. PEERS is another one, which this script does not make:

    python -m venv PEERS
    PEERS/bin/pip install torch torchvision onnx onnxruntime onnxscript timm embetter \\
        img2vec-pytorch h5py scikit-learn

The ways are those of peer_ways.py. Each runs in a process of its own, and in turn; its clock starts
when its libraries are loaded and its network is open or compiled. Processor seconds and memory are
of the process and its children; memory that they share counts once. After its timed run each way of
stage one meets a JPEG that is cut off; in the end ours is killed half-way and run again.

Prints the tables of PEERS.md. Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer_ways import FEATURES, STAGE_ONE, STAGE_TWO, WAYS, read
from stage_one import CORES, instructions, make_photographs, median

N_FEATURES, SMALL = 235_000, 20  # SMALL: so many times fewer of all
N_FAULTS, BROKEN, KILLED = 40, 30, "ours-openvino"
OURS, HERE = Path(sys.executable), Path(__file__).absolute().parent
Result = dict[str, Any]


def make_data(folder: Path, n: int, n_features: int) -> None:
    """Write photographs, some more of which one is cut off, and simulated features."""
    from stage_two import make_caches

    make_photographs(folder, n, {"images": n})
    make_photographs(folder / "faults", N_FAULTS, {"images": N_FAULTS})
    broken = folder / "faults" / "images" / f"{BROKEN}.jpg"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    make_caches(folder, n_features, None)


# --- one measurement ------------------------------------------------------------------------------


def measure(name: str, folder: Path) -> Result:
    """Run a way in this process and its working folder; print "ready" when the clock starts."""
    begun: list[float] = []

    def ready() -> None:
        begun.extend((time.perf_counter(), sum(os.times()[:4])))
        print("ready", flush=True)

    made = WAYS[name].call(folder, ready)
    if name in STAGE_ONE and not name.startswith("ours"):
        np.save("features.npy", made)
    wall, cores = time.perf_counter() - begun[0], sum(os.times()[:4]) - begun[1]
    result = {"n": len(made), "wall": wall, "cores": cores}
    if name in STAGE_ONE:
        os.chdir(tempfile.mkdtemp(dir=Path.cwd()))
        return result | {"broken": at_broken_file(name, folder / "faults")}
    from scipy.stats import spearmanr

    return result | {"srcc": float(spearmanr(made, read(folder, "test")[2])[0])}


def at_broken_file(name: str, folder: Path) -> str:
    """Say what a way makes of N_FAULTS photographs, one of which is cut off."""
    try:
        n = len(WAYS[name].call(folder, lambda: None))
    except Exception as problem:  # whatever a library raises is the answer
        return f"stops: {type(problem).__name__}"
    return "left out and named" if n == N_FAULTS - 1 else "taken for whole"


def start(python: Path, name: str, folder: Path, out: Path) -> subprocess.Popen[str]:
    """Start measuring a way in a fresh process, in a session of its own."""
    out.mkdir(exist_ok=True)
    path = os.pathsep.join((str(HERE), str(HERE.parents[1])))
    ours = {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [str(python), __file__, "--measure", name, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=(out / "stderr.txt").open("w"),
        text=True,
        cwd=out,
        start_new_session=True,
        env={**os.environ, **ours},
    )


def in_own_process(python: Path, name: str, folder: Path, out: Path) -> Result | None:
    """Measure a way in a fresh process, and its memory from here; None where it fails."""
    process, peak, lines = start(python, name, folder, out), 0.0, []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    while process.poll() is None:
        peak = max(peak, megabytes(process.pid))
        time.sleep(0.2)
    reader.join()
    if process.returncode:
        said = (out / "stderr.txt").read_text().strip().splitlines()
        print(f"{name}: not measured ({' '.join(said[-1:])})", file=sys.stderr, flush=True)
        return None
    return json.loads(lines[-1]) | {"mb": peak}


def megabytes(session: int) -> float:
    """Return the resident memory of a session's processes, shared pages counted once (PSS)."""
    kilobytes = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == session:
                words = (process / "smaps_rollup").read_text().split()
                kilobytes += int(words[words.index("Pss:") + 1])
    return kilobytes / 1024


def killed(folder: Path, out: Path, wall: float) -> str:
    """Kill our own way half-way, run it again, and say what that took."""
    from tests.benchmarks.gpu import written

    process = start(OURS, KILLED, folder, out)
    while process.stdout and process.stdout.readline() not in ("ready\n", ""):
        pass
    time.sleep(wall / 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept, again = written(out / FEATURES), in_own_process(OURS, KILLED, folder, out)
    rest = f"the rest took {again['wall']:.1f} s" if again else "and the rest failed"
    return f"{KILLED}: {kept} kept of a run that is killed after {wall / 2:.1f} s; {rest}"


# --- the run --------------------------------------------------------------------------------------


def run(names: list[str], python: Path, folder: Path, rounds: int) -> dict[str, list[Result]]:
    """Measure the ways in turn, and return what they gave."""
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        for name, collected in results.items():
            if number and not collected:
                continue
            with tempfile.TemporaryDirectory() as out:
                used = python if WAYS[name].theirs else OURS
                if result := in_own_process(used, name, folder, Path(out)):
                    collected.append(result)
                    print(f"round {number + 1}: {name} {result}", file=sys.stderr, flush=True)
    return results


def row(name: str, results: list[Result]) -> str:
    """Return a way's line of its table: medians of the rounds."""
    if not results:
        return f"| {name} | not measured | | | |"
    wall, cores, mb = (median(results, key) or 0.0 for key in ("wall", "cores", "mb"))
    last, n = results[-1], results[-1]["n"]
    if name in STAGE_ONE:
        return f"| {name} | {n / wall:.0f} | {cores / n * 1e3:.1f} | {mb:.0f} | {last['broken']} |"
    return f"| {name} | {wall:.1f} | {cores:.0f} | {mb:.0f} | {last['srcc']:.3f} |"


def tables(results: dict[str, list[Result]]) -> str:
    """Return both tables as Markdown, of the ways that were asked for."""
    heads = (
        (STAGE_ONE, "| stage one | img/s | core-ms a photograph | MB | at a broken file |"),
        (STAGE_TWO, "| stage two | seconds | core seconds | MB | SRCC, simulated |"),
    )
    return "\n\n".join(
        "\n".join([head, "|---" * 5 + "|", *(row(n, results[n]) for n in ways if n in results)])
        for ways, head in heads
    )


def main() -> None:
    """Make the data, measure every way, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", type=Path, help="the Python of the peers' environment")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--photographs", type=int, default=2_000)
    parser.add_argument("--small", action="store_true", help="a quick look, no figures to keep")
    parser.add_argument("--only", default=",".join(WAYS), help="names of ways, by comma")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder)))
        return
    if options.python is None:
        parser.error("--python is missing: the beginning of this file says of what")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        share = SMALL if options.small else 1
        make_data(folder, options.photographs // share, N_FEATURES // share)
        print(f"{platform.machine()}, {CORES} cores with {instructions()}", end=", ")
        print(f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}\n", flush=True)
        python = options.python.absolute()
        results = run(options.only.split(","), python, folder, options.rounds)
        print(tables(results), flush=True)
        if wall := median(results.get(KILLED, []), "wall"):
            print(f"\n{killed(folder, folder / 'killed', wall)}")


if __name__ == "__main__":
    main()
