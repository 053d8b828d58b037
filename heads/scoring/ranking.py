"""The best first: order, near-duplicates, the best picture of each item and its rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np

from heads.data.near import near_groups
from heads.scoring.records import Ranked, Scored

# Measured on 519 photographs of OASIS: of all pairs, the one above 0.88 shows one scene twice; of
# copies at half size, brightened or mirrored all lie above 0.93, at JPEG quality 30 all but one in
# a hundred above 0.9, with a tenth cut off each side two thirds.
NEAR_DUPLICATE = 0.9
BLOCK = 1024


def rank(photographs: Sequence[Scored]) -> list[Ranked]:
    """Return those that have a score, the best by the first run first; equals keep their order."""
    readable = [scored for scored in photographs if scored.opinions]
    first = [scored.opinions[0] for scored in readable]
    # Scores are clipped to the scale and may tie there; probabilities of such heads still differ.
    order = sorted(range(len(first)), key=lambda i: (-first[i].score, -first[i].p_beautiful))
    return [Ranked(readable[i]) for i in order]


def mark_near_duplicates(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Mark each photograph whose features nearly equal those of a better one.

    Each is compared, by cosine, with the better ones that are not marked themselves; the nearest of
    them is named. Copies of one photograph are so all marked but the best.
    """
    if not ranked:
        return []
    features = np.array([item.scored.features for item in ranked], np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    kept = np.zeros(len(ranked), np.bool_)
    nearest = np.full(len(ranked), -1, np.int64)
    for start in range(0, len(ranked), BLOCK):
        rows = slice(start, min(start + BLOCK, len(ranked)))
        stop = rows.stop
        cosines = features[rows] @ features[:stop].T
        for row in range(start, stop):
            candidates = np.where(kept[:row], cosines[row - start, :row], -1.0)
            at = int(np.argmax(candidates)) if row else -1
            if row and candidates[at] > NEAR_DUPLICATE:
                nearest[row] = at
            else:
                kept[row] = True
    return [
        replace(item, duplicate_of=ranked[at].scored.path if at >= 0 else "")
        for item, at in zip(ranked, nearest.tolist(), strict=True)
    ]


def folders(ranked: Sequence[Ranked], _: Mapping[str, str]) -> list[str]:
    """Return the folder of each photograph, as its item."""
    return [str(PurePath(item.scored.path).parent) for item in ranked]


def listed(ranked: Sequence[Ranked], groups: Mapping[str, str]) -> list[str]:
    """Return the group that a list names for each photograph; its own path if none."""
    return [groups.get(item.scored.path, item.scored.path) for item in ranked]


def near(ranked: Sequence[Ranked], _: Mapping[str, str]) -> list[str]:
    """Return the best photograph that each is a near copy of, as its item; its own path if none."""
    if not ranked:
        return []
    labels = near_groups(np.array([item.scored.features for item in ranked], np.float32))
    firsts = np.unique(labels, return_index=True)[1]
    return [ranked[at].scored.path for at in firsts[labels].tolist()]


# How photographs are put into items: from them, and the groups of paths that lists name, to the
# name of every one's item, in their order.
Grouping = Callable[[Sequence[Ranked], Mapping[str, str]], list[str]]
GROUPINGS: dict[str, Grouping] = {"folder": folders, "group": listed, "near": near}


def grouped(
    ranked: Sequence[Ranked], groups: Sequence[str], apart: float | None = None
) -> list[Ranked]:
    """Give each photograph its item, and say which is the best of each, and which come close.

    Args:
        ranked: the best first.
        groups: the name of each one's item.
        apart: by how much scores of one item must differ to be told apart; None if not known.
    """
    members: dict[str, list[Ranked]] = {}
    for item, group in zip(ranked, groups, strict=True):
        members.setdefault(group, []).append(item)
    found = []
    for item, group in zip(ranked, groups, strict=True):
        first, *others = members[group]
        rivals = others if item is first else [item]
        close = [_gap(first, other) <= apart for other in rivals] if apart is not None else None
        found.append(
            replace(
                item,
                group=group,
                group_size=len(members[group]),
                best=item is first,
                too_close=None if close is None else any(close),
            )
        )
    return found


def _gap(best: Ranked, other: Ranked) -> float:
    return best.scored.opinions[0].score - other.scored.opinions[0].score
