"""What turns pixels into features: Keras on any device, OpenVINO on a processor.

Owns the choice between them and the converted model's cache. An engine takes batches of a fixed
size: then a photograph's features do not depend on its neighbours, bit for bit.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cache.console import note, quiet_stderr
from cache.errors import EngineError
from cache.files import publish, scratch_folder
from cache.frameworks import importing_keras, numeric_variables
from extract.backbones.weights import Weights, as_read

CPU_BATCH, GPU_BATCH = 16, 128
# What the layers of more photographs pass on to each other leaves a core's cache.
OPENVINO_BATCH = 2
# Changes whenever `graph.py` would give another graph: old converted models are then left alone.
GRAPH_VERSION = 2
# The files of a converted model: its graph, its constants, and the checksums of both.
CONVERTED_SUFFIXES = (".xml", ".bin", ".sha256")

Pixels = npt.NDArray[np.uint8]
FeatureBatch = npt.NDArray[np.float32]


class Engine(Protocol):
    """Turns (batch_size, height, width, 3) uint8 into (batch_size, D) float32.

    Height and width may differ from call to call: 224, or other multiples of 32. `parallel` calls
    may run at once, each from its own thread. `device` is cpu or gpu. `label` says in words what
    runs.
    """

    batch_size: int
    parallel: int
    device: str
    label: str

    def features(self, pixels_u8: Pixels) -> FeatureBatch:
        """Compute one batch."""
        ...


@dataclass(frozen=True)
class EngineSettings:
    """What the user may choose; `layers` and `precision` enter the fingerprint."""

    engine: str = "auto"
    device: str = "auto"
    precision: str = "float32"
    layers: str = "top"
    cores: int = 1


# How an engine is opened: `open_engine`, or what stands in for it.
OpenEngine = Callable[[EngineSettings, Weights], Engine]


def full_batch(engine: Engine, pixels_u8: Pixels) -> FeatureBatch:
    """Compute at most one batch, filled up to the engine's size with black photographs."""
    n = len(pixels_u8)
    if n < engine.batch_size:
        empty = np.zeros((engine.batch_size - n, *pixels_u8.shape[1:]), np.uint8)
        pixels_u8 = np.concatenate([pixels_u8, empty])
    return engine.features(pixels_u8)[:n]


def open_engine(settings: EngineSettings, weights: Weights) -> Engine:
    """Open the engine that was asked for; `auto` takes OpenVINO on a processor where it is there.

    Raises:
        EngineError: an engine, device or precision that is not there.
    """
    has_openvino = importlib.util.find_spec("openvino") is not None
    if settings.engine == "openvino" and not has_openvino:
        raise EngineError(
            "--engine openvino: the package is not installed. Install it with: "
            "pip install 'aesthetic-heads[cpu]', or choose --engine keras."
        )
    if settings.engine == "openvino" and settings.device == "gpu":
        raise EngineError("--engine openvino runs on processors; for a GPU choose --engine keras.")
    on_gpu = settings.device == "gpu" or (settings.device == "auto" and gpu_is_likely())
    if settings.engine == "openvino" or (
        settings.engine == "auto"
        and has_openvino
        and not on_gpu
        and settings.precision != "float16"
    ):
        return OpenVinoEngine(settings, weights)
    return KerasEngine(settings, weights)


def gpu_is_likely() -> bool:
    """Whether an NVIDIA device is visible, looked at without importing a framework."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return Path("/dev/nvidia0").exists() and not hidden


class KerasEngine:
    """A backbone in Keras, on the GPU where the backend sees one."""

    def __init__(self, settings: EngineSettings, weights: Weights) -> None:
        with importing_keras():
            import keras

            from extract.backbones.graph import build_extractor

        device = _keras_device(settings.device)
        on_gpu = device == "gpu"
        self._weights = weights
        self.device = device
        self.batch_size = GPU_BATCH if on_gpu else CPU_BATCH
        # On a GPU one batch is uploaded while another is computed; a processor has no such gap.
        self.parallel = 2 if on_gpu else 1
        # A GPU turns photographs in passing, and decoding wants every core.
        self._turns_inside = on_gpu

        def compiled(size: tuple[int, int]) -> Any:
            model = build_extractor(
                weights,
                layers=settings.layers,
                batch_size=self.batch_size,
                compute_dtype=settings.precision,
                turn_inside=self._turns_inside,
                size=size,
            )
            return _compiled(model, device)

        self._call_of = _kept(compiled)
        self._call_of(weights.backbone.input_size)
        backend = keras.backend.backend()
        self.label = (
            f"Keras {keras.__version__} ({backend}) on {device}, {settings.precision}"
            f"{numeric_variables()}"
        )

    def features(self, pixels_u8: Pixels) -> FeatureBatch:
        """Compute one batch."""
        if not self._turns_inside:
            pixels_u8 = as_read(pixels_u8, self._weights)
        features: FeatureBatch = self._call_of(pixels_u8.shape[1:3])(pixels_u8)
        return features


def _kept(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that makes something for each key once, though threads ask together."""
    made: dict[Any, Any] = {}
    lock = threading.Lock()

    def get(key: Any) -> Any:
        with lock:
            if key not in made:
                made[key] = make(key)
            return made[key]

    return get


def _keras_device(wanted: str) -> str:
    """Return `gpu` or `cpu`.

    Raises:
        EngineError: a GPU was asked for and the backend sees none.
    """
    import keras

    backend, devices = keras.backend.backend(), keras.distribution.list_devices()
    # JAX names its platform, gpu or cuda, and its number; TensorFlow its device, GPU:0.
    has_gpu = any(name.lower().startswith(("gpu", "cuda")) for name in devices)
    if wanted == "gpu" and not has_gpu:
        package = "jax[cuda13]" if backend == "jax" else "aesthetic-heads[gpu]"
        raise EngineError(
            f"--device gpu: Keras' backend {backend} sees no GPU. Install the "
            f"CUDA libraries with: pip install '{package}', or choose --device cpu."
        )
    return "gpu" if has_gpu and wanted != "cpu" else "cpu"


def _compiled(model: Any, device: str) -> Any:
    """Return a compiled function from a uint8 batch to a float32 array, on any backend."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.device("/GPU:0" if device == "gpu" else "/CPU:0"):
            graph = tf.function(lambda pixels: model([pixels], training=False), autograph=False)
            graph = graph.get_concrete_function(tf.TensorSpec(model.inputs[0].shape, "uint8"))
        return lambda pixels: graph(tf.constant(pixels)).numpy()
    if keras.backend.backend() == "jax":
        forward = compiled_by_jax(model, device, model.inputs[0].shape[0])
        return lambda pixels: np.asarray(forward(pixels))
    return lambda pixels: keras.ops.convert_to_numpy(model([pixels], training=False))


def compiled_by_jax(model: Any, device: str, batch_size: int) -> Callable[[Any], Any]:
    """Return a function from a uint8 batch, on the host or the device, to features on the device.

    Compiled here, once: threads that begin together would each compile it. It answers at once;
    reading the answer waits for it.
    """
    import jax

    place = jax.devices(device)[0]
    variables = (model.trainable_variables, model.non_trainable_variables)
    weights = jax.device_put([[v.value for v in part] for part in variables], place)

    def forward(weights: Any, pixels: Any) -> Any:
        return model.stateless_call(*weights, [pixels], training=False)[0]

    pixels = jax.ShapeDtypeStruct(
        (batch_size, *model.inputs[0].shape[1:]),
        "uint8",
        sharding=jax.sharding.SingleDeviceSharding(place),
    )
    with jax.default_device(place):
        compiled = jax.jit(forward).lower(weights, pixels).compile()
    return lambda pixels: compiled(weights, pixels)


_importing = threading.Lock()  # one thread at a time hides what it must not import


def import_openvino() -> Any:
    """Import OpenVINO without the part that reports every conversion to its makers.

    Where `openvino_telemetry` cannot be imported, OpenVINO uses a stub that sends nothing, and
    keeps to it while the process lasts. It is hidden only while OpenVINO is first imported; a
    program that imported OpenVINO earlier keeps what it has.
    """
    reporter = "openvino_telemetry"
    with _importing:
        before = {name: sys.modules[name] for name in (reporter,) if name in sys.modules}
        sys.modules[reporter] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[reporter]
            sys.modules.update(before)
    return openvino


@functools.cache
def openvino_core() -> Any:
    """Return OpenVINO's core, one for the process and kept to its end.

    Its plugin gives the thread that loads it a stack for signals, and frees that when the last core
    goes. In another thread that leaves the first with a stack that is gone, and the next signal,
    such as Ctrl-C, is a segmentation fault.

    Its table of types is made here, before there are threads: who makes it lets another thread run
    meanwhile, and two that need it for the first time at once wait for each other for ever.
    """
    openvino = import_openvino()
    openvino.Type.f32.to_dtype()
    return openvino.Core()


class OpenVinoEngine:
    """The same graph, converted once and run by OpenVINO, one stream a core.

    Compiled once for photographs of all sizes: measured, as fast as for a single one and equal to
    the last bit, and a compiled model for each size would take 230 MB each.
    """

    def __init__(self, settings: EngineSettings, weights: Weights) -> None:
        core = openvino_core()
        if settings.precision == "float16":
            raise EngineError(
                "--precision float16 is not for processors; choose bfloat16 or float32."
            )
        if settings.precision == "bfloat16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise EngineError("--precision bfloat16: this processor does not compute in bfloat16.")
        self._weights = weights
        self.batch_size = OPENVINO_BATCH
        self.parallel = settings.cores
        self.device = "cpu"
        hint = "bf16" if settings.precision == "bfloat16" else "f32"
        graph = core.read_model(*_converted(settings, weights))
        graph.reshape([OPENVINO_BATCH, -1, -1, 3])
        self._model = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": settings.cores,
                "INFERENCE_NUM_THREADS": settings.cores,
            },
        )
        self._local = threading.local()
        version = importlib.metadata.version("openvino")
        self.label = f"OpenVINO {version} on cpu, {settings.precision}"

    def features(self, pixels_u8: Pixels) -> FeatureBatch:
        """Compute one batch, in this thread's own request."""
        if not hasattr(self._local, "request"):
            self._local.request = self._model.create_infer_request()
        result = self._local.request.infer([as_read(pixels_u8, self._weights)], share_inputs=True)
        features: FeatureBatch = np.array(result[0])
        return features


def _converted(settings: EngineSettings, weights: Weights) -> tuple[bytes, bytes]:
    """Return the converted model's graph and constants, checked; converted where they are not here.

    The checksums beside them are of the bytes and of what they were made from.
    """
    versions = [importlib.metadata.version(name) for name in ("keras", "openvino")]
    facts = [weights.sha256, weights.scaling, settings.layers, CPU_BATCH, GRAPH_VERSION, *versions]
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    folder = _user_cache() / "aesthetic-heads" / "openvino"
    final = folder / f"{weights.backbone.name}_{settings.layers}_{key[:16]}.xml"
    paths = [final.with_suffix(suffix) for suffix in CONVERTED_SUFFIXES]
    if os.path.lexists(final):
        try:
            if not all(path.is_file() for path in paths):  # a device would never end
                raise FileNotFoundError(errno.ENOENT, "no file", str(final))
            graph, constants, kept = [path.read_bytes() for path in paths]
            if kept.decode("ascii", "replace") == _checksums(key, graph, constants):
                return graph, constants
            problem = "is not what its checksums say"
        except OSError as error:
            problem = f"cannot be read ({error.strerror}: {error.filename})"
        note(f"The converted model {final} {problem}; it is converted anew.")
    return _convert(settings, weights, final, key)


def _user_cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        raise EngineError(
            "OpenVINO's converted model cannot be kept: this user has no home folder. Set "
            "XDG_CACHE_HOME to a folder that can be written, or choose --engine keras."
        ) from None


def _checksums(key: str, graph: bytes, constants: bytes) -> str:
    """Return what stands beside a converted model."""
    sums = (hashlib.sha256(part).hexdigest() for part in (graph, constants))
    return "\n".join([key, *sums, ""])


def _convert(
    settings: EngineSettings, weights: Weights, final: Path, key: str
) -> tuple[bytes, bytes]:
    """Convert the model, keep it beside its checksums, and return its graph and constants."""
    try:
        with scratch_folder(final) as folder:
            exported = folder / final.name
            graph, constants = _exported(settings, weights, exported)
            exported.with_suffix(".sha256").write_text(_checksums(key, graph, constants), "ascii")
            # The graph last: by it the others are looked for.
            for suffix in reversed(CONVERTED_SUFFIXES):
                publish(exported.with_suffix(suffix), final.with_suffix(suffix))
    except (OSError, RuntimeError) as error:  # OpenVINO raises RuntimeError on a full disk
        reason = getattr(error, "strerror", None) or error
        raise EngineError(
            f"OpenVINO's converted model cannot be kept in {final.parent} ({reason}). Set "
            "XDG_CACHE_HOME to a folder that can be written, or choose --engine keras."
        ) from error
    return graph, constants


def _exported(settings: EngineSettings, weights: Weights, path: Path) -> tuple[bytes, bytes]:
    with importing_keras():
        from extract.backbones.graph import build_extractor
    with quiet_stderr():
        model = build_extractor(
            weights, layers=settings.layers, batch_size=CPU_BATCH, turn_inside=False
        )
        model.export(str(path), format="openvino", verbose=False)
    openvino_core().read_model(str(path))
    return path.read_bytes(), path.with_suffix(".bin").read_bytes()
