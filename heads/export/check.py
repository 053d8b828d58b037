"""Exporting a run as one model from 8-bit pixels to score, checked before it is published.

Owns the check against the run itself on real photographs, and where exports lie. The graph is in
`heads.export.graph`, the formats are in `heads.export.formats`.
"""

from __future__ import annotations

import errno
import importlib.util
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.console import quiet_stderr
from cache.errors import AestheticError, EngineError, StorageError
from cache.files import (
    Mark,
    check_ending,
    check_output,
    publish,
    publish_folder,
    scratch_folder,
    storage_errors,
)
from cache.frameworks import importing_keras, refuse_old_keras
from cache.places import photographs_of
from cache.store import open_cache
from cache.text import path_named
from heads.data.predictions import Prediction
from heads.errors import HeadError, RunError
from heads.export.formats import FORMATS, Answers, Format, Sample
from heads.models.own.settings import OwnSettings
from heads.photos import Unreadable, open_extractor, views_of
from heads.runs.loaded import LoadedRun
from heads.runs.places import features_of, note_of

# An export may differ from the run by so much of the scale. It rounds no features to float16, and
# it decodes large JPEGs in full, where the run reduces them first: measured, 0.03 % of the scale
# for photographs of 500 pixels, up to 0.8 % for ones of 3,000.
TOLERANCE = 0.02
CHECKED = 16
# The graph's name (`heads.export.graph`), which every format of one file keeps.
MARK = Mark(b"", b"aesthetic_score")
OUTPUTS = ("score", "p_beautiful", "distribution")


@dataclass(frozen=True)
class Checked:
    """A published export: its path, what it was checked on, and the largest differences.

    `prepared` counts the photographs that are rotated, transparent or of an unusual mode: their
    pixels were made upright RGB, alpha on white, as whoever asks has to. `inputs` counts on how
    many photographs each of its inputs was checked. `label_note` is the remark on the labels that
    the run learned from, such as "votes are simulated", or ''.
    """

    path: Path
    n_bytes: int
    photographs: int
    prepared: dict[str, int]
    inputs: dict[str, int]
    score_difference: float
    p_difference: float
    allowed: float
    label_note: str = ""


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
        HeadError: the head or its views cannot be exported, or the export differs too much from
            the run.
        EngineError: a package or Keras' TensorFlow backend is missing.
        MismatchError, WeightsError: the run's features cannot be made here.
        RunError: there is no photograph to check with.
        StorageError: it cannot be written, or would replace a file that is no export.
    """
    if not run.head.about.looks_at_photographs:
        raise HeadError(
            f"The head {run.head.about.name} looks at no photograph: there is nothing to export. "
            "Export another run, such as ridge."
        )
    if isinstance(run.config.settings, OwnSettings):
        raise HeadError(
            f"{run.path} is of {run.config.head}, a head of your own: those are not exported. "
            "Score with `heads score`, or export a run of ours, such as ridge."
        )
    if to == "tflite" and views_of(run.config.extractor)[0].shapes:
        raise HeadError(
            "The run was trained on --views frame, whose shape depends on the photograph, which "
            "--to tflite cannot express. Choose --to keras, onnx or saved-model, or export a run "
            "of other views."
        )
    kind = FORMATS[to]
    final = out or run.path / "export" / kind.file
    _check_place(kind, final)
    _need(to, kind)
    samples, features = _samples(run, photographs, weights)
    expected = run.head.predict(features)
    with importing_keras():
        from heads.export.graph import build
    with storage_errors(final), scratch_folder(final) as folder:
        made = folder / kind.file
        with _quiet():
            graph = build(run, weights=weights)
            with _disk_errors(kind, final):
                kind.write(graph, made)
            answers = [kind.load(made)(sample) for sample in samples]
        differences = _compared(run, samples, expected, answers)
        place = _published(made, final)
    prepared = Counter(sample.prepared for sample in samples if sample.prepared)
    inputs = {name: sum(name in given for given in answers) for name in kind.inputs}
    counts = len(samples), dict(prepared), inputs
    label_note = note_of(run.path, run.config)
    return Checked(place, _size(place), *counts, *differences, _allowed(run), label_note)


def _check_place(kind: Format, final: Path) -> None:
    """Refuse, before any work, to replace what is no export, and names of other formats."""
    if ending := Path(kind.file).suffix:
        check_output(final, MARK)
        check_ending(final, ending)
    elif final.suffix in {Path(other.file).suffix for other in FORMATS.values()} - {""}:
        raise StorageError(
            f"{final} ends as a file of another format does, and a saved model is a folder of "
            "versions. Give it a name without that ending."
        )
    elif final.exists() and not final.is_dir():
        with storage_errors(final):
            raise NotADirectoryError(errno.ENOTDIR, "a file")


def _need(to: str, kind: Format) -> None:
    missing = [name for name in kind.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"--to {to} needs {', '.join(missing)}, not installed here. Install with: "
            "pip install 'aesthetic-heads[export]', or choose --to keras."
        )
    refuse_old_keras()
    with importing_keras():
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
    path = features_of(run.path, run.config) / "test.h5"
    try:
        cache = open_cache(path)
    except AestheticError as error:
        raise RunError(
            f"An export is checked on real photographs, by default those of {path}: "
            f"{error.one_line()} Name some with --photos."
        ) from error
    root = photographs_of(cache) or cache.data_root
    names = cache.labels.path[cache.ok_rows]
    for name in names[:: max(1, len(names) // CHECKED)].tolist():
        yield root / path_named(name)


def _samples(
    run: LoadedRun, photographs: Iterable[Path], weights: str
) -> tuple[list[Sample], npt.NDArray[np.float32]]:
    """Return up to 16 photographs, and the features (n, V, D) of them that the run itself scores.

    Raises:
        RunError: none can be read.
    """
    found = list(islice(_readable(photographs), CHECKED))
    features: list[npt.NDArray[np.float32]] = []
    if found:
        extractor = open_extractor(run.config.extractor, weights=weights)
        extracted = [each.features for each in extractor(sample.path for sample in found)]
        found = [s for s, own in zip(found, extracted, strict=True) if own is not None]
        features = [own for own in extracted if own is not None]
    if not found:
        raise RunError(
            "An export is checked on real photographs before it is published, and none was found "
            "that can be read. Name some with --photos."
        )
    return found, np.stack(features)


def _readable(photographs: Iterable[Path]) -> Iterator[Sample]:
    for path in photographs:
        with suppress(Unreadable):
            yield Sample.of(path)


def _compared(
    run: LoadedRun,
    samples: Sequence[Sample],
    expected: Prediction,
    answers: Sequence[Mapping[str, Answers]],
) -> tuple[float, float]:
    """Return the largest differences of score and probability, refusing what is too much."""
    largest = {"score": 0.0, "p_beautiful": 0.0}
    for row, (sample, given) in enumerate(zip(samples, answers, strict=True)):
        for way, answer in given.items():
            _check_outputs(answer, expected)
            for name in largest:
                gap = float(np.abs(answer[name][0] - getattr(expected, name)[row]))
                largest[name] = max(largest[name], gap)
                if name == "score" and not gap <= _allowed(run):
                    raise HeadError(
                        f"Given {sample.path} as {way}, the export says "
                        f"{float(answer[name][0]):.4f} and the run {expected.score[row]:.4f}: more "
                        f"apart than the {_allowed(run):.4g} allowed. Nothing was published."
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
    return TOLERANCE * (run.reference.scale.hi - run.reference.scale.lo)


@contextmanager
def _disk_errors(kind: Format, final: Path) -> Iterator[None]:
    """Put into words what TensorFlow, which has errors of its own, says of a disk that refuses."""
    try:
        yield
    except Exception as error:
        if kind.tensorflow:
            import tensorflow as tf

            if isinstance(error, tf.errors.OpError):
                reason = error.message or type(error).__name__
                raise StorageError(f"{final} cannot be written: {reason}.") from error
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep converters' remarks on their own insides from the user.

    While it lasts, the filters of warnings are changed for all threads of the process.
    """
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
    publish_folder(made, place)
    return place


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
