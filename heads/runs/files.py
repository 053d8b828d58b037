"""The files of a run: written, and read back without running any code from them.

`model.npz`, `model.json`, `config.json`, `metrics.json` and `history.csv`;
`predictions.csv` is in `heads.runs.predictions`, `yardstick.json` in `heads.runs.reference`.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import FormatError
from cache.text import shown
from cache.types import SPLITS, ExtractorSpec
from heads.data.metadata import COLUMNS as METADATA_COLUMNS
from heads.errors import HeadError, RunError
from heads.models.base import About, Arrays, Head, History, Values
from heads.models.linear import LinearHead, PenaltyChoice
from heads.models.neural.settings import NetworkSettings
from heads.models.own.entry import check_version, restored
from heads.models.own.estimator import EstimatorHead
from heads.models.own.settings import OwnSettings
from heads.models.registry import HEADS, Settings, load_neural_head, weights_of_keras_file
from heads.runs.checksums import REMEDY, read_bytes, read_text
from heads.runs.config import FoldsConfig, RunConfig
from heads.runs.kinds import check_kinds, check_record, parse_json

# What metrics.json says besides metrics, which may come and go from version to version.
MEASURED = ("head", "split", "n", "n_train", "fit_seconds", "ranking_only", "label_by_p")
NUMBER = float | None
INTERVALS_KIND = dict[str, float | bool | None]
KINDS: dict[str, Any] = {
    **{"head": str, "split": str, "n": int, "n_train": int, "fit_seconds": float},
    **{"ranking_only": bool, "label_by_p": bool, "confusion": list[list[int]] | None},
    "intervals": dict[str, tuple[NUMBER, NUMBER] | None],
    "floor": dict[str, Any],
    "difference": dict[str, tuple[NUMBER, NUMBER, NUMBER] | None],
    "verdict": dict[str, str | None],
    "deviation": dict[str, NUMBER],
    "val": dict[str, Any],
    "duplicates": dict[str, Any],
    "model_bytes": int,
    "fold_intervals": list[INTERVALS_KIND | None],
}
DUPLICATES_KINDS = {"cosine": float, "n": int, "without": dict[str, NUMBER] | None}
# What a head's state may hold in model.json.
STATE_KINDS: dict[str, Any] = {
    **{"score": float, "p_beautiful": float, "note": str, "head": str, "precision": str},
    **{"scale": tuple[float, float], "platt": tuple[float, float] | None, "penalty": float},
    **{"penalties": list[float], "val_losses": list[float], "left_out_losses": list[float]},
    **{"best_epoch": int, "root": bool, "link": str, "left_out": str},
    **{"learns": str, "n_features": int, "not_kept": str, "loss": str},
    "task": dict[str, float | list[float]],
}
# What senseless bytes lead to, whoever reads them: a head's arrays can be wrong in any way.
DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, zipfile.BadZipFile, zlib.error, HeadError, FormatError),
)


def read_config(run: Path) -> RunConfig:
    """Read the configuration of a run.

    Raises:
        RunError: no run, a damaged one, or one of another version.
    """
    values = read_json(run / "config.json")
    if values.get("format") == FoldsConfig.format:
        raise RunError(
            f"{run} is a cross-validation, whose models are not kept. Its figures are in "
            f"{run.parent / 'leaderboard.csv'}; make a run with `heads train`."
        )
    if (values.get("format"), values.get("version")) != (RunConfig.format, RunConfig.version):
        raise RunError(
            f"{run / 'config.json'} has the format {shown(values.get('format'))} version "
            f"{shown(values.get('version'))}; this program reads {RunConfig.format} "
            f"version {RunConfig.version}."
        )
    try:
        config = RunConfig.from_dict(values)
        check_record(config)
        known = isinstance(config.settings, OwnSettings) or config.head in HEADS
    except DAMAGE as error:
        raise _damaged(run / "config.json", error) from error
    if not known:
        raise RunError(
            f"{run / 'config.json'}: There is no head {shown(config.head)}; there are "
            f"{', '.join(HEADS)}. Register it, or train another."
        )
    try:
        _check_config(config, values["extractor_sha256"])
        return config
    except DAMAGE as error:
        raise _damaged(run / "config.json", error) from error


def _check_config(config: RunConfig, sha256: object) -> None:
    own = isinstance(config.settings, OwnSettings)
    if not own and isinstance(config.settings, NetworkSettings) != HEADS[config.head].neural:
        raise ValueError(f"its settings are not those of the head {config.head}")
    if set(config.splits) != set(SPLITS):
        raise ValueError(
            f"it needs the splits {', '.join(SPLITS)}; got {shown(sorted(config.splits))}"
        )
    if config.extractor.sha256 != sha256:
        raise ValueError("its extractor does not match its fingerprint")


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is damaged: {shown(error)}. {REMEDY}")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises:
        RunError: the file is missing, damaged, or not the one that was written with the run.
    """
    try:
        values = parse_json(read_text(path))
    except FileNotFoundError:
        raise RunError(
            f"{path.parent} is no finished run: it has no {path.name}. "
            "Make one with `heads train HEAD`."
        ) from None
    except ValueError as error:
        raise RunError(f"{path} cannot be read: {shown(error)}. {REMEDY}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object. Train the head again.")
    return values


def read_metrics(run: Path, needed: Iterable[str] = MEASURED) -> dict[str, Any]:
    """Read the metrics of a run; `StoredMetrics` knows which may be absent.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = run / "metrics.json"
    values = read_json(path)
    wrong = [name for name in needed if name not in values]
    if wrong:
        raise RunError(f"{path} is damaged: {', '.join(wrong)} cannot be read. {REMEDY}")
    try:
        check_kinds(values, dict.fromkeys(values, NUMBER) | KINDS)
        for name in ("floor", "val"):
            inner = values.get(name, {})
            check_kinds(inner, dict.fromkeys(inner, NUMBER) | KINDS)
        check_kinds(values.get("duplicates", {}), DUPLICATES_KINDS)
        if values.get("split", SPLITS[-1]) not in SPLITS:
            raise ValueError(f"there is no split {values['split']}")
    except ValueError as error:
        raise RunError(f"{path} is damaged: {shown(error)}. {REMEDY}") from error
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; NaN is refused, since JSON has none."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    # The bytes of names that are no UTF-8: as JSON's own escapes, from which they come back.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def write_model(folder: Path, head: Head) -> None:
    """Write model.npz, and model.json beside it; model.skops of a scikit-learn estimator.

    Where that cannot be kept, model.json says why under `not_kept`.
    """
    arrays, values = head.state()
    if isinstance(head, EstimatorHead):
        content, why = head.packed()
        values["not_kept"] = why
        if content is not None:
            (folder / "model.skops").write_bytes(content)
    np.savez(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    write_json(folder / "model.json", values)


def model_bytes(head: Head) -> int:
    """Return the size of a model.npz that is not written."""
    file = io.BytesIO()
    np.savez(file, **head.state()[0])  # type: ignore[arg-type]
    return file.tell()


def size_of_model(run: Path) -> int | None:
    """Return the bytes of a run's model; None where there is none."""
    paths = [path for path in (run / "model.npz", run / "model.keras") if path.exists()]
    return paths[0].stat().st_size if paths else None


def read_penalties(run: Path, config: RunConfig) -> PenaltyChoice | None:
    """Read how the penalty of a run's head was chosen; None for a head that has none.

    Raises:
        RunError: model.json is missing or damaged.
    """
    if config.head not in HEADS or not issubclass(HEADS[config.head].load(), LinearHead):
        return None
    path = run / "model.json"
    values = read_json(path)
    try:
        check_kinds(values, STATE_KINDS)
        return PenaltyChoice.from_dict(values)
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def load_head(run: Path) -> Head:
    """Load the trained head of a run, without running any code from it, and try it once.

    Raises:
        RunError: no run, or its model is missing or damaged.
    """
    config, values = read_config(run), read_json(run / "model.json")
    spec = config.extractor
    if values.get("not_kept"):
        raise RunError(
            f"{run} keeps what its head said of val and test and cannot score: "
            f"{values['not_kept']}."
        )
    try:
        check_kinds(values, STATE_KINDS)
        head = rebuilt(run, config.head, config.settings, values)
        # Whatever is missing or has a wrong shape shows where it is used.
        head.predict(anything(head, spec))
        return head
    except DAMAGE as error:
        if isinstance(config.settings, OwnSettings) and isinstance(error, HeadError):
            raise RunError(f"{run} cannot be loaded: {error}") from error
        raise RunError(
            f"{_arrays_file(run, config.settings)} cannot be loaded with model.json: "
            f"{shown(error)}. Train the head again with --overwrite."
        ) from error


def anything(head: Head, spec: ExtractorSpec) -> npt.NDArray[np.float32]:
    """Return one photograph, of the shape that a head is given, to try it with."""
    if head.about.looks_at_metadata:
        return np.ones((1, 1, METADATA_COLUMNS), np.float32)
    return np.zeros((1, len(spec.views), spec.n_features), np.float32)


def _arrays_file(run: Path, settings: Settings) -> Path:
    path, earlier = run / "model.npz", run / "model.keras"
    network = isinstance(settings, NetworkSettings)
    return earlier if network and earlier.exists() and not path.exists() else path


def rebuilt(run: Path, name: str, settings: Settings, values: Values, source: Any = None) -> Head:
    """Return the head of a name and settings from model.npz and the values of model.json.

    `source` is the class or function of a head of one's own, which is imported if None.

    Raises:
        RunError, or one of `DAMAGE`: a file is missing or damaged.
    """
    arrays = _read_arrays(_arrays_file(run, settings))
    if isinstance(settings, OwnSettings) and settings.kind == "estimator":
        check_version(settings)
        about = About(name, "", ranking_only=settings.learns == "beautiful")
        return EstimatorHead.from_packed(about, values, read_bytes(run / "model.skops"))
    return of_state(name, settings, arrays, values, source)


def of_state(
    name: str, settings: Settings, arrays: Arrays, values: Values, source: Any = None
) -> Head:
    """Return the head of a name and settings from its `state()`; `source` is as for `rebuilt`.

    Raises:
        One of `DAMAGE`: they do not fit each other.
    """
    if isinstance(settings, NetworkSettings):
        return load_neural_head(name, settings, arrays, values)
    if isinstance(settings, OwnSettings):
        return restored(settings, arrays, values, source)
    head: Head = HEADS[name].load().from_state(arrays, values)
    return head


def _read_arrays(path: Path) -> Arrays:
    """Read plain arrays of numbers as they are written: model.npz, or an earlier model.keras."""
    content = read_bytes(path)
    arrays = weights_of_keras_file(path) if path.suffix == ".keras" else _plain_arrays(content)
    for name, values in arrays.items():
        if not (np.issubdtype(values.dtype, np.floating) and np.isfinite(values).all()):
            raise ValueError(f"{name} holds other than finite numbers")
    return arrays


def _plain_arrays(content: bytes) -> Arrays:
    file = io.BytesIO(content)
    if any(member.compress_type for member in zipfile.ZipFile(file).infolist()):
        raise ValueError("its arrays are compressed")
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_history(path: Path, history: History) -> None:
    """Write one row an epoch; a head in closed form has the header `epoch` alone."""
    names = list(history[0]) if history else ["epoch"]
    lines = [",".join(names)]
    lines += [",".join(_number(row[name]) for name in names) for row in history]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_history(run: Path) -> History:
    """Read `history.csv` of a run. Raises RunError where it is missing or damaged."""
    path = run / "history.csv"
    try:
        header, *lines = read_text(path).splitlines()
        names = header.split(",")
        rows = [list(map(float, line.split(","))) for line in lines if line]
        if names[0] != "epoch" or len(set(names)) != len(names) or not np.isfinite(rows).all():
            raise ValueError("it needs an epoch and finite numbers below different names")
        return [dict(zip(names, row, strict=True)) for row in rows]
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {shown(error)}. {REMEDY}") from error


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
