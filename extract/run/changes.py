"""What has changed since an earlier file of a split was made, in words: labels, remark, place.

Reads the earlier file; what becomes of it is `cache.resume`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cache.errors import AestheticError
from cache.labels import LabelTable, Manifest
from cache.resume import renewals
from cache.schema import Provenance
from cache.store import FeatureCache, open_cache
from cache.text import quoted, shown
from cache.types import SPLITS


def changes(path: Path, manifest: Manifest, origin: Provenance) -> list[str]:
    """Say how the labels, and what is said of them, differ from those of the finished file `path`.

    Nothing if there is none, or nothing differs. What is wrong with it is said where it is used.
    """
    earlier = finished(path)
    if earlier is None:
        return []
    said = list(_labels(earlier, manifest)) if earlier.manifest_sha256 != manifest.sha256 else []
    new = renewals(earlier, origin)
    if "label_note" in new:
        said.append(f"the remark on the labels is now {quoted(new['label_note'])}")
    if "data_root" in new:
        said.append(f"the photographs lie in {new['data_root']} now")
    if "label_files" in new and not said:
        said.append("the files of labels have changed, but no label of this split")
    return [f"{path}: since it was made, {'; '.join(said)}."] if said else []


def finished(path: Path) -> FeatureCache | None:
    """Return the finished file, None where there is none that can be read."""
    try:
        return open_cache(path) if path.exists() else None
    except AestheticError:
        return None


def _labels(earlier: FeatureCache, manifest: Manifest) -> Iterator[str]:
    before, now = earlier.labels, manifest.labels
    shared, old, new = np.intersect1d(before.image_id, now.image_id, return_indices=True)
    for n, what in (
        (len(now) - len(shared), "came into the split"),
        (len(before) - len(shared), "left it"),
        (_differing(before.take(old), now.take(new)), "got other labels"),
    ):
        if n:
            yield f"{n:,} photograph{'s' * (n > 1)} {what}"
    rules = earlier.split_rule.to_dict(), manifest.split_rule.to_dict()
    named = [
        ("scale", str(before.scale), str(now.scale)),
        ("threshold", before.threshold, now.threshold),
        *((name.replace("_", " "), value, rules[1][name]) for name, value in rules[0].items()),
    ]
    for name, mine, theirs in named:
        if mine != theirs:
            yield f"the {name} went from {shown(mine)} to {shown(theirs)}"


def _differing(before: LabelTable, now: LabelTable) -> int:
    """Return how many of the same photographs have other labels: votes, mean, group and so on."""
    theirs = now.columns()
    differ = np.zeros(len(before), np.bool_)
    for name, mine in before.columns().items():
        other = theirs.get(name)
        if other is None or other.shape != mine.shape:
            return len(before)
        if name != "path":
            other_value = (mine != other) & ((mine == mine) | (other == other))  # NaN equals NaN
            differ |= other_value.any(axis=tuple(range(1, mine.ndim)))
    return int(differ.sum())


def left_behind(out: Path, splits: tuple[str, ...], label_files: Mapping[str, str]) -> list[str]:
    """Name the finished files of other splits that were made from other files of labels."""
    names = []
    for split in SPLITS:
        other = None if split in splits else finished(out / f"{split}.h5")
        if other is not None and other.header.provenance.label_files not in ({}, label_files):
            names.append(str(other.path))
    if not names:
        return []
    verb = "was" if len(names) == 1 else "were"
    return [
        f"{' and '.join(names)} {verb} made from other labels than there are now; `extract --split "
        "all` with the same options brings all splits up to date."
    ]
