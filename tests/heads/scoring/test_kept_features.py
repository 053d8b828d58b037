"""Features are kept for a second look: of the same file and the same extractor alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cache.errors import CacheLockedError, FormatError, StaleCacheError
from heads.photos import Extracted
from heads.runs.files import read_config
from heads.scoring.kept_features import KeptFeatures
from tests import helpers
from tests.cheap import Opener
from tests.heads.scoring.opened import changed, mixed, opened
from tests.heads.studio import Studio, picture, save_pictures


def test_kept_features_are_not_computed_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", mixed(tmp_path / "photos")
    first = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    second = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine.batches == 0
    assert first.equals(second)


def test_a_changed_photograph_is_read_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    opened(studio, "ridge", keep=keep).frame(paths)
    picture(50, (99, 99)).save(paths[1])
    again = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    assert again.equals(opened(studio, "ridge").frame(paths))


@pytest.mark.usefixtures("cheap_engine")
def test_kept_features_of_another_extractor_are_refused(studio: Studio, tmp_path: Path) -> None:
    spec = read_config(studio.run("ridge")).extractor
    keep = tmp_path / "kept"
    KeptFeatures(keep, spec, lambda sources: iter(()))
    other = read_config(changed(studio, tmp_path, "dtype", "float32")).extractor
    with pytest.raises(StaleCacheError, match="dtype float16; this run needs float32"):
        KeptFeatures(keep, other, lambda sources: iter(()))
    keep.write_text("these are no features at all, but a text of some length" * 20)
    with pytest.raises(FormatError, match=r"holds no kept features.*--cache"):
        KeptFeatures(keep, spec, lambda sources: iter(()))


def altered(keep: Path, *statements: str) -> None:
    with sqlite3.connect(keep) as file:
        for statement in statements:
            file.execute(statement)
    file.close()


@pytest.mark.parametrize(
    "change",
    [
        "features = zeroblob(length(features))",
        "features = substr(features, 1, 100)",
        "features = NULL",
        "features = 'text'",
        "width = width + 1",
        "sha256 = NULL",
        "features = (SELECT features FROM photographs ORDER BY path DESC LIMIT 1)",
    ],
)
def test_a_photograph_whose_kept_features_are_damaged_is_read_again(
    studio: Studio,
    cheap_engine: Opener,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    first = opened(studio, "ridge", keep=keep).frame(paths)
    altered(
        keep,
        f"UPDATE photographs SET {change} WHERE path = (SELECT min(path) FROM photographs)",
    )
    capsys.readouterr()
    for batches, said in (
        (1, f"{min(paths)}: its features in {keep} are damaged; read again.\n"),
        (0, ""),
    ):
        assert opened(studio, "ridge", keep=keep).frame(paths).equals(first)
        assert cheap_engine.engine is not None
        assert cheap_engine.engine.batches == batches
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("cheap_engine")
def test_names_that_are_not_utf8_are_kept_too(studio: Studio, tmp_path: Path) -> None:
    keep, (path,) = tmp_path / "kept", save_pictures(tmp_path / "photos", [1])
    odd = path.rename(path.with_name(os.fsdecode(b"caf\xe9.jpg")))
    first = opened(studio, "ridge", keep=keep).frame([odd])
    assert opened(studio, "ridge", keep=keep).frame([odd]).equals(first)


@pytest.mark.usefixtures("cheap_engine")
def test_what_cannot_be_a_name_of_a_file_has_a_reason_as_without_kept_features(
    studio: Studio, tmp_path: Path
) -> None:
    for name in ("a\0b.jpg", "\ud800.jpg"):
        plain = opened(studio, "ridge").frame([name])
        assert plain.error[0]
        assert opened(studio, "ridge", keep=tmp_path / "kept").frame([name]).equals(plain)


def torn(keep: Path) -> None:
    content = bytearray(keep.read_bytes())
    content[100:8000] = bytes(7900)
    keep.write_bytes(content)


ENDLESS = "WITH RECURSIVE n(a) AS (SELECT '1' UNION ALL SELECT '1' FROM n) SELECT a, a FROM n"
FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn": (torn, "holds no kept features: "),
    "another program's": (
        lambda keep: (keep.unlink(), altered(keep, "CREATE TABLE songs (name TEXT)")),
        r"has the format none version none; kept features are .* version 2\. Name another file",
    ),
    "an endless view": (
        lambda keep: altered(
            keep, "DROP TABLE about", f"CREATE VIEW about(name, value) AS {ENDLESS}"
        ),
        "has the format none version none",
    ),
    "a trigger": (
        lambda keep: altered(
            keep, "CREATE TRIGGER t AFTER INSERT ON photographs BEGIN DELETE FROM about; END"
        ),
        "holds no kept features: its tables are others",
    ),
    "an earlier version": (
        lambda keep: altered(keep, "UPDATE about SET value = '1' WHERE name = 'version'"),
        "version 1; kept features are aesthetic-kept-features version 2",
    ),
    "no extractor": (
        lambda keep: altered(keep, "UPDATE about SET value = '[1]' WHERE name = 'extractor'"),
        "holds no kept features: ",
    ),
    "no JSON": (
        lambda keep: altered(keep, "UPDATE about SET value = '{' WHERE name = 'extractor'"),
        "holds no kept features: ",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.usefixtures("cheap_engine")
def test_a_foreign_file_is_refused_in_words(studio: Studio, tmp_path: Path, kind: str) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    opened(studio, "ridge", keep=keep).frame(paths)
    change, words = FOREIGN[kind]
    change(keep)
    with pytest.raises(FormatError, match=words):
        opened(studio, "ridge", keep=keep).frame(paths)


@pytest.mark.usefixtures("cheap_engine")
def test_two_use_one_file_at_the_same_time(studio: Studio, tmp_path: Path) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    spec = read_config(studio.run("ridge")).extractor
    size = len(spec.views), spec.n_features
    made = Extracted(np.ones(size, np.float32), None, (9, 9), "")
    one, other = (KeptFeatures(keep, spec, lambda s: (made for _ in s)) for _ in range(2))
    begun = one(paths)
    assert next(begun) is made
    assert len(list(other(paths))) == 3
    assert len(list(begun)) == 2
    (count,) = sqlite3.connect(keep).execute("SELECT count(*) FROM photographs").fetchone()
    assert count == 3


def test_a_file_that_another_process_writes_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "kept"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0.01))
    other = connect(keep, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(
        CacheLockedError, match=r"is being written by another process\. Wait.*--cache"
    ):
        KeptFeatures(keep, helpers.make_spec(), lambda sources: iter(()))
    other.close()
