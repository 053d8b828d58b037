"""How fast stage one is on a GPU, with Keras on JAX; `gpu.sh` runs the steps, each with its limit.

    python tests/benchmarks/gpu.py STEP --work FOLDER --out FOLDER [--small]

A step adds what it measures to OUT/results.json as soon as it has it, so that a run that is cut
short still tells what it had; the step `table` makes OUT/table.md of whatever is there. Every step
runs in a process of its own. `--small` tries all of them on any machine, in little time; its
figures say nothing. Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from cache.types import Status
from extract.images.decode import read_photograph
from extract.images.resizing import find_interpolation
from extract.images.views import views
from tests.benchmarks.gpu_tables import EXACT, N_FEATURES, PRECISIONS, as_markdown

TRAIN_PHOTOGRAPHS, LEVELS = 235_000, 10
CORES = len(os.sched_getaffinity(0))
VERSIONS = ("jax", "jaxlib", "keras", "numpy", "pillow", "h5py", "scikit-learn", "pandas")


@dataclass(frozen=True)
class Size:
    """How much is measured. `batches`: the one that the engine takes first, then others."""

    photographs: int = 20_000
    different: int = 400
    batches: tuple[int, ...] = (128, 512, 1024, 256, 64)
    threads: tuple[int, ...] = (1, 4, 8, 16)
    decoded: int = 8_000
    compared: int = 128
    train: int = TRAIN_PHOTOGRAPHS
    seconds: float = 0.8


SMALL = Size(40, 8, (4, 2), (1, 2), 40, 4, 3000, 0.05)


@dataclass(frozen=True)
class Run:
    """Where a step works and writes, and its size."""

    work: Path
    out: Path
    size: Size

    @property
    def photographs(self) -> Path:
        """The data folder of `extract`."""
        return self.work / "photographs"

    @property
    def results(self) -> dict[str, Any]:
        """What all steps measured so far."""
        path = self.out / "results.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def keep(self, step: str, measured: dict[str, Any]) -> None:
        """Add to a step's results, on the disk and on the screen."""
        results = self.results
        results.setdefault(step, {}).update(measured)
        part = self.out / "results.part"
        part.write_text(json.dumps(results, indent=1))
        part.replace(self.out / "results.json")
        print(step, json.dumps(measured), flush=True)

    def paths(self, n: int) -> list[Path]:
        """The first n photographs that are there."""
        paths = (self.photographs / "images" / f"{i}.jpg" for i in range(n))
        return [path for path in paths if path.exists()]


# --- the machine and its photographs --------------------------------------------------------------


def machine(run: Run) -> None:
    """Say what this runs on; JAX comes last, as it may take its time to load."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    run.keep(
        "machine",
        {
            "card": _output(query) or "no NVIDIA card",
            "cores": CORES,
            "processor": _processor(),
            "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30,
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in VERSIONS},
            "tensorflow": _version("tensorflow"),
            "date": time.strftime("%Y-%m-%d"),
        },
    )
    import jax

    run.keep("machine", {"devices": [str(device) for device in jax.devices()]})


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def photographs(run: Run) -> None:
    """Write JPEGs of 640 x 480, a few different ones and copies of them, and labels.csv."""
    start, images = time.perf_counter(), run.photographs / "images"
    images.mkdir(parents=True, exist_ok=True)
    n, different = run.size.photographs, run.size.different
    _write_labels(run.photographs / "labels.csv", n)
    with multiprocessing.Pool(CORES) as pool:
        pool.starmap(_make_photograph, [(images, i) for i in range(different)])
        pool.starmap(_copy, [(images, i % different, i) for i in range(different, n)], 64)
    size = sum(path.stat().st_size for path in run.paths(different)) / different
    seconds = time.perf_counter() - start
    run.keep("photographs", {"n": n, "different": different, "bytes": size, "seconds": seconds})


def _write_labels(path: Path, n: int) -> None:
    votes = np.random.default_rng(0).integers(1, 30, (n, LEVELS))
    lines = ["file,split," + ",".join(f"r{level}" for level in range(1, LEVELS + 1))]
    lines += [",".join([f"{i}.jpg", _split(i), *map(str, row)]) for i, row in enumerate(votes)]
    path.write_text("\n".join(lines) + "\n")


def _split(i: int) -> str:
    return "test" if i % 12 == 5 else "val" if i % 20 == 7 else "train"


def _make_photograph(folder: Path, i: int) -> None:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(i)
    image = Image.fromarray(load_sample_images().images[i % 2])
    width = int(rng.integers(400, 560))
    height = width * 3 // 4
    left = int(rng.integers(0, image.width - width))
    top = int(rng.integers(0, image.height - height))
    box = (left, top, left + width, top + height)
    picture = image.crop(box).resize((640, 480), Image.Resampling.BICUBIC)
    gain = rng.uniform(0.7, 1.2)
    picture.point(lambda value: value * gain).save(folder / f"{i}.jpg", quality=90)


def _copy(folder: Path, source: int, target: int) -> None:
    shutil.copyfile(folder / f"{source}.jpg", folder / f"{target}.jpg")


# --- parts of stage one, alone --------------------------------------------------------------------


def inference(run: Run) -> None:
    """Images a second of each batch size and precision, uploaded as 8 bits or already there."""
    import jax

    start = time.perf_counter()
    models = _models()
    run.keep("inference", {"seconds_building": time.perf_counter() - start})
    for batch in run.size.batches:
        start = time.perf_counter()
        with ThreadPoolExecutor(len(PRECISIONS)) as pool:
            calls = list(pool.map(lambda p, b=batch: compiled(models, p, b), PRECISIONS))
        seconds = time.perf_counter() - start
        pixels = [_noise(batch, seed) for seed in range(4)]
        rates = {
            precision: {
                "uploaded": _rate_uploaded(call, pixels, run.size.seconds),
                "on_card": _rate_on_card(call, pixels, run.size.seconds),
            }
            for precision, call in zip(PRECISIONS, calls, strict=True)
        }
        stats = jax.devices()[0].memory_stats() or {}
        more = {"seconds_compiling": seconds, "peak_bytes": stats.get("peak_bytes_in_use")}
        run.keep("inference", {f"batch {batch}": rates | more})
    run.keep("inference", {"upload_gb_per_s": _upload_speed(run.size.seconds)})


def _models() -> dict[str, Any]:
    from extract.backbones.graph import build_extractor
    from extract.backbones.registry import BACKBONES, DEFAULT
    from extract.backbones.weights import find_weights

    weights = find_weights(BACKBONES[DEFAULT], "auto")
    return {
        dtype: build_extractor(weights, layers="top", batch_size=None, compute_dtype=dtype)
        for dtype in ("float32", "bfloat16", "float16")
    }


def compiled(
    models: dict[str, Any], precision: str, batch: int, device: str | None = None
) -> Callable[[Any], Any]:
    """Return a model, compiled as the engine compiles it; default: on the GPU if there is one."""
    import jax

    from extract.backbones.engines import compiled_by_jax

    exact = precision == EXACT
    with jax.default_matmul_precision("highest") if exact else contextlib.nullcontext():
        model = models["float32" if exact else precision]
        return compiled_by_jax(model, device or jax.default_backend(), batch)


def _noise(batch: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, 224, 224, 3), np.uint8)


def _times(once: Callable[[], object], seconds: float) -> int:
    """Return how often something is to be done to take about so many seconds; warms it up."""
    once()
    start = time.perf_counter()
    once()
    return max(2, int(seconds / (time.perf_counter() - start)))


def _rate_uploaded(
    call: Callable[[Any], Any], pixels: Sequence[np.ndarray], seconds: float
) -> float:
    """Images a second from host memory to features in host memory, two batches at a time."""
    n = 2 * _times(lambda: np.asarray(call(pixels[0])), seconds)
    batches = [pixels[i % len(pixels)] for i in range(n)]
    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        list(pool.map(lambda batch: np.asarray(call(batch)), batches))
        return n * len(pixels[0]) / (time.perf_counter() - start)


def _rate_on_card(
    call: Callable[[Any], Any], pixels: Sequence[np.ndarray], seconds: float
) -> float:
    import jax

    there = [jax.device_put(batch) for batch in pixels]
    n = _times(lambda: call(there[0]).block_until_ready(), seconds)
    start = time.perf_counter()
    for i in range(n):
        last = call(there[i % len(there)])
    last.block_until_ready()
    return n * len(pixels[0]) / (time.perf_counter() - start)


def tensorflow(run: Run) -> None:
    """Images a second in TensorFlow as the engine runs it and compiled by XLA; and their cosine."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import tensorflow as tf
    except ImportError:
        print("tensorflow: not installed, so not measured")
        return
    model = _models()["float32"]
    batch = run.size.batches[0]
    pixels = [_noise(batch, seed) for seed in range(4)]
    made = {}
    for name, xla in (("as it is", False), ("XLA", True)):
        start = time.perf_counter()
        graph = tf.function(
            lambda pixels: model([pixels], training=False), autograph=False, jit_compile=xla
        ).get_concrete_function(tf.TensorSpec((batch, 224, 224, 3), "uint8"))

        def call(pixels: np.ndarray, graph: Any = graph) -> np.ndarray:
            return graph(tf.constant(pixels)).numpy()

        made[name] = call(pixels[0])
        seconds = time.perf_counter() - start
        rate = _rate_uploaded(call, pixels, run.size.seconds)
        run.keep("tensorflow", {name: {"uploaded": rate, "seconds_compiling": seconds}})
    run.keep("tensorflow", {"batch": batch, "smallest_cosine": _smallest_cosine(*made.values())})


def _smallest_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / norms).min())


def _upload_speed(seconds: float) -> float:
    import jax

    pixels = _noise(256, 0)
    n = _times(lambda: jax.device_put(pixels).block_until_ready(), seconds)
    start = time.perf_counter()
    for _ in range(n):
        jax.device_put(pixels).block_until_ready()
    return n * pixels.nbytes / 1e9 / (time.perf_counter() - start)


def decode(run: Run) -> None:
    """Images a second of decoding with so many threads, and with processes."""
    paths = run.paths(run.size.decoded)
    for n in run.size.threads:
        some = paths[: len(paths) * min(n, 4) // 4]
        with ThreadPoolExecutor(n) as pool:
            run.keep("decode", {f"{n} threads": _decoding(pool.map(_read, some), len(some))})
    with multiprocessing.Pool(CORES) as pool:
        pool.map(_read, paths[:CORES])
        for name, work in (("pixels sent back", _read), ("pixels kept there", _read_and_drop)):
            took = _decoding(pool.imap(work, paths, 16), len(paths))
            run.keep("decode", {f"{CORES} processes, {name}": took})


def _read(path: Path) -> np.ndarray:
    resized_by = find_interpolation("auto")
    return read_photograph(path, views("center"), interpolation=resized_by).pixels_u8


def _read_and_drop(path: Path) -> None:
    _read(path)


def _decoding(results: Iterable[object], n: int) -> dict[str, float]:
    """Images a second, and this process's own milliseconds a photograph."""
    start, used = time.perf_counter(), time.process_time()
    for _ in results:
        pass
    used, took = time.process_time() - used, time.perf_counter() - start
    return {"images_per_second": n / took, "core_ms": 1e3 * used / n}


def features(run: Run) -> None:
    """The smallest cosine between a photograph's features and the processor's, by precision."""
    pixels = np.concatenate([_read(path) for path in run.paths(run.size.compared)])
    models = _models()

    def computed(precision: str, device: str | None) -> np.ndarray:
        return np.asarray(compiled(models, precision, len(pixels), device)(pixels), np.float64)

    expected = computed(EXACT, "cpu")
    for precision in PRECISIONS:
        found = computed(precision, None)
        measured = {
            "smallest_cosine": _smallest_cosine(found, expected),
            "largest_difference": float(np.abs(found - expected).max()),
        }
        run.keep("features", {precision: measured})


# --- stage one as a user runs it ------------------------------------------------------------------


def extract_default(run: Run) -> None:
    """`extract --split all`, and nothing else said."""
    _extract(run, "default", [])


def extract_reduced(run: Run) -> None:
    """The faster of the two precisions of 16 bits."""
    precision, _ = _fastest(run, ("bfloat16", "float16"))
    _extract(run, "16 bits", ["--precision", precision])


def extract_best(run: Run) -> None:
    """The fastest precision, batch and number of threads of what was measured alone."""
    precision, batch = _fastest(run, ("float32", "bfloat16", "float16"))
    of_threads = {k: v for k, v in run.results.get("decode", {}).items() if "threads" in k}
    most = max(of_threads, key=lambda name: of_threads[name]["images_per_second"], default="")
    jobs = ["--jobs", most.split()[0]] if most else []
    _extract(run, "best", ["--precision", precision, *jobs], batch)


def _fastest(run: Run, precisions: Sequence[str]) -> tuple[str, int]:
    """Return the precision and batch with the highest rate from host memory."""
    measured = run.results.get("inference", {})
    rates = {
        (precision, int(name.split()[1])): rows[precision]["uploaded"]
        for name, rows in measured.items()
        if name.startswith("batch")
        for precision in precisions
    }
    return max(rates, key=rates.__getitem__, default=(precisions[0], run.size.batches[0]))


def _extract(run: Run, name: str, options: Sequence[str], batch: int = 0) -> None:
    import jax

    from extract import cli
    from extract.backbones import engines

    if batch:  # no option: it is the engine's own affair
        engines.GPU_BATCH = engines.CPU_BATCH = batch
    out = run.work / f"features-{name.replace(' ', '-')}"
    places = ["--data", str(run.photographs), "--out", str(out)]
    printed, start = io.StringIO(), time.perf_counter()
    with _Watch() as watch, contextlib.redirect_stdout(printed):
        code = cli.main(["--split", "all", "--json", *places, *options])
    wall = time.perf_counter() - start
    if code:
        run.keep("extract", {name: {"cut_short": f"{written(out):,} in {wall:.0f} s"}})
        raise SystemExit(code)
    splits = [json.loads(line) for line in printed.getvalue().splitlines()]
    sums = {k: sum(split[k] for split in splits) for k in _SUMMED}
    measured = {
        "options": " ".join(options) + (f", batch {batch}" if batch else ""),
        "engine": splits[0]["engine"],
        "device": splits[0]["device"],
        "command_seconds": wall,
        "images_per_second": sums["extracted"] / sums["wall"],
        "host_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "gpu_gb": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e9,
        "gpu_busy_percent": watch.busy(sums["wall"]),
    }
    run.keep("extract", {name: measured | sums})


def written(folder: Path) -> int:
    """Count the photographs in a folder's caches, finished or not."""
    import h5py

    done = 0
    for path in folder.glob("*.h5*"):
        with contextlib.suppress(OSError), h5py.File(path, "r", locking=False) as file:
            done += int((file["status"][:] == Status.OK).sum())
    return done


_SUMMED = ("ok", "extracted", "decode", "inference", "engine_busy", "write", "wall")


class _Watch:
    """Asks the driver how busy the card is."""

    each_second = 5

    def __enter__(self) -> _Watch:
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        query += ["-lms", str(1000 // self.each_second)]
        self._lines: list[str] = []
        self._process = None
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                ["nvidia-smi", *query], stdout=subprocess.PIPE, text=True
            )
            threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        self._lines.extend(self._process.stdout)

    def __exit__(self, *error: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def busy(self, seconds: float) -> float | None:
        """The mean share of the last seconds in which the card was at work, in percent."""
        shares = [int(line) for line in self._lines if line.strip().isdecimal()]
        last = shares[-max(1, int(seconds * self.each_second)) :]
        return float(np.mean(last)) if last else None


# --- stage two ------------------------------------------------------------------------------------


def heads(run: Run) -> None:
    """An epoch of the default `emd` by model.fit; our compiled loop is TensorFlow's."""
    from stage_two import fitted_epochs

    from heads.models.neural.settings import NetworkSettings
    from heads.models.neural.tasks import DistributionTask

    settings = NetworkSettings(batch_size=1024, epochs=5).resolve(run.size.train, (N_FEATURES,))
    data = _training(run.size.train, settings)
    run.keep("heads", {"n": len(data.photographs)})
    rows = fitted_epochs(DistributionTask(LEVELS), data)
    seconds, losses = min(took for took, _ in rows[1:]), [loss for _, loss in rows]
    run.keep("heads", {"model.fit": {"epoch_seconds": seconds, "losses": losses}})


def _training(n: int, settings: Any) -> SimpleNamespace:
    """Return simulated photographs as `fitted_epochs` takes them."""
    from heads.models.neural.inputs import Photographs, standardiser

    rng = np.random.default_rng(0)
    some = rng.gamma(0.6, 0.8, (min(n, 10_000), N_FEATURES)).clip(0, 6)
    means = 5.5 + 0.02 * (some[:, :64].sum(axis=1) - some[:, :64].sum(axis=1).mean())
    votes = np.exp(-0.5 * ((np.arange(1, LEVELS + 1) - means[:, None]) / 1.4) ** 2)
    votes /= votes.sum(axis=1, keepdims=True)
    rows = rng.integers(0, len(some), n)
    photographs = Photographs(some.astype(np.float16)[rows][:, None], mean_only=False)
    return SimpleNamespace(
        photographs=photographs,
        standardiser=standardiser(photographs, settings),
        targets=votes.astype(np.float32)[rows],
        settings=settings,
    )


# --- the table ------------------------------------------------------------------------------------


def table(run: Run) -> None:
    """Write OUT/table.md and print it."""
    text = as_markdown(run.results)
    (run.out / "table.md").write_text(text)
    print(text)


# --- the run --------------------------------------------------------------------------------------

STEPS: dict[str, Callable[[Run], None]] = {
    "machine": machine,
    "photographs": photographs,
    "extract-default": extract_default,
    "inference": inference,
    "decode": decode,
    "features": features,
    "extract-reduced": extract_reduced,
    "extract-best": extract_best,
    "tensorflow": tensorflow,
    "heads": heads,
    "table": table,
}


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, help="photographs and features")
    parser.add_argument("--out", type=Path, required=True, help="results.json and table.md")
    parser.add_argument("--small", action="store_true", help="try it: little of everything")
    options = parser.parse_args()
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    STEPS[options.step](Run(options.work, options.out, SMALL if options.small else Size()))


if __name__ == "__main__":
    sys.exit(main())
