"""Every file of a run damaged in every way: an error in words or no harm, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import AestheticError
from heads.cli.main import main
from heads.report.data import read_report
from heads.report.page import page
from heads.runs.checksums import FILE
from heads.runs.files import read_config, read_history, read_metrics
from heads.runs.loaded import load_run
from heads.runs.predictions import read_predictions
from tests.heads.studio import Studio
from tests.heads.unsealed import unsealed

JSONS = ("config.json", "model.json", "metrics.json", "yardstick.json")
TABLES = ("history.csv", "predictions.csv")
FILES = (*JSONS, *TABLES, "model.npz")
# So many damages are read for each whole page that is made.
PAGES = 11
# What is said of a run whose configuration is gone or names another folder, and of other labels.
ELSEWHERE = re.compile(r"holds no finished run|There is no cache|ridge was measured on (an)?other")
# Values that stand where others are expected.
WRONG: tuple[Any, ...] = (
    *(None, True, -1, 0.5, 1e308, 10**400, 2**70, "", "x", "\0", "\ud800", "x" * 10**5, "../../x"),
    *([], {}, [[]], ["a", 1], {"a": {}}, [float("inf")], [1, 2, 3]),
)
FEW_WRONG: tuple[Any, ...] = (None, -1, 10**400, "x", [], ["a", 1])


def no_file(path: Path) -> Iterator[Callable[[], object]]:
    """Yield what may stand in place of a file."""
    yield path.mkdir
    yield lambda: path.symlink_to(path.name)
    yield lambda: os.mkfifo(path)
    yield lambda: path.symlink_to("/dev/zero")
    yield lambda: None
    for content in (
        b"",
        b"\0" * 99,
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b"null",
        b"1e400",
        b"[" * 99999,
    ):
        yield lambda content=content: path.write_bytes(content)


def replaced(values: Any, path: Path) -> Iterator[Callable[[], object]]:
    """Yield a writer for each value of a JSON object, however deep, gone or replaced."""

    def put(text: str) -> Callable[[], object]:
        return lambda: path.write_text(text)

    for place in places(values):
        for wrong in (..., *(WRONG if len(place) == 1 else FEW_WRONG)):
            yield put(json.dumps(changed(values, place, wrong)))


def places(values: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value; of a list and of what every metric has to the first."""
    items = list(values.items() if isinstance(values, dict) else enumerate(values[:1]))
    if so_far and "srcc" in values:
        items = items[:1]
    for name, value in items:
        yield (*so_far, name)
        if isinstance(value, (dict, list)):
            yield from places(value, (*so_far, name))


def changed(values: Any, place: tuple[Any, ...], wrong: Any) -> Any:
    """Return a copy with one value replaced, or taken out for `...`."""
    name, *rest = place
    copy = values.copy()
    if rest:
        copy[name] = changed(values[name], tuple(rest), wrong)
    elif wrong is ...:
        del copy[name]
    else:
        copy[name] = wrong
    return copy


def tables(text: str, path: Path) -> Iterator[Callable[[], object]]:
    """Yield a writer for each column of a table, gone, renamed or with other values."""
    header, *rows = (line.split(",") for line in text.splitlines())

    def put(lines: list[list[str]]) -> Callable[[], object]:
        return lambda: path.write_text("\n".join(map(",".join, lines)) + "\n")

    for cut in (0, 1, 2):
        yield put([header, *rows][:cut])
    yield put([header, *(row[:-1] for row in rows)])
    for i in range(len(header)):
        yield put([line[:i] + line[i + 1 :] for line in (header, *rows)])
        yield put([[*header[:i], header[0], *header[i + 1 :]], *rows])
        for wrong in (
            "",
            "nan",
            "inf",
            "1e400",
            "-1",
            "99999999999",
            "0.5",
            "x" * 140_000,
            '"',
            "٣",
        ):
            yield put([header, *([*row[:i], wrong, *row[i + 1 :]] for row in rows)])


def arrays(stored: dict[str, np.ndarray], path: Path) -> Iterator[Callable[[], object]]:
    """Yield a writer for each array of a model, gone or another one."""

    def put(values: dict[str, Any], save: Callable[..., None] = np.savez) -> Callable[[], object]:
        return lambda: save(path, **values)

    yield lambda: np.save(path.with_suffix(""), np.zeros(3))
    yield put(stored, np.savez_compressed)
    yield lambda: huge_array(path)
    for name, array in stored.items():
        yield put({other: stored[other] for other in stored if other != name})
        for wrong in (array[:0], array[..., None], array.T[:1], array * np.nan, array.astype(str)):
            yield put(stored | {name: wrong})
        yield put(stored | {name: np.array([{"code": 1}], object)})


def huge_array(path: Path) -> None:
    """Write a model whose array says that it has 2^60 numbers."""
    words = "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }"
    header = words.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "kernel.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )


def damages(run: Path, name: str) -> Iterator[Callable[[], object]]:
    """Yield what is done to a file of a run, which is not there."""
    path, whole = run / name, (run / name).read_bytes()
    yield from no_file(path)
    yield lambda: path.write_bytes(whole[: len(whole) // 2])
    if name in JSONS:
        yield from replaced(json.loads(whole), path)
    elif name in TABLES:
        yield from tables(whole.decode(), path)
    else:
        with np.load(path) as stored:
            yield from arrays(dict(stored), path)


def no_thumbnail(path: Path, pixels: int) -> None:
    """Make none."""


def score(run: Path) -> object:
    """Score as `heads score`, `predict`, `explain` and `export` do."""
    return load_run(run).opinions(np.zeros((2, 1, 1280), np.float32))


def report(run: Path) -> object:
    """Make the report's page."""
    return page(read_report(run.parent), no_thumbnail)


READERS: dict[str, Callable[[Path], object]] = {
    **{"config.json": read_config, "metrics.json": read_metrics, "history.csv": read_history},
    **{"predictions.csv": read_predictions, "yardstick.json": score},
    **{"model.json": score, "model.npz": score},
}


def said_by(use: Callable[[Path], object], run: Path) -> str:
    """Return what is said of a run where it cannot be used so."""
    try:
        use(run)
    except AestheticError as error:
        return error.one_line()
    return ""


@pytest.fixture
def runs(studio: Studio, tmp_path: Path) -> Path:
    """A folder with one run, of an earlier version."""
    unsealed(shutil.copytree(studio.run(), tmp_path / "runs" / "ridge"))
    return tmp_path / "runs"


def cleared(path: Path) -> None:
    """Take away what stands in place of a file."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_ends_in_words_that_name_it(
    runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs / "ridge" / name
    whole, tried = path.read_bytes(), 0
    for damage in list(damages(path.parent, name)):
        cleared(path)
        damage()
        said = said_by(READERS[name], path.parent)
        assert path.stem in said or not said
        # A page takes longer than to read what is on it.
        if tried % PAGES == 0:
            words = "" if name.startswith("model") else said_by(report, path.parent)
            assert path.stem in words or ELSEWHERE.search(words) or not words
            assert main(["list", str(runs)]) in (0, 1)
        tried += 1
        cleared(path)
        path.write_bytes(whole)
    capsys.readouterr()
    assert tried >= 15
    assert said_by(READERS[name], path.parent) == said_by(report, path.parent) == ""


@pytest.mark.parametrize("name", [*FILES, FILE])
def test_a_damaged_file_of_a_run_with_checksums_is_always_refused(
    studio: Studio, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(studio.run(), tmp_path / "bad")
    shutil.copytree(studio.run(), tmp_path / "good")
    path = tmp_path / "bad" / name
    for damage in list(no_file(path)):
        cleared(path)
        damage()
        unlisted = name == FILE and not os.path.lexists(path)
        assert main(["list", str(tmp_path)]) == (0 if unlisted else 1)
        out = capsys.readouterr().out
        (row,) = (line for line in out.splitlines() if line.startswith("  bad "))
        assert name in row or unlisted
        assert "  good  ridge" in out
