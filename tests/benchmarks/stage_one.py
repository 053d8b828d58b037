"""How fast stage one is, beside the obvious way, in one run on one machine.

    python tests/benchmarks/stage_one.py [--photographs 1536] [--rounds 3]

Makes JPEGs of 640 x 480 from the two photographs that scikit-learn ships and times, each in a
process of its own and in turn, so that a machine's drift hits all alike:

- the obvious way: tf.data decodes and resizes, model.predict computes, batch 64;
- `extract` with each engine and precision that this machine has;
- decoding alone and inference alone, in processor seconds a photograph with all cores busy, which
  give the bound cores / (decode + inference) that no pipeline on these cores can pass;
- decoding alone of PNGs and of JPEGs of 12 megapixels, too, each with either resizer.

Prints the median of the rounds. Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CORES = len(os.sched_getaffinity(0))
WAYS = ("obvious", "keras-float32", "openvino-float32", "openvino-bfloat16")
# Folders of photographs, and how many are decoded of each.
KINDS = {"images": 384, "png": 192, "large": 24}
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")


def make_photographs(folder: Path, n: int, kinds: Mapping[str, int] = KINDS) -> None:
    """Write n JPEGs of 640 x 480, quality 90, and labels.csv that puts all into train."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    images = [Image.fromarray(image) for image in load_sample_images().images]
    rng = np.random.default_rng(0)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
    lines = ["file,r1,r2,r3,split"]
    for i in range(n):
        left, top = rng.integers(0, 128), rng.integers(0, 85)
        box = (left, top, left + 512, top + 342)
        picture = images[i % 2].crop(box).resize((640, 480), Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{i}.jpg", quality=90)
        if i < kinds.get("png", 0):
            picture.save(folder / "png" / f"{i}.png")
        if i < kinds.get("large", 0):
            picture.resize((4000, 3000)).save(folder / "large" / f"{i}.jpg", quality=90)
        lines.append(f"{i}.jpg,{rng.integers(1, 9)},{rng.integers(1, 9)},3,train")
    (folder / "labels.csv").write_text("\n".join(lines))


def obvious_way(folder: Path) -> float:
    """Images a second of tf.data and model.predict."""
    begun: list[float] = []
    features = obvious_features(folder, lambda: begun.append(time.perf_counter()))
    return len(features) / (time.perf_counter() - begun[0])


def obvious_features(folder: Path, ready: Callable[[], object]) -> Any:
    """Return features by tf.data and model.predict, weights random (they cost the same).

    `ready` is called when the network is.
    """
    import keras
    import tensorflow as tf

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, (256, 256))[16:240, 16:240]
        return keras.applications.mobilenet_v2.preprocess_input(image)

    model = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg")
    paths = sorted(str(path) for path in (folder / "images").iterdir())
    model.predict(tf.zeros((64, 224, 224, 3)), verbose=0)
    ready()
    data = tf.data.Dataset.from_tensor_slices(paths)
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(64).prefetch(2)
    return model.predict(data, verbose=0)


def our_way(folder: Path, engine: str, precision: str) -> float:
    """Images a second of `extract`, from the first decode to the last write."""
    with tempfile.TemporaryDirectory() as out:
        summary = extract_to(Path(out), folder, engine, precision)
    return summary.extracted / summary.wall


def extract_to(
    out: Path,
    folder: Path,
    engine: str,
    precision: str,
    ready: Callable[[], object] = lambda: None,
) -> Any:
    """Run `extract` and return its summary; `ready` is called when the engine is open."""
    from extract.backbones.engines import Engine, EngineSettings, open_engine
    from extract.backbones.weights import Weights
    from extract.run.extract import extract
    from extract.run.settings import Settings

    def opened(settings: EngineSettings, weights: Weights) -> Engine:
        made = open_engine(settings, weights)
        ready()
        return made

    settings = EngineSettings(engine=engine, precision=precision, cores=CORES)
    return extract(Settings(data=folder, out=out, splits=("train",), engine=settings), opened)[0]


def decode_alone(folder: Path, kind: str, resizer: str) -> float:
    """Processor seconds a photograph of decoding, resizing and cropping, all cores busy.

    What is called a core may be one of two threads of one, and alone is faster than both at once.
    """
    from concurrent.futures import ThreadPoolExecutor

    from extract.images.decode import read_photograph
    from extract.images.resizing import find_interpolation
    from extract.images.views import views

    paths = sorted((folder / kind).iterdir())[: KINDS[kind]]
    resized_by = find_interpolation(resizer)

    def read(path: Path) -> None:
        read_photograph(path, views("center"), interpolation=resized_by)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(read, paths[:CORES]))
        start = time.process_time()
        list(pool.map(read, paths))
        return (time.process_time() - start) / len(paths)


def inference_alone(engine: str, precision: str) -> float:
    """Processor seconds a photograph of the engine, all cores busy."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from extract.backbones.engines import EngineSettings, open_engine
    from extract.backbones.registry import BACKBONES, DEFAULT
    from extract.backbones.weights import find_weights

    opened = open_engine(
        EngineSettings(engine=engine, precision=precision, cores=CORES),
        find_weights(BACKBONES[DEFAULT], "auto"),
    )
    size = opened.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (size, 224, 224, 3), np.uint8)
    with ThreadPoolExecutor(opened.parallel) as pool:
        list(pool.map(opened.features, [pixels] * (2 * opened.parallel)))
        start, n = time.perf_counter(), 384 // size * opened.parallel
        list(pool.map(opened.features, [pixels] * n))
        return CORES * (time.perf_counter() - start) / (n * size)


def measure(what: str, folder: Path) -> dict[str, float]:
    """Run one measurement in this process."""
    if what == "obvious":
        value = obvious_way(folder)
    elif what.startswith("decode:"):
        value = decode_alone(folder, *what.removeprefix("decode:").split("-"))
    elif what.startswith("inference:"):
        value = inference_alone(*what.removeprefix("inference:").split("-"))
    else:
        value = our_way(folder, *what.split("-"))
    return {"value": value, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_own_process(what: str, folder: Path) -> dict[str, float] | None:
    """Run one measurement in a fresh process; None where this machine cannot."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{what}: not measured ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(results: list[dict[str, float] | None], key: str) -> float | None:
    values = [result[key] for result in results if result]
    return statistics.median(values) if values else None


def table(folder: Path, rounds: int) -> str:
    """Measure everything in turn and return the table."""
    decodes = [f"decode:{kind}-{who}" for kind in KINDS for who in ("pillow", "cykooz")]
    alone = ["decode:images-auto", *decodes, *(f"inference:{way}" for way in WAYS[1:])]
    results: dict[str, list[dict[str, float] | None]] = {name: [] for name in (*WAYS, *alone)}
    for number in range(rounds):
        for name, collected in results.items():
            if number == 0 or collected[0] is not None:
                collected.append(in_own_process(name, folder))
                print(f"round {number + 1}: {name} {collected[-1]}", file=sys.stderr)
    decode = median(results["decode:images-auto"], "value") or 0.0
    base = median(results["obvious"], "value") or 0.0
    lines = [
        f"{'way':20}{'img/s':>8}{'ratio':>8}{'inference':>11}{'bound':>8}{'of bound':>10}{'MB':>7}",
        f"{'obvious (tf.data)':20}{base:8.0f}{1:8.2f}{'':>11}{'':>8}{'':>10}"
        f"{median(results['obvious'], 'mb'):7.0f}",
    ]
    for way in WAYS[1:]:
        rate, inference = (
            median(results[way], "value"),
            median(results[f"inference:{way}"], "value"),
        )
        if rate is None or inference is None:
            lines.append(f"{way:20} not on this machine")
            continue
        bound = CORES / (decode + inference)
        lines.append(
            f"{way:20}{rate:8.0f}{rate / base:8.2f}{inference * 1e3:8.2f} ms{bound:8.0f}"
            f"{rate / bound:10.0%}{median(results[way], 'mb'):7.0f}"
        )
    lines.append(f"decode alone {decode * 1e3:.2f} ms of one core a photograph; {CORES} cores.")
    for name in decodes:
        value = median(results[name], "value")
        lines.append(f"{name:24}" + ("not here" if value is None else f"{value * 1e3:8.2f} ms"))
    return "\n".join(lines)


def instructions() -> str:
    """Which of the instruction sets that matter here the processor has."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return ", ".join(name for name in INSTRUCTIONS if name in flags)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_photographs(Path(folder) / "photographs", options.photographs)
        machine = platform.processor() or platform.machine()
        print(f"{machine} with {instructions()}, {time.strftime('%Y-%m-%d')}")
        print(table(Path(folder) / "photographs", options.rounds))


if __name__ == "__main__":
    main()
