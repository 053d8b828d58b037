"""The file formats of exports: how each is written and read back.

Keras throughout; TensorFlow, ONNX Runtime and LiteRT where a format needs them, imported there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from heads.export.graph import ExportGraph

SIGNATURE = "serving_default"
Answers = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Sample:
    """A photograph to check with: all its pixels (height, width, 3) uint8 upright, and its bytes.

    `jpeg` is None for a photograph that a graph could not decode as it lies: none but upright JPEGs
    can.
    """

    path: Path
    pixels_u8: npt.NDArray[np.uint8]
    jpeg: bytes | None


# From a photograph to the outputs by name, once for each way in that the format has.
Runner = Callable[[Sample], Sequence[Answers]]


@dataclass(frozen=True)
class Format:
    """A format: its file's name, whether it needs TensorFlow as Keras' backend, its packages."""

    file: str
    tensorflow: bool
    packages: tuple[str, ...]
    write: Callable[[ExportGraph, Path], None]
    load: Callable[[Path], Runner]


def _write_keras(graph: ExportGraph, path: Path) -> None:
    graph.whole.save(path)


def _load_keras(path: Path) -> Runner:
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda sample: [_plain(model(sample.pixels_u8[None], training=False))]


def _write_onnx(graph: ExportGraph, path: Path) -> None:
    import tensorflow as tf

    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels_u8")
    graph.whole.export(str(path), format="onnx", verbose=False, input_signature=[pixels])


def _load_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(sample: Sample) -> list[Answers]:
        values = session.run(names, {"pixels_u8": sample.pixels_u8[None]})
        return [dict(zip(names, values, strict=True))]

    return answer


def _write_tflite(graph: ExportGraph, path: Path) -> None:
    graph.whole.export(str(path), format="litert", verbose=False)


def _load_tflite(path: Path) -> Runner:
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter
    else:
        from tensorflow.lite.python.interpreter import Interpreter
    signature = Interpreter(str(path)).get_signature_runner(SIGNATURE)
    return lambda sample: [_plain(signature(pixels_u8=sample.pixels_u8[None]))]


def _write_saved_model(graph: ExportGraph, path: Path) -> None:
    """Two signatures: `serving_default` takes encoded JPEG or PNG, `pixels` takes pixels."""
    import keras
    import tensorflow as tf

    views = graph.answers.input_shape[1:]

    def views_of(image_bytes: Any) -> Any:
        # Pillow's decoder is the same library with the same, accurate, inverse transform.
        pixels = tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")
        return graph.crops(pixels[None], training=False)[0]

    def from_bytes(image_bytes: Any) -> Any:
        kind = tf.TensorSpec(views, tf.uint8)
        return graph.answers(tf.map_fn(views_of, image_bytes, fn_output_signature=kind))

    archive = keras.export.ExportArchive()
    archive.track(graph.whole)
    encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
    archive.add_endpoint(SIGNATURE, from_bytes, input_signature=[encoded])
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels_u8")
    archive.add_endpoint("pixels", lambda pixels_u8: graph.whole(pixels_u8), [pixels])
    archive.write_out(str(path), verbose=False)


def _load_saved_model(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def answer(sample: Sample) -> list[Answers]:
        pixels_u8 = tf.constant(sample.pixels_u8[None])
        answers = [_plain(loaded.signatures["pixels"](pixels_u8=pixels_u8))]
        if sample.jpeg is not None:
            image_bytes = tf.constant([sample.jpeg])
            answers.append(_plain(loaded.signatures[SIGNATURE](image_bytes=image_bytes)))
        return answers

    return answer


def _plain(outputs: Mapping[str, Any]) -> Answers:
    return {name: np.asarray(value) for name, value in outputs.items()}


FORMATS = {
    "keras": Format("model.keras", False, (), _write_keras, _load_keras),
    "onnx": Format("model.onnx", True, ("tf2onnx", "onnx", "onnxruntime"), _write_onnx, _load_onnx),
    "tflite": Format("model.tflite", True, (), _write_tflite, _load_tflite),
    "saved-model": Format("saved-model", True, (), _write_saved_model, _load_saved_model),
}
