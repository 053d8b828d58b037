"""What `cache info` says of a file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.cli import main
from cache.info import describe
from cache.pairs import pairs_path, write_pairs
from cache.store import partial_path
from tests.helpers import (
    make_features,
    make_manifest,
    make_spec,
    relabelled,
    small_cache,
    write_cache,
)

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


def test_photographs_are_shown_where_they_lie_now(tmp_path: Path, capsys: Capture) -> None:
    manifest, spec = make_manifest(3), make_spec()
    old, features = tmp_path / "old", make_features(3, spec)
    path = write_cache(old / "features" / "a.h5", manifest, spec, features, data_root=str(old))
    for name in manifest.labels.path.tolist():
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).touch()

    def shown(path: Path) -> str:
        assert main(["info", str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        return next(line for line in lines if line.startswith("photographs "))[13:]

    assert shown(path) == str(old)
    new = old.rename(tmp_path / "new")
    assert shown(new / "features" / "a.h5") == f"{old} (not there now)"
    path = write_cache(
        new / "a.h5", manifest, spec, features, data_root=str(tmp_path / "x" / "new")
    )
    assert shown(path) == f"{new} ({tmp_path}/x/new when extracted)"
    assert shown(small_cache(tmp_path / "b.h5")) == "not said"


def test_comparisons_are_counted_and_means_that_nobody_gave_are_none(
    tmp_path: Path, capsys: Capture
) -> None:
    manifest, spec = make_manifest(3, levels=None), make_spec()
    unknown = relabelled(manifest, mean=np.full(3, np.nan))
    path = write_cache(tmp_path / "train.h5", unknown, spec, make_features(3, spec))
    assert describe(path)["labels"]["mean_of_means"] is None
    write_pairs(pairs_path(path), [("photo-0000", "photo-0001")] * 2)
    assert main(["info", str(path)]) == 0
    labels = "labels       no votes or means, 2 comparisons, scale 0..1, beautiful above 0.5"
    assert labels in capsys.readouterr().out
