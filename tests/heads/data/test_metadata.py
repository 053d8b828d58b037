"""What a cache knows of photographs besides pixels and votes, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.store import open_cache
from heads.data.metadata import BYTES, CHALLENGE, HEIGHT, TAGS, WIDTH, metadata_of
from tests.heads.studio import Studio
from tests.helpers import make_features, make_manifest, make_spec, relabelled, write_cache

ROWS = np.array([4, 1])


def test_size_and_bytes_are_those_of_the_photographs(studio: Studio) -> None:
    cache = open_cache(studio.features / "train.h5")
    known = metadata_of(cache, ROWS)[:, 0]
    np.testing.assert_array_equal(known[:, [WIDTH, HEIGHT]], cache.size[ROWS])
    files = [cache.data_root / str(cache.labels.path[row]) for row in ROWS]
    assert known[:, BYTES].tolist() == [file.stat().st_size for file in files]


def test_tags_and_challenge_are_those_of_the_labels_and_0_without_them(tmp_path: Path) -> None:
    spec, plain = make_spec(), make_manifest(6)
    tags = np.arange(12, dtype=np.int32).reshape(6, 2)
    tagged = relabelled(plain, tags=tags, challenge=np.arange(6, dtype=np.int32) + 70)
    for name, manifest, expected in (
        ("with", tagged, [[8, 9, 74], [2, 3, 71]]),
        ("without", plain, [[0, 0, 0], [0, 0, 0]]),
    ):
        path = write_cache(tmp_path / f"{name}.h5", manifest, spec, make_features(6, spec))
        known = metadata_of(open_cache(path), ROWS)
        assert known.shape == (2, 1, 6)
        assert np.hstack([known[:, 0, TAGS], known[:, 0, CHALLENGE, None]]).tolist() == expected
        assert (known[:, 0, [WIDTH, HEIGHT, BYTES]] == 0).all()
