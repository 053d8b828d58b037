"""What `cache info` says of a file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from cache.cli import main
from cache.store import partial_path
from tests.helpers import make_manifest, make_spec, small_cache

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound cache of 20 photographs."""
    return small_cache(tmp_path / "train.h5")


def test_it_says_what_a_file_holds(path: Path, capsys: Capture) -> None:
    assert main(["info", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if " " in line.strip())
    assert lines["state"] == "complete"
    assert lines["split"] == "train, by hash of id (seed 0)"
    assert lines["rows"] == "20: 20 ok, 0 missing, 0 unreadable, 0 pending"
    assert lines["features"] == "20 x 1 x 8 float16 (photographs x views x numbers)"
    assert lines["layers"] == "top [0:8]"
    assert lines["labels"] == "votes 1..7, scale 1..7, beautiful above 4"
    assert lines["fingerprint"] == make_spec().sha256
    assert lines["manifest"] == make_manifest(20).sha256


def test_json_holds_one_object_a_file(path: Path, capsys: Capture) -> None:
    other = small_cache(path.with_name("val.h5"), 3, levels=None)
    assert main(["info", "--json", str(path), str(other)]) == 0
    one, two = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["file"] == str(path)
    assert one["rows"] == one["ok"] == 20
    assert one["features"] == {"shape": [20, 1, 8], "dtype": "float16"}
    assert one["extractor"] == make_spec().to_dict()
    assert one["labels"]["levels"] == 7
    assert one["complete"] is True
    assert one["bytes"] == path.stat().st_size
    assert two["rows"] == 3
    assert two["labels"]["levels"] is None
    assert two["labels"]["scale"] == [0, 1]


def test_a_partial_file_is_shown_as_unfinished(path: Path, capsys: Capture) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.modify("complete", 0)
    partial = path.rename(partial_path(path))
    assert main(["info", str(partial)]) == 0
    assert "unfinished: `extract` goes on with it" in capsys.readouterr().out
