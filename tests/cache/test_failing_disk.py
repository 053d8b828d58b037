"""Merging and exporting on a disk that fails at any single call: words, and nothing published."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.errors import StorageError
from cache.export import export
from cache.merge import merge
from tests import failing
from tests.cache.test_merge import SPEC, N, make_shards
from tests.failing import Disk, Ended
from tests.helpers import (
    assert_same_cache,
    make_features,
    make_manifest,
    small_cache,
    write_cache,
)

CACHE = "cache.cli:main"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[failing.Server]:
    modules = ("cache.cli", "cache.merge", "cache.export", "pandas", "pyarrow")
    with failing.server(tmp_path_factory.mktemp("disk"), *modules) as server:
        yield server


def every_call(server: failing.Server, path: Path, *arguments: object) -> Iterator[Ended]:
    """Run a command once for every other call on files below a folder, which fails then."""
    calls = server.run(CACHE, arguments, Disk(str(path.parent), errno.EIO, at=10**6)).calls
    assert len(calls) > 5
    for at, call in list(enumerate(calls))[::2]:
        path.unlink(missing_ok=True)
        ended = server.run(CACHE, arguments, Disk(str(path.parent), errno.EIO, at=at))
        try:
            assert ended.code == 1, ended
            assert ended.err.startswith("cache: "), ended.err
            assert ended.err.count("\n") == 1, ended.err
            assert "cannot be written: Input/output error." in ended.err
            yield ended
        except BaseException as error:
            error.add_note(f"call {at} of {len(calls)} failed: {call}")
            raise


def test_a_merge_publishes_nothing_that_is_not_whole(
    server: failing.Server, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    parts, out = make_shards(tmp_path, 2), tmp_path / "out" / "train.h5"
    whole = merge(tmp_path / "whole.h5", parts)
    for _ in every_call(server, out, "merge", out, *parts):
        if out.exists():
            assert_same_cache(out, whole.path)
    assert merge(out, parts, overwrite=True).n_rows == N
    assert_same_cache(out, whole.path)
    assert {path.name for path in out.parent.iterdir()} == {"train.h5", "train.rejects.csv"}


@pytest.mark.parametrize("to", ["npz", "csv", "parquet"])
def test_an_export_publishes_nothing_that_is_not_whole(
    server: failing.Server, tmp_path: Path, to: str
) -> None:
    (tmp_path / "out").mkdir()
    source, out = small_cache(tmp_path / "train.h5"), tmp_path / "out" / f"a.{to}"
    export(source, tmp_path / f"whole.{to}", to, overwrite=False)
    whole = (tmp_path / f"whole.{to}").read_bytes()
    for _ in every_call(server, out, "export", source, "--to", to, "--out", out):
        if out.exists():
            assert out.read_bytes() == whole
    export(source, out, to, overwrite=True)
    assert out.read_bytes() == whole
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("kilobytes", [1, 8, 24, 64])
def test_a_limit_on_the_size_of_files_is_told_in_words(tmp_path: Path, kilobytes: int) -> None:
    n = 5000
    manifest, features = make_manifest(n), make_features(n, SPEC)
    source = write_cache(tmp_path / "train.h5", manifest, SPEC, features)
    words = r"out\.(h5|npz) cannot be written: File too large"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, before[1]))
    try:
        with pytest.raises(StorageError, match=words):
            write_cache(tmp_path / "out.h5", manifest, SPEC, features)
        with pytest.raises(StorageError, match=words):
            export(source, tmp_path / "out.npz", "npz", overwrite=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("*out*"))
