"""Which photograph belongs to train, val or test, decided once and for good.

A photograph's split depends on its own key alone, so that it stays when others are added.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cache.console import note
from cache.errors import LabelError
from cache.labels import Manifest
from cache.schema import FileFacts
from cache.text import quoted
from cache.types import SPLITS, IntArray, Scale, SplitKind, SplitRule, TextArray
from extract.labels.pairs import across_splits
from extract.labels.records import FolderLabels

SHOWN_GROUPS = 5
VAL_FRACTION, TEST_FRACTION = 0.10, 0.20
VAL_FRACTION_OF_OFFICIAL = 0.05
RULES = {
    SplitKind.COLUMN: "a split column",
    SplitKind.COLUMN_WITHOUT_VAL: "a split column, val by hash out of its train",
    SplitKind.OFFICIAL: "the official test list, the rest by hash",
    SplitKind.HASH: "hash",
}
# Which fractions a rule draws by hash; the others are decided by the column or the list.
DRAWN: dict[SplitKind, tuple[str, ...]] = {
    SplitKind.COLUMN: (),
    SplitKind.COLUMN_WITHOUT_VAL: ("val",),
    SplitKind.OFFICIAL: ("val",),
    SplitKind.HASH: ("val", "test"),
}


@dataclass(frozen=True)
class SplitSettings:
    """What the user may set; None means the default of the rule that applies."""

    seed: int = 0
    val_fraction: float | None = None
    test_fraction: float | None = None
    limit: int = 0
    threshold: str | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> SplitSettings:
        """Return what the command line sets, see `cache.options`."""
        return cls(
            seed=options.split_seed,
            val_fraction=options.val_fraction,
            test_fraction=options.test_fraction,
            limit=options.limit,
            threshold=options.threshold,
        )

    def __post_init__(self) -> None:
        val, test = self.val_fraction or 0.0, self.test_fraction or 0.0
        if not (min(val, test) >= 0 and val + test < 1):  # so that NaN fails too
            raise LabelError(
                f"--val-fraction {val:g} and --test-fraction {test:g} must be at least 0 and "
                "leave something to train on."
            )


def hash_fractions(seed: int | str, keys: TextArray) -> npt.NDArray[np.float64]:
    """Return SHA-256(`seed:key`) as fractions in [0, 1), (N,) float64."""
    digests = (hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in keys.tolist())
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


def assign(labels: FolderLabels, settings: SplitSettings) -> tuple[TextArray, SplitRule]:
    """Return every photograph's split, (N,), and the rule behind it (its `split` still empty).

    A `split` column wins, and where it names train and test alone, val is taken by hash out of its
    train; then an official test list, the rest by hash into val and train; then the hash alone. The
    hashed key is the group, or the id where there is none.
    """
    column, official = labels.split, labels.official_test
    if column is not None and set(column.tolist()) != {"train", "test"}:
        return column, _rule(SplitKind.COLUMN, settings)
    table = labels.table
    keys = np.where(table.group == "", table.image_id, table.group)
    fractions = hash_fractions(settings.seed, keys)
    default = VAL_FRACTION if official is None else VAL_FRACTION_OF_OFFICIAL
    val = default if settings.val_fraction is None else settings.val_fraction
    if column is not None:
        names = np.where((column == "train") & (fractions < val), "val", column)
        return names, _rule(SplitKind.COLUMN_WITHOUT_VAL, settings, val)
    if official is not None:
        is_test = np.isin(table.image_id, list(official))
        names = np.where(is_test, "test", np.where(fractions < val, "val", "train"))
        return names, _rule(SplitKind.OFFICIAL, settings, val)
    test = TEST_FRACTION if settings.test_fraction is None else settings.test_fraction
    names = np.where(fractions < test, "test", np.where(fractions < test + val, "val", "train"))
    return names, _rule(SplitKind.HASH, settings, val, test)


def _rule(
    kind: SplitKind, settings: SplitSettings, val: float = 0.0, test: float = 0.0
) -> SplitRule:
    return SplitRule("", RULES[kind], settings.seed, val, test, settings.limit, kind=kind)


def unused_fractions(settings: SplitSettings, kind: SplitKind) -> list[str]:
    """Return the flags of the fractions that were set and that a rule does not draw."""
    given = {"val": settings.val_fraction, "test": settings.test_fraction}
    return [
        f"--{split}-fraction"
        for split, fraction in given.items()
        if fraction is not None and split not in DRAWN[kind]
    ]


def threshold_text(scale: Scale, settings: SplitSettings) -> str:
    """Return the threshold of beautiful as a decimal text: as set, 5 on 1..10, else the middle.

    Raises:
        LabelError: it is no number, or lies outside the scale.
    """
    if settings.threshold is None:
        return scale.usual_threshold
    try:
        return scale.threshold(settings.threshold)
    except ValueError as error:
        raise LabelError(f"--threshold {quoted(settings.threshold)}: {error}.") from None


def make_manifests(
    labels: FolderLabels, facts: FileFacts, splits: Sequence[str], settings: SplitSettings
) -> list[tuple[Manifest, FileFacts]]:
    """Return the rows of each split, in an order by hash, and what is known of their files.

    The order does not depend on the other photographs, so a limit is nested in a larger one. The
    limit counts photographs whose files are there.

    Raises:
        LabelError: a split would be empty, or a group stands in two.
    """
    names, rule = assign(labels, settings)
    _check_groups(labels, names)
    if remark := across_splits(labels, names):
        note(remark)
    table = replace(labels.table, threshold=threshold_text(labels.table.scale, settings))
    made = []
    for split in splits:
        split_rule = replace(rule, split=split)
        rows = _limited(_rows(table.image_id, names == split, split_rule), facts, settings.limit)
        made.append((Manifest(table.take(rows), split_rule), facts.take(rows)))
    return made


def _check_groups(labels: FolderLabels, names: TextArray) -> None:
    """Refuse groups that a column of splits parts: `heads` would refuse the files.

    Raises:
        LabelError: there are some.
    """
    grouped = np.flatnonzero(labels.table.group != "")
    first: dict[str, str] = {}
    groups = labels.table.group[grouped].tolist()
    both = zip(groups, names[grouped].tolist(), strict=True)
    parted = {group: split for group, split in both if first.setdefault(group, split) != split}
    if not parted:
        return
    shown = ", ".join(
        f"{quoted(group)} in {first[group]} and {split}"
        for group, split in list(parted.items())[:SHOWN_GROUPS]
    )
    more = ", ..." if len(parted) > SHOWN_GROUPS else ""
    raise LabelError(
        f"{labels.source}: {len(parted):,} of {len(set(groups)):,} groups stand in more than one "
        f"split: {shown}{more}. The pictures of a group stay together, or what is learned of some "
        "tells of the others: write one split for all of each, or leave such groups empty."
    )


def _rows(image_id: TextArray, chosen: npt.NDArray[np.bool_], rule: SplitRule) -> IntArray:
    """Return the numbers of the chosen photographs, (N,) bool, in the order by hash."""
    if rule.split not in SPLITS:
        raise LabelError(f"There is no split {quoted(rule.split)}; expected train, val or test.")
    rows = np.flatnonzero(chosen)
    if not len(rows):
        drawn = " and ".join(f"--{split}-fraction" for split in DRAWN[rule.kind])
        hint = f"Label more, or change {drawn}."
        if rule.kind is SplitKind.COLUMN:
            hint = f"Write {rule.split} into that column for some of them."
        raise LabelError(
            f"The split {rule.split} would be empty: {len(image_id):,} labelled photographs, split "
            f"by {rule.rule}. {hint}"
        )
    return rows[np.argsort(hash_fractions("order", image_id[rows]), kind="stable")]


def _limited(rows: IntArray, facts: FileFacts, limit: int) -> IntArray:
    if not limit:
        return rows
    present = np.cumsum(~facts.missing[rows])
    return rows[: int(np.searchsorted(present, limit)) + 1]
