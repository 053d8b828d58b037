"""How fast stage two is at AVA's size, in one run on one machine.

    python tests/benchmarks/stage_two.py [--around FEATURES] [--photographs 235000]
        [--parts read,epoch,train,compare,sweep]

Makes caches of so many photographs: real features of FEATURES (a folder with train.h5), or
gamma-distributed ones, each with noise, and votes whose mean follows some of the features. Times,
each in a process of its own:

- read: all features through the cache, beside reading the same bytes of the bare file;
- epoch: one epoch of `model.fit` and one of ours, the same recipe and batch size, float16
  features in memory, with the losses that both come to; and one of the default's beside the two
  large matrix products in it, in float32 and in bfloat16;
- train: `heads train emd` to the end of its schedule;
- compare: `heads compare`, all heads, and the most memory it took;
- sweep: 16 settings beside one, of a linear head and of the default.

Nothing is asserted: a number is no test.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CORES = len(os.sched_getaffinity(0))
PARTS = ("read", "epoch", "train", "compare", "sweep")
LEVELS, BLOCK = 10, 4096
ROUNDS = 5


# --- caches ---------------------------------------------------------------------------------------


def make_caches(folder: Path, n: int, around: Path | None) -> None:
    """Write train.h5 of n photographs, val.h5 and test.h5 of a tenth each."""
    base = _base(around)
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal(base.shape[1]) * (rng.random(base.shape[1]) < 0.2)
    for split, size in (("train", n), ("val", n // 20), ("test", n // 12)):
        _make(folder / f"{split}.h5", split, size, base, kernel, rng)


def _base(around: Path | None) -> np.ndarray:
    if around is None:
        return np.random.default_rng(1).gamma(0.6, 0.8, (2000, 1280)).astype(np.float32)
    from cache.store import open_cache

    cache = open_cache(around / "train.h5")
    features = cache.features[:, 0][cache.ok_rows]
    return np.asarray(features[:, -1280:], np.float32)


def _make(
    path: Path, split: str, n: int, base: np.ndarray, kernel: np.ndarray, rng: np.random.Generator
) -> None:
    from cache.labels import LabelTable, Manifest, mean_of_votes
    from cache.types import Scale, SplitRule
    from tests.helpers import make_spec, write_cache

    width = base.shape[1]
    features = np.empty((n, 1, width), np.float16)
    signal = np.empty(n)
    scale = base.std(axis=0)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        mixed = base[rng.integers(0, len(base), rows.stop - start)]
        mixed = mixed + scale * rng.standard_normal(mixed.shape, np.float32)
        features[rows, 0] = np.clip(mixed, 0, 6)
        signal[rows] = np.tanh(mixed) @ kernel
    signal = (signal - signal.mean()) / signal.std() + rng.standard_normal(n)
    away = np.arange(1, LEVELS + 1) - (5.5 + 0.6 * signal)[:, None]
    shares = np.exp(-0.5 * (away / 1.4) ** 2)
    votes = rng.multinomial(200, shares / shares.sum(axis=1, keepdims=True)).astype(np.int32)
    ids = np.char.add(split, np.arange(n).astype(str))
    labels = LabelTable(
        image_id=ids,
        path=np.char.add(ids, ".jpg"),
        group=np.full(n, ""),
        votes=votes,
        mean=mean_of_votes(votes),
        scale=Scale(1, LEVELS),
        threshold="5",
    )
    manifest = Manifest(labels, SplitRule(split, "made", 0, 0.1, 0.1, 0))
    write_cache(path, manifest, make_spec(n_features=width), features, label_note="made up")


# --- what is timed --------------------------------------------------------------------------------


def read(folder: Path) -> None:
    """Read every feature through the cache and bare."""
    from heads.data.splits import load_splits

    start = time.perf_counter()
    X = load_splits(folder, splits=("train",))["train"].X
    print(f"open train.h5 with its labels: {time.perf_counter() - start:.2f} s")

    def ours() -> None:
        for start in range(0, len(X), BLOCK):
            np.add.reduce(X[start : start + BLOCK].reshape(-1).view(np.uint16), dtype=np.uint64)

    def bare() -> None:
        whole = np.memmap(folder / "train.h5", np.uint16, "r")
        step = BLOCK * 1280
        for start in range(0, len(whole), step):
            np.add.reduce(whole[start : start + step], dtype=np.uint64)

    bare()
    seconds = {
        name: min(_timed(call) for _ in range(ROUNDS))
        for name, call in (("through the cache", ours), ("bare memory-map", bare))
    }
    size = (folder / "train.h5").stat().st_size / 1e9
    for name, took in seconds.items():
        print(f"read {size:.2f} GB, {name}: {took:.2f} s, {size / took:.1f} GB/s")


def epoch(folder: Path) -> None:
    """Time an epoch of model.fit and of ours, the same recipe; then ours beside its products."""
    from heads.data.splits import load_splits
    from heads.models.neural.settings import NetworkSettings

    labelled = load_splits(folder, splits=("train",))["train"]
    for hidden, batch_size in (((), 256), ((), 1024), ((256,), 1024)):
        settings = NetworkSettings(hidden=hidden, batch_size=batch_size, epochs=ROUNDS)
        _both_epochs(*training_data(labelled, settings))
    for precision in ("float32", "bfloat16"):
        settings = NetworkSettings(batch_size=1024, epochs=ROUNDS, precision=precision)
        _beside_products(*training_data(labelled, settings))


def training_data(labelled: Any, settings: Any) -> tuple[Any, Any]:
    """Return the task of the head `emd` on photographs with labels, and its training data."""
    from heads.models.neural.epochs import for_this_machine
    from heads.models.neural.inputs import Photographs, standardiser
    from heads.models.neural.tasks import DistributionTask
    from heads.models.neural.training import TrainingData

    settings = for_this_machine(settings.resolve(len(labelled), (labelled.X.shape[2],)))
    task = DistributionTask.learn(labelled.labels)
    photographs = Photographs(labelled.X, mean_only=False)
    scaler = standardiser(photographs, settings)
    targets = task.encode(labelled.labels)
    return task, TrainingData(photographs, scaler, targets, settings, 2**40)


def _both_epochs(task: Any, data: Any) -> None:
    mine, fitted = our_epochs(task, data), fitted_epochs(task, data)
    fast, slow = (min(took for took, _ in rows[1:]) for rows in (mine, fitted))
    shown = ["/".join(f"{loss:.4f}" for _, loss in rows) for rows in (mine, fitted)]
    print(
        f"epoch, hidden {data.settings.hidden}, batch {data.settings.batch_size}: ours "
        f"{fast:.2f} s, model.fit {slow:.2f} s ({slow / fast:.1f} x); losses ours {shown[0]}, "
        f"model.fit {shown[1]}"
    )


def _beside_products(task: Any, data: Any) -> None:
    fast = min(took for took, _ in our_epochs(task, data)[1:])
    alone = min(products_alone(build_network(task, data).dropouts, data) for _ in range(ROUNDS))
    print(
        f"epoch, the default in {data.settings.precision}: {fast:.2f} s, its two large matrix "
        f"products alone {alone:.2f} s ({alone / fast:.0%} of bound)"
    )


def products_alone(dropouts: Any, data: Any) -> float:
    """Return the seconds of an epoch's products of features and kernel, forward and back."""
    import tensorflow as tf

    size, n = data.settings.batch_size, len(data.targets)
    n_inputs, n_hidden = (dropout.n_kept * dropout.block for dropout in dropouts)
    x = tf.zeros((size, n_inputs), data.settings.precision)

    @tf.function
    def products(kernel: Any) -> Any:
        for _ in tf.range(n // size):
            kernel = tf.matmul(x, x @ kernel, transpose_a=True)
        return kernel

    kernel = tf.zeros((n_inputs, n_hidden), x.dtype)
    products(kernel)
    return _timed(lambda: products(kernel).numpy()) * n / (n // size * size)


def build_network(task: Any, data: Any) -> Any:
    from heads.models.neural.network import Network

    return Network.build(task, data.targets, data.settings, data.photographs.X.shape[2], seed=0)


def _loss(network: Any, data: Any) -> float:
    """Return the loss of some photographs, without dropout."""
    inputs = data.standardiser.apply(data.photographs.block(0, 20_000))
    outputs = network.body.predict(inputs, 4096, verbose=0)
    return float(np.mean(network.loss(data.targets[:20_000], outputs)))


def our_epochs(task: Any, data: Any) -> list[tuple[float, float]]:
    """Return seconds and the loss in the end of each of ROUNDS epochs, as `heads` trains."""
    from heads.models.neural.epochs import make_epoch
    from heads.models.neural.training import draw_order

    network, rng, rows = build_network(task, data), np.random.default_rng(0), []
    step = make_epoch(network)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for block, targets in data.blocks(rng):
            step(block, targets, *draw_order(network, data, len(targets), rng))
        rows.append((time.perf_counter() - start, _loss(network, data)))
    return rows


def fitted_epochs(task: Any, data: Any) -> list[tuple[float, float]]:
    """Return what `our_epochs` does, of `model.fit`."""
    network = build_network(task, data)
    model, settings, rows = plain_model(network, data), data.settings, []
    features = data.photographs.whole()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        model.fit(features, data.targets, settings.batch_size, epochs=1, verbose=0)
        rows.append((time.perf_counter() - start, _loss(network, data)))
    return rows


def plain_model(network: Any, data: Any) -> Any:
    """Return a network as one would write it: on float16 features, all else Keras' own layers."""
    import keras
    from keras import ops

    scaler, settings = data.standardiser, data.settings
    inputs = keras.Input(scaler.mean.shape, dtype="float16")
    x = ops.cast(inputs, "float32")
    x = ops.sign(x) * ops.sqrt(ops.abs(x))
    x = keras.layers.Normalization(mean=scaler.mean, variance=scaler.deviation**2)(x)
    if not network.dropouts[0].keeps_all:
        x = keras.layers.Dropout(settings.input_dropout)(x)
    for layer in network.body.layers:
        if isinstance(layer, keras.layers.Dense):
            x = layer(x)
            if layer is not network.body.layers[-1]:
                x = keras.layers.Dropout(settings.dropout)(x)
    model = keras.Model(inputs, x)
    rate = keras.optimizers.schedules.CosineDecay(settings.lr, network.decay_steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.l2)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, loss=network.loss)
    return model


def train(folder: Path) -> None:
    """Time heads train emd."""
    with tempfile.TemporaryDirectory() as out:
        _command("heads train emd", "train", "emd", "--features", str(folder), "--out", out)


def compare(folder: Path) -> None:
    """Time heads compare."""
    with tempfile.TemporaryDirectory() as out:
        _command("heads compare, all heads", "compare", "--features", str(folder), "--out", out)


def sweep(folder: Path) -> None:
    """Time 16 settings beside one, of a linear head and of the default."""
    from heads.data.splits import load_splits
    from heads.experiments.sweep import Grid, measure_points
    from heads.models.neural.settings import NetworkSettings
    from heads.models.registry import load_keras

    load_keras()
    data = load_splits(folder, splits=("train", "val"))
    one = Grid((3e-4,), (0.01,), (0.2,))
    grid = Grid((1e-4, 3e-4, 1e-3, 3e-3), (0.001, 0.01, 0.1, 1.0), (0.2,))
    for hidden in ((), NetworkSettings().hidden):
        base = NetworkSettings(hidden=hidden, epochs=5)
        alone, many = (
            _timed(lambda b=base, g=g: measure_points("emd", data, g, b, 0)) for g in (one, grid)
        )
        print(
            f"sweep, hidden {hidden}: one {alone:.1f} s, 16 settings {many:.1f} s "
            f"({many / alone:.1f} x)"
        )


def _command(title: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "heads", *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{title}: {took:.0f} s, at most {peak:.1f} GB of memory")


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# --- the run --------------------------------------------------------------------------------------


def main() -> None:
    """Make the caches and time each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--around", type=Path, metavar="FEATURES")
    parser.add_argument("--photographs", type=int, default=235_000)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--caches", type=Path, help="keep the caches there, and use them again")
    parser.add_argument("--only", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        {"read": read, "epoch": epoch, "train": train, "compare": compare, "sweep": sweep}[
            options.only
        ](options.caches)
        return
    print(f"{CORES} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.caches or Path(temporary)
        if not (folder / "test.h5").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_caches(folder, options.photographs, options.around)
        for part in options.parts.split(","):
            command = [sys.executable, "-u", __file__, "--caches", str(folder), "--only", part]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
