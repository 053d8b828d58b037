"""The file formats of exports: how each is written and read back.

Keras throughout; TensorFlow, ONNX Runtime and LiteRT where a format needs them, imported there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from heads.photos import PROFILED, peculiarity, upright_pixels

if TYPE_CHECKING:
    from heads.export.graph import ExportGraph

SIGNATURE = "serving_default"
# The inputs: pixels, of every format; the bytes of a file, of saved models.
PIXELS, ENCODED = "pixels_u8", "image_bytes"
# How the files begin that a saved model decodes.
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
Answers = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Sample:
    """A photograph to check with: all its pixels (height, width, 3) uint8 upright, and its bytes.

    `prepared` says what had to be done for the pixels, as `extract.api.peculiarity` does;
    `encoded` is None for a file that is neither JPEG nor PNG, or whose colours TensorFlow's decoder
    would take for sRGB, as it knows no profiles.
    """

    path: Path
    pixels_u8: npt.NDArray[np.uint8]
    prepared: str
    encoded: bytes | None

    @classmethod
    def of(cls, path: Path) -> Sample:
        """Read a photograph. Raises Unreadable."""
        pixels_u8, prepared, content = upright_pixels(path), peculiarity(path), path.read_bytes()
        fits = content.startswith((JPEG, PNG)) and prepared != PROFILED
        return cls(path, pixels_u8, prepared, content if fits else None)


# From a photograph to the outputs by name, for each input of the format that takes it.
Runner = Callable[[Sample], dict[str, Answers]]


@dataclass(frozen=True)
class Format:
    """A format: its file's name, whether it needs TensorFlow as Keras' backend, its packages."""

    file: str
    tensorflow: bool
    packages: tuple[str, ...]
    inputs: tuple[str, ...]
    write: Callable[[ExportGraph, Path], None]
    load: Callable[[Path], Runner]


def _write_keras(graph: ExportGraph, path: Path) -> None:
    graph.whole.save(path)


def _load_keras(path: Path) -> Runner:
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda sample: {PIXELS: _plain(model(sample.pixels_u8[None], training=False))}


def _write_onnx(graph: ExportGraph, path: Path) -> None:
    import tensorflow as tf

    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name=PIXELS)
    graph.whole.export(str(path), format="onnx", verbose=False, input_signature=[pixels])


def _load_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(sample: Sample) -> dict[str, Answers]:
        values = session.run(names, {PIXELS: sample.pixels_u8[None]})
        return {PIXELS: dict(zip(names, values, strict=True))}

    return answer


def _write_tflite(graph: ExportGraph, path: Path) -> None:
    graph.whole.export(str(path), format="litert", verbose=False)


def _load_tflite(path: Path) -> Runner:
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter
    else:
        from tensorflow.lite.python.interpreter import Interpreter
    signature = Interpreter(str(path)).get_signature_runner(SIGNATURE)
    return lambda sample: {PIXELS: _plain(signature(pixels_u8=sample.pixels_u8[None]))}


def _write_saved_model(graph: ExportGraph, path: Path) -> None:
    """Two signatures: `serving_default` takes encoded JPEG or PNG, `pixels` takes pixels."""
    import keras
    import tensorflow as tf

    from heads.export.decoding import upright_rgb

    views = graph.answers.input_shape[1:]

    def views_of(image_bytes: Any) -> Any:
        return graph.crops(upright_rgb(image_bytes)[None], training=False)[0]

    def answers_of(image_bytes: Any) -> Any:
        found = graph.answers(views_of(image_bytes)[None], training=False)
        return {name: values[0] for name, values in found.items()}

    def from_bytes(image_bytes: Any) -> Any:
        if None in views:  # photographs of a batch have shapes of their own
            outputs = graph.answers.output.items()
            kinds = {name: tf.TensorSpec(each.shape[1:], each.dtype) for name, each in outputs}
            return tf.map_fn(answers_of, image_bytes, fn_output_signature=kinds)
        kind = tf.TensorSpec(views, tf.uint8)
        return graph.answers(tf.map_fn(views_of, image_bytes, fn_output_signature=kind))

    archive = keras.export.ExportArchive()
    archive.track(graph.whole)
    encoded = tf.TensorSpec([None], tf.string, name=ENCODED)
    # Python's control flow is not in it. Converted, it would leave files of generated code in the
    # temporary folder where the process is killed.
    plain = tf.autograph.experimental.do_not_convert(from_bytes)
    archive.add_endpoint(SIGNATURE, plain, input_signature=[encoded])
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name=PIXELS)
    archive.add_endpoint("pixels", lambda pixels_u8: graph.whole(pixels_u8), [pixels])
    archive.write_out(str(path), verbose=False)


def _load_saved_model(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def answer(sample: Sample) -> dict[str, Answers]:
        pixels_u8 = tf.constant(sample.pixels_u8[None])
        answers = {PIXELS: _plain(loaded.signatures["pixels"](pixels_u8=pixels_u8))}
        # What its decoder refuses is an error of the request, and no wrong score.
        with suppress(tf.errors.InvalidArgumentError):
            if sample.encoded is not None:
                image_bytes = tf.constant([sample.encoded])
                given = loaded.signatures[SIGNATURE](image_bytes=image_bytes)
                answers[ENCODED] = _plain(given)
        return answers

    return answer


def _plain(outputs: Mapping[str, Any]) -> Answers:
    return {name: np.asarray(value) for name, value in outputs.items()}


ONNX = ("tf2onnx", "onnx", "onnxruntime")
BOTH = (PIXELS, ENCODED)
FORMATS = {
    "keras": Format("model.keras", False, (), (PIXELS,), _write_keras, _load_keras),
    "onnx": Format("model.onnx", True, ONNX, (PIXELS,), _write_onnx, _load_onnx),
    "tflite": Format("model.tflite", True, (), (PIXELS,), _write_tflite, _load_tflite),
    "saved-model": Format("saved-model", True, (), BOTH, _write_saved_model, _load_saved_model),
}
