"""From caches to what heads train on: the rows that hold features, checked against each other.

Owns the choice of rows and the refusal of caches that do not belong together; imports neither
keras nor scikit-learn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.console import note, working
from cache.errors import MismatchError
from cache.pairs import pairs_of
from cache.places import changed_labels
from cache.store import FeatureCache, open_cache
from cache.text import shown
from cache.types import SPLITS, FloatArray, IntArray, SplitKind
from heads.data.features import FeatureRows, StoredRows, memory_budget
from heads.data.labels import Labels
from heads.data.metadata import metadata_of
from heads.errors import HeadError, SplitOverlapError

if TYPE_CHECKING:
    import pandas as pd

SHOWN_NAMES = 5
NOTE_FILE = "labels-note.txt"
# Of a file's provenance, what should be known where two files differ, in words.
ORIGINS = {
    "data_root": "data folder",
    "weights_origin": "source of weights",
    "engine": "engine",
    "library_versions": "set of libraries",
}


@dataclass(frozen=True, eq=False)
class SplitData:
    """The photographs of one split that hold features.

    `X` is (n, V, D), float16 or float32, and knows its memory budget. `labels` has the same n rows,
    with paths relative to `cache.data_root`; `rows` (n,) are row numbers in the cache; `limit` is
    how many were asked for at most, None for all.
    """

    split: str
    X: FeatureRows
    labels: Labels
    rows: IntArray
    cache: FeatureCache
    limit: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self) -> pd.DataFrame:
        """Return one row a photograph: image_id, group, votes, mean, beautiful.

        `votes` holds the counts of the ratings 1..K as a list, None for labels with means only.
        """
        import pandas as pd

        labels = self.labels
        votes = [None] * len(self) if labels.votes is None else labels.votes.tolist()
        return pd.DataFrame(
            {
                "image_id": labels.image_id,
                "group": labels.group,
                "votes": pd.Series(votes, dtype=object),
                "mean": labels.mean,
                "beautiful": labels.beautiful,
            }
        )

    @cached_property
    def metadata(self) -> FloatArray:
        """(n, 1, 6) float64, what is known of these photographs: see `heads.data.metadata`."""
        return metadata_of(self.cache, self.rows)

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of the used rows, their checksums and comparisons: other ones, other text.

        The rows matched their checksums when the split was loaded, so it is that of what was read.
        """
        digest = hashlib.sha256(self.cache.manifest_sha256.encode())
        digest.update(self.rows.astype("<i8").tobytes())
        digest.update(self.cache.crc32[self.rows].astype("<u4").tobytes())
        if self.labels.pairs is not None:
            digest.update(self.labels.pairs.astype("<i8").tobytes())
        return digest.hexdigest()


def load_splits(
    features_dir: str | Path,
    splits: Sequence[str] = SPLITS,
    limit: int | None = None,
    memory_bytes: int | None = None,
) -> dict[str, SplitData]:
    """Open the caches of some splits and take the rows that hold features.

    Args:
        features_dir: the folder with train.h5, val.h5 and test.h5.
        splits: which of them.
        limit: use only the first so many rows of train; rows lie in hash order, so the first
            5,000 are part of the first 20,000.
        memory_bytes: features above this size stay on the disk; half of the machine's if None.

    Raises:
        IncompleteCacheError, FormatError: a cache is missing, unfinished or damaged (every row of
            each is compared with its checksum).
        MismatchError: a cache is of another split than its name says or a part of one, or two
            differ in extractor, scale, threshold, labels' columns or the rule that split them.
        SplitOverlapError: a photograph or group stands in two splits.
        HeadError: a split has no photograph with features, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise HeadError(f"--limit must be at least 1 photograph; got {limit}.")
    with working("reading features"):
        caches = {split: open_cache(Path(features_dir) / f"{split}.h5") for split in splits}
        check_together(caches)
        for line in changed_labels(caches.values()):
            note(line)
        return {
            split: _split_data(split, cache, limit if split == "train" else None, memory_bytes)
            for split, cache in caches.items()
        }


def with_limit(data: Mapping[str, SplitData], limit: int) -> dict[str, SplitData]:
    """Return loaded splits with the first so many rows of train, read from the files as opened."""
    train = data["train"]
    first = _split_data("train", train.cache, limit, memory_budget(train.X))
    return {**data, "train": first}


def check_unchanged(data: Mapping[str, SplitData]) -> None:
    """Refuse splits that somebody wrote into since they were loaded. Raises FormatError.

    Features are read while a head is trained, long after their checksums were compared.
    """
    for part in data.values():
        part.cache.check_unchanged()


def _split_data(
    split: str, cache: FeatureCache, limit: int | None, memory_bytes: int | None
) -> SplitData:
    cache.check_rows()
    rows = cache.ok_rows[:limit]
    if not len(rows):
        raise HeadError(
            f"{cache.path} has no photograph with features among its {cache.n_rows} rows. "
            f"Look at its rejects file and make it again with `{cache.spec.made_by(split)}`."
        )
    return SplitData(
        split=split,
        X=StoredRows(cache.feature_rows, rows, memory_bytes),
        labels=labels_of(cache, rows),
        rows=rows,
        cache=cache,
        limit=limit,
    )


def labels_of(cache: FeatureCache, rows: IntArray) -> Labels:
    """Return the labels of some rows of a cache, with the comparisons of two of them.

    Raises:
        FormatError, LabelError: as `cache.pairs.pairs_of`.
    """
    return replace(Labels.of(cache.labels), pairs=pairs_of(cache)).take(rows)


# --- caches that are used together ----------------------------------------------------------------


def check_together(caches: Mapping[str, FeatureCache]) -> None:
    """Refuse caches that are not what they are used as, differ in making, or share photographs.

    `caches` are by the split that each is used as. What does no harm but should be known, such as
    another engine, is said as a note.

    Raises:
        MismatchError: one is of another split or a part of one, or two differ in extractor, scale,
            threshold, labels' columns, the rule that split them or the files of their labels; the
            message names what differs.
        SplitOverlapError: an id or a group stands in two of them; the message names some.
    """
    for split, cache in caches.items():
        _check_role(split, cache)
    for first, second in combinations(caches.values(), 2):
        _check_same_making(first, second)
        _check_disjoint(first, second)
        _check_same_label_files(first, second)
    for other in list(caches.values())[1:]:
        _note_other_origin(next(iter(caches.values())), other)


def joint_note(caches: Iterable[FeatureCache]) -> str:
    """Return the remark on the labels; where that of one split differs, each with its split."""
    notes = {cache.split: cache.label_note for cache in caches}
    if len(set(notes.values())) == 1:
        return next(iter(notes.values()))
    return "; ".join(f"{split}: {text}" for split, text in notes.items() if text)


def _check_role(split: str, cache: FeatureCache) -> None:
    if cache.split != split:
        raise MismatchError(
            f"{cache.path} is used as {split} and holds the split {cache.split}: it was renamed or "
            f"copied. Give it its name back, {cache.split}.h5, and make {split}.h5 with "
            f"`{cache.spec.made_by(split)}`."
        )
    rule = cache.split_rule
    if rule.shards > 1:
        raise MismatchError(
            f"{cache.path} is shard {rule.shard} of {rule.shards} of {split} alone. Put all of "
            "them together with `cache merge`."
        )


def _check_same_making(first: FeatureCache, second: FeatureCache) -> None:
    facts = zip(_labelled(first).items(), _labelled(second).values(), strict=True)
    differing = [(name, mine, theirs) for (name, mine), theirs in facts if mine != theirs]
    for name, mine, theirs in (*first.spec.differences(second.spec), *differing):
        raise MismatchError(
            f"{first.path} and {second.path} cannot be used together: their {name} differs, "
            f"{shown(mine)} and {shown(theirs)}. Make both with the same settings."
        )


def _labelled(cache: FeatureCache) -> dict[str, object]:
    """Return what splits of one set have in common, by what it is called in a message.

    A limit may differ: it cuts a split, and does not move a photograph to another one.
    """
    rule, labels = cache.split_rule, cache.labels
    drawn = rule.val_fraction > 0 or rule.test_fraction > 0
    return {
        "scale": cache.scale,
        "threshold": cache.threshold,
        "number of vote levels": labels.levels,
        "columns of labels": [name for name in labels.columns() if name != "votes"],
        "way of splitting": rule.rule if rule.kind is SplitKind.OTHER else rule.kind.value,
        "--val-fraction": rule.val_fraction,
        "--test-fraction": rule.test_fraction,
        "--split-seed": rule.seed if drawn else 0,
    }


def _check_same_label_files(first: FeatureCache, second: FeatureCache) -> None:
    """Refuse splits of two versions of a file of labels, as far as both know theirs.

    A remark that came later decides nothing; `joint_note` shows it.
    """
    mine, theirs = (cache.header.provenance.label_files for cache in (first, second))
    if bool(mine) != bool(theirs):  # files that are older than the attribute do not know them
        older, newer = (second, first) if mine else (first, second)
        note(
            f"{older.path} does not say which files of labels it was made from, so whether they "
            f"were those of {newer.path} cannot be told. `extract --split all` brings all splits "
            "up to date; photographs that did not change are not read again."
        )
    for name in sorted(mine.keys() & theirs.keys() - {NOTE_FILE}):
        if mine[name] != theirs[name]:
            raise MismatchError(
                f"{first.path} and {second.path} cannot be used together: {name} changed between "
                f"their extractions, so their labels differ. {_in_one_run(first)}."
            )


def _note_other_origin(first: FeatureCache, second: FeatureCache) -> None:
    """Say what was different when two files were made, though their fingerprints are the same."""
    origins = first.header.provenance, second.header.provenance
    differing = [
        f"{words} ({shown(mine)}; {shown(theirs)})"
        for name, words in ORIGINS.items()
        if (mine := getattr(origins[0], name)) != (theirs := getattr(origins[1], name))
    ]
    if differing:
        note(
            f"{first.path} and {second.path} were made with another {', another '.join(differing)}."
        )


def _check_disjoint(first: FeatureCache, second: FeatureCache) -> None:
    for kind, name in (("photograph", "image_id"), ("group", "group")):
        shared = np.intersect1d(getattr(first.labels, name), getattr(second.labels, name))
        shared = shared[shared != ""]
        if len(shared):
            named = shown(shared[:SHOWN_NAMES].tolist())
            more = ", ..." if len(shared) > SHOWN_NAMES else ""
            raise SplitOverlapError(
                f"{first.path} and {second.path} have {len(shared)} of their {kind}s in common: "
                f"{named}{more}. {_in_one_run(first)}; then every photograph has one split."
            )


def _in_one_run(cache: FeatureCache) -> str:
    if cache.spec.is_external:
        return "Make all splits with one `cache import`"
    return (
        "Extract all splits in one run (`extract --split all`), which reads no photograph again "
        "that did not change"
    )
