"""Exporting a run as one model from 8-bit pixels to score, checked before it is published.

Owns the formats, the check against the run itself on real photographs, and where exports lie. The
graph is in `export_graph`.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from cache.console import quiet_stderr
from cache.errors import AestheticError, EngineError, HeadError, RunError
from cache.files import fsync, publish, storage_errors
from cache.store import open_cache
from heads.photos import Unreadable, open_extractor, upright_pixels
from heads.score import BLIND_HEADS, LoadedRun
from heads.targets import Prediction

if TYPE_CHECKING:
    from heads.export_graph import ExportGraph

# An export may differ from the run by so much of the scale: it keeps features in float32, decodes
# large JPEGs in full where the run reduces them, and rounds a pixel in a hundred the other way.
TOLERANCE = 0.01
CHECKED = 16
OUTPUTS = ("score", "p_beautiful", "distribution")
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


@dataclass(frozen=True)
class Checked:
    """A published export: its path, what it was checked on, and the largest differences."""

    path: Path
    n_bytes: int
    photographs: int
    score_difference: float
    p_difference: float
    allowed: float


@dataclass(frozen=True)
class Format:
    """A format: its file's name, whether it needs TensorFlow as Keras' backend, its packages."""

    file: str
    tensorflow: bool
    packages: tuple[str, ...]
    write: Callable[[ExportGraph, Path], None]
    load: Callable[[Path], Runner]


Runner = Callable[[Sample], Sequence[Answers]]


def export(
    run: LoadedRun, to: str, photographs: Iterable[Path], out: Path | None, weights: str = "auto"
) -> Checked:
    """Export a run, check the export, and publish it; an earlier file is replaced.

    Args:
        run: what to export.
        to: a key of `FORMATS`.
        photographs: real ones to check with; the first 16 that can be read are taken.
        out: the file, or for saved-model the folder of its versions; RUN/export/... if None.
        weights: as the option of `extract`.

    Raises:
        HeadError: the head cannot be exported, or the export differs too much from the run.
        EngineError: a package or Keras' TensorFlow backend is missing.
        MismatchError, WeightsError: the run's features cannot be made here.
        RunError: there is no photograph to check with.
        StorageError: it cannot be written.
    """
    if run.head.name in BLIND_HEADS:
        raise HeadError(
            f"The head {run.head.name} says the same of every photograph: there is nothing to "
            "export. Export another run, such as ridge."
        )
    kind = FORMATS[to]
    _need(to, kind)
    samples = _samples(photographs)
    expected = _expected(run, samples, weights)
    with quiet_stderr():
        from heads.export_graph import build
    final = out or run.path / "export" / kind.file
    with storage_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=final.parent) as folder:
            made = Path(folder) / kind.file
            with _quiet():
                kind.write(build(run, weights=weights), made)
                answers = [kind.load(made)(sample) for sample in samples]
            differences = _compared(run, samples, expected, answers)
            place = _published(made, final)
    return Checked(place, _size(place), len(samples), *differences, _allowed(run))


def _need(to: str, kind: Format) -> None:
    missing = [name for name in kind.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"--to {to} needs {', '.join(missing)}, not installed here. Install with: "
            "pip install 'aesthetic-heads[export]', or choose --to keras."
        )
    with quiet_stderr():
        import keras
    backend = keras.backend.backend()
    if kind.tensorflow and backend != "tensorflow":
        raise EngineError(
            f"--to {to} needs Keras' backend tensorflow; it is {backend}. Set "
            "KERAS_BACKEND=tensorflow, or choose --to keras."
        )


# --- the check ------------------------------------------------------------------------------------


def default_photographs(run: LoadedRun) -> Iterator[Path]:
    """Yield photographs of a run's test split, evenly taken, that are still where they were.

    Raises:
        RunError: the cache is gone; the message says what to give instead.
    """
    path = Path(run.config.features_dir) / "test.h5"
    try:
        cache = open_cache(path)
    except AestheticError as error:
        raise RunError(
            f"An export is checked on real photographs, by default those of {path}: "
            f"{error.one_line()} Name some with --photos."
        ) from error
    names = cache.paths[cache.ok_rows]
    for name in names[:: max(1, len(names) // CHECKED)].tolist():
        yield cache.data_root / name


def _samples(photographs: Iterable[Path]) -> list[Sample]:
    samples: list[Sample] = []
    for path in photographs:
        try:
            samples.append(Sample(path, upright_pixels(path), _plain_jpeg(path)))
        except Unreadable:
            continue
        if len(samples) == CHECKED:
            break
    if not any(sample.jpeg for sample in samples):
        raise RunError(
            "An export is checked on real photographs before it is published, and no upright JPEG "
            f"was found among the {len(samples)} that could be read. Name some with --photos."
        )
    return samples


def _plain_jpeg(path: Path) -> bytes | None:
    with Image.open(path) as image:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
    return path.read_bytes() if upright and plain else None


def _expected(run: LoadedRun, samples: Sequence[Sample], weights: str) -> Prediction:
    extractor = open_extractor(run.config.extractor, weights=weights)
    features = [extracted.features for extracted in extractor(sample.path for sample in samples)]
    return run.head.predict(np.stack([f for f in features if f is not None]))


def _compared(
    run: LoadedRun,
    samples: Sequence[Sample],
    expected: Prediction,
    answers: Sequence[Sequence[Answers]],
) -> tuple[float, float]:
    """Return the largest differences of score and probability, refusing what is too much."""
    largest = {"score": 0.0, "p_beautiful": 0.0}
    for row, (sample, given) in enumerate(zip(samples, answers, strict=True)):
        for answer in given:
            _check_outputs(answer, expected)
            for name in largest:
                gap = float(np.abs(answer[name][0] - getattr(expected, name)[row]))
                largest[name] = max(largest[name], gap)
                if name == "score" and not gap <= _allowed(run):
                    raise HeadError(
                        f"The export gives {sample.path} {float(answer[name][0]):.4f} and the run "
                        f"{expected.score[row]:.4f}: more apart than the {_allowed(run):.4g} "
                        "allowed. Nothing was published."
                    )
    return largest["score"], largest["p_beautiful"]


def _check_outputs(answer: Answers, expected: Prediction) -> None:
    wanted = {name for name in OUTPUTS if getattr(expected, name) is not None}
    if set(answer) != wanted:
        raise HeadError(
            f"The export gives {', '.join(sorted(answer))} instead of "
            f"{', '.join(sorted(wanted))}. Nothing was published."
        )


def _allowed(run: LoadedRun) -> float:
    return TOLERANCE * (run.yardstick.scale.hi - run.yardstick.scale.lo)


# --- formats --------------------------------------------------------------------------------------


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep converters' remarks on their own insides from the user."""
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- publishing -----------------------------------------------------------------------------------


def _published(made: Path, final: Path) -> Path:
    """Move a file to its place; a saved model becomes the next version below its folder.

    Servers look for numbered versions, and take the highest.
    """
    if made.is_file():
        publish(made, final)
        return final
    final.mkdir(exist_ok=True)
    taken = [int(child.name) for child in final.iterdir() if child.name.isdecimal()]
    place = final / str(max(taken, default=0) + 1)
    shutil.move(made, place)
    fsync(final)
    return place


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
