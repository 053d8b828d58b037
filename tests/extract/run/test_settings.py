"""Settings that contradict themselves are refused, and failures are counted against the limit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cache.errors import (
    LabelError,
)
from cache.types import Status
from extract.errors import TooManyFailuresError
from extract.run.settings import FailurePolicy, Shard
from tests.helpers import make_manifest, present


def test_reasons_are_counted_and_the_commonest_shown_first() -> None:
    reasons = Counter({"a": 1, "b": 3000, "c": 2, "d": 1, "e": 1})
    statuses = Counter({Status.UNREADABLE: 3005, Status.OK: 10})
    with pytest.raises(TooManyFailuresError, match=r"\(3,000 x b; 2 x c; 1 x a; 1 x d\)"):
        FailurePolicy().check(statuses, reasons, Path("train.h5"))


def test_a_shard_beyond_the_count_is_refused() -> None:
    with pytest.raises(LabelError, match="expected i/n with 1 <= i <= n"):
        Shard(3, 2)


def test_shards_cover_every_row_once_and_name_their_files() -> None:
    manifest, facts = make_manifest(11), present(11)
    parts = [Shard(number, 3).cut(manifest, facts)[0] for number in (1, 2, 3)]
    ids = [name for part in parts for name in part.labels.image_id.tolist()]
    assert ids == manifest.labels.image_id.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert (parts[1].split_rule.shard, parts[1].split_rule.shards) == (2, 3)
    names = [Shard(*shard).path(Path("f"), "val").name for shard in ((1, 1), (2, 3))]
    assert names == ["val.h5", "val.shard-2-of-3.h5"]
