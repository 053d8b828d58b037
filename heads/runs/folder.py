"""The folder of a trained head: model, configuration, metrics, history and predictions.

Owns its layout, writing it whole or not at all, and reading it back without running any code from
it. Files: `model.keras` or `model.npz`, `model.json`, `yardstick.json`, `config.json`,
`metrics.json`, `history.csv`, `predictions.csv`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cache.files import replacing_folder, restore, storage_errors
from cache.types import ExtractorSpec, canonical_json, sha256_text
from heads.data.splits import SplitData
from heads.errors import HeadError, RunError
from heads.models.base import Head, History
from heads.models.neural.settings import NetworkSettings, layer_widths
from heads.models.registry import (
    Settings,
    find_head,
    load_neural_head,
    restore_head,
    settings_from_dict,
)

FORMAT, VERSION = "aesthetic-run", 1
# What `fold_runs` writes: a configuration, metrics and predictions, but no model.
FOLDS_FORMAT = "aesthetic-folds"
LIBRARIES = ("aesthetic-heads", "numpy", "scipy", "scikit-learn", "keras", "tensorflow")
HASH_DIGITS = 8


@dataclass(frozen=True)
class SplitFacts:
    """What a split was: its manifest, the rows and features used, and how many photographs."""

    manifest_sha256: str
    content_sha256: str
    n: int

    @classmethod
    def of(cls, data: SplitData) -> SplitFacts:
        """Note the facts of loaded data."""
        return cls(data.cache.manifest_sha256, data.content_sha256, len(data))


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to repeat a run.

    `identity` covers what decides the numbers on one machine: head, settings, seed, extractor, data
    and blocks. The folder, the remark on the labels and the library versions are noted beside them;
    the precision that the machine chose is in `model.json`.
    `streamed_bytes` is the memory budget of a network that saw train in blocks from the disk, since
    the blocks are part of the order in which it sees photographs; None if all of train fitted.
    """

    head: str
    settings: Settings
    seed: int
    limit: int | None
    extractor: ExtractorSpec
    splits: dict[str, SplitFacts]
    features_dir: str
    label_note: str
    library_versions: dict[str, str]
    streamed_bytes: int | None = None

    @property
    def resolved(self) -> Settings:
        """The settings with nothing left to the data."""
        widths = layer_widths(self.extractor.layers)
        return find_head(self.head).resolve(self.settings, self.splits["train"].n, widths)

    @property
    def identity(self) -> str:
        """64 hexadecimal digits; equal ones mean an equal run, on the same machine."""
        deciding: dict[str, Any] = {
            "head": self.head,
            "settings": self.resolved.to_dict(),
            "seed": self.seed,
            "extractor_sha256": self.extractor.sha256,
            "splits": {name: asdict(facts) for name, facts in self.splits.items()},
        }
        if self.streamed_bytes is not None:
            deciding["streamed_bytes"] = self.streamed_bytes
        return sha256_text(canonical_json(deciding))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "head": self.head,
            "settings": self.settings.to_dict(),
            "resolved": self.resolved.to_dict(),
            "seed": self.seed,
            "limit": self.limit,
            "features_dir": self.features_dir,
            "extractor_sha256": self.extractor.sha256,
            "extractor": self.extractor.to_dict(),
            "splits": {name: asdict(facts) for name, facts in self.splits.items()},
            "label_note": self.label_note,
            "library_versions": self.library_versions,
            "streamed_bytes": self.streamed_bytes,
            "identity": self.identity,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Rebuild from `to_dict`. Raises KeyError where a field is missing."""
        return cls(
            head=values["head"],
            settings=settings_from_dict(values["settings"]),
            seed=values["seed"],
            limit=values["limit"],
            extractor=ExtractorSpec.from_dict(values["extractor"]),
            splits={name: SplitFacts(**facts) for name, facts in values["splits"].items()},
            features_dir=values["features_dir"],
            label_note=values["label_note"],
            library_versions=values["library_versions"],
            streamed_bytes=values.get("streamed_bytes"),
        )


def library_versions() -> dict[str, str]:
    """Return the installed versions of what a run's numbers depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


# --- where a run lies -----------------------------------------------------------------------------


def read_config(run: Path) -> RunConfig:
    """Read the configuration of a run.

    Raises:
        RunError: no run, a damaged one, or one of another version.
    """
    values = read_json(run / "config.json")
    if values.get("format") == FOLDS_FORMAT:
        raise RunError(
            f"{run} is a cross-validation, whose models are not kept. Its figures are in "
            f"{run.parent / 'leaderboard.csv'}; make a run with `heads train`."
        )
    if values.get("format") != FORMAT or values.get("version") != VERSION:
        raise RunError(
            f"{run / 'config.json'} has the format {values.get('format')!r} version "
            f"{values.get('version')!r}; this program reads {FORMAT!r} version {VERSION}."
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


# What metrics.json says besides metrics, which may come and go from version to version.
MEASURED = ("head", "split", "n", "n_train", "fit_seconds", "ranking_only", "label_by_p")
ABOUT_METRICS = ("intervals", "floor", "verdict")


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


def find_runs(out: Path) -> list[Path]:
    """Return the finished runs in a folder, sorted by name."""
    if not out.is_dir():
        return []
    return sorted(p.parent for p in out.glob("*/config.json") if not p.parent.name.startswith("."))


def place(
    out: Path, head: str, identity: str, *, overwrite: bool, keep_others: bool = False
) -> tuple[Path, bool]:
    """Return where a head's run belongs, and whether that very run is already there.

    `out/<head>` if it is free or equal, else `out/<head>-<hash8>`. With `overwrite` nothing
    counts as there, and `out/<head>` is replaced unless an equal run lies beside it, or unless
    `keep_others`: then an equal run alone is replaced.

    Raises:
        RunError: the place is taken by something that is no run.
        CacheLockedError: another process is replacing the run at this moment.
        StorageError: a run that a kill left aside cannot be put back.
    """
    plain = out / head
    hashed = out / f"{head}-{identity[:HASH_DIGITS]}"
    for candidate in (plain, hashed):
        with storage_errors(candidate):
            restore(candidate)
        if _holds(candidate, identity):
            return candidate, not overwrite
    if (overwrite and not keep_others) or not plain.exists():
        return plain, False
    read_json(plain / "config.json")
    if hashed.exists():
        raise RunError(
            f"{hashed} holds another run than its name says. Replace {plain} with --overwrite, "
            "or choose another --out."
        )
    return hashed, False


def _holds(run: Path, identity: str) -> bool:
    try:
        return bool(read_json(run / "config.json").get("identity") == identity)
    except RunError:
        return False


@contextmanager
def publishing(run: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `run` in one step, unless an error comes between.

    Raises:
        CacheLockedError: another process is writing the same run.
        StorageError: the disk is full or refuses.
    """
    with storage_errors(run), replacing_folder(run) as temporary:
        yield temporary


# --- model and history ----------------------------------------------------------------------------


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; NaN is refused, since JSON has none."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_model(folder: Path, head: Head) -> None:
    """Write model.keras or model.npz, and model.json beside it."""
    arrays, values = head.state()
    if find_head(head.about.name).neural:
        head.save_model(folder / "model.keras")  # type: ignore[attr-defined]
    else:
        np.savez(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    write_json(folder / "model.json", values)


def load_head(run: Path) -> Head:
    """Load the trained head of a run, without running any code from it.

    Raises:
        RunError: no run, or its model is missing or damaged.
    """
    config, values = read_config(run), read_json(run / "model.json")
    settings = config.settings
    path = run / ("model.keras" if isinstance(settings, NetworkSettings) else "model.npz")
    try:
        if isinstance(settings, NetworkSettings):
            return load_neural_head(config.head, settings, path, values)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return restore_head(config.head, arrays, values)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} cannot be loaded with model.json: {error!r}. Train the head again with "
            "--overwrite."
        ) from error


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
