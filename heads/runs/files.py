"""The files of a run: written, and read back without running any code from them.

`model.npz`, `model.json`, `config.json`, `metrics.json` and `history.csv`;
`predictions.csv` is in `heads.runs.predictions`, `yardstick.json` in `heads.runs.reference`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from heads.errors import HeadError, RunError
from heads.models.base import Arrays, Head, History
from heads.models.neural.settings import NetworkSettings
from heads.models.registry import find_head, load_neural_head, weights_of_keras_file
from heads.runs.config import FoldsConfig, RunConfig

# What metrics.json says besides metrics, which may come and go from version to version.
MEASURED = ("head", "split", "n", "n_train", "fit_seconds", "ranking_only", "label_by_p")
ABOUT_METRICS = ("intervals", "floor", "verdict")


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
            f"{run / 'config.json'} has the format {values.get('format')!r} version "
            f"{values.get('version')!r}; this program reads {RunConfig.format!r} "
            f"version {RunConfig.version}."
        )
    try:
        find_head(values["head"])
        return RunConfig.from_dict(values)
    except HeadError as error:
        raise RunError(f"{run / 'config.json'}: {error} Register it, or train another.") from error
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{run / 'config.json'} is damaged: {error!r}. Train the head again with --overwrite."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{path.parent} is no finished run: it has no {path.name}. "
            "Make one with `heads train HEAD`."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {error}. Train the head again with --overwrite."
        ) from error
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
    wrong += [name for name in ABOUT_METRICS if not isinstance(values.get(name, {}), dict)]
    if wrong:
        raise RunError(
            f"{path} is damaged: {', '.join(wrong)} cannot be read. Train the head again with "
            "--overwrite."
        )
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; NaN is refused, since JSON has none."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_model(folder: Path, head: Head) -> None:
    """Write model.npz, and model.json beside it."""
    arrays, values = head.state()
    np.savez(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    write_json(folder / "model.json", values)


def load_head(run: Path) -> Head:
    """Load the trained head of a run, without running any code from it.

    Raises:
        RunError: no run, or its model is missing or damaged.
    """
    config, values = read_config(run), read_json(run / "model.json")
    settings, path = config.settings, run / "model.npz"
    earlier = run / "model.keras"
    if isinstance(settings, NetworkSettings) and earlier.exists() and not path.exists():
        path = earlier
    try:
        arrays = _read_arrays(path)
        if isinstance(settings, NetworkSettings):
            return load_neural_head(config.head, settings, arrays, values)
        head: Head = find_head(config.head).load().from_state(arrays, values)
        return head
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} cannot be loaded with model.json: {error!r}. Train the head again with "
            "--overwrite."
        ) from error


def _read_arrays(path: Path) -> Arrays:
    if path.suffix == ".keras":
        return weights_of_keras_file(path)
    with np.load(path, allow_pickle=False) as stored:
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
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        names = header.split(",")
        return [
            dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines if line
        ]
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {error}. Train the head again with --overwrite."
        ) from error


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
