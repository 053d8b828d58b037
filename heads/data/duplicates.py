"""The same photograph under two names: rows whose features nearly equal those of another part.

Owns what counts as nearly equal and how such pairs are found without comparing all. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cache.types import FloatArray, IntArray
from heads.data.features import FeatureRows, Float32Array, mean_of_views, view_mean_blocks
from heads.data.labels import BoolArray

# Of features less their mean. Measured on the 379 training photographs of OASIS: of all pairs, the
# one above 0.78 (0.93) shows one scene twice; JPEGs saved again at quality 85, or at nine tenths of
# the size, all lie above 0.98, mirrored ones above 0.86 (95 % above 0.89), at half the size and
# quality 60 most below 0.85: those are not found.
NEARLY_EQUAL = 0.9
# Cosines of fewer numbers are high by chance; then equal features alone count.
LEAST_WIDTH = 16

CENTRED_ROWS, CHECKED_ROWS = 16_384, 2048
# Random hyperplanes (Charikar 2002): a bit of two rows at an angle of t differs t / pi times. Rows
# are sorted by their bytes of bits in several random orders, and compared with their neighbours in
# each.
BITS, ORDERS, NEIGHBOURS = 128, 24, 8
# 18 bits differ on average where the cosine is 0.9; this is 2.5 standard deviations more.
MOST_DIFFERING = 28
# Where thousands show one scene a row has hundreds of pairs: those most alike by bits are compared.
MOST_PAIRS = 4
POPCOUNT = np.array([int(i).bit_count() for i in range(2**16)], np.uint8)


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Rows that nearly equal one of another part: `rows` (m,) rising, of each the nearest `twins`
    (m,) that was found, and the cosine (m,) of the two."""

    rows: IntArray
    twins: IntArray
    cosines: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def among(self, chosen: BoolArray) -> Duplicates:
        """Return those whose row is chosen, (n,) bool over all rows."""
        kept = chosen[self.rows]
        return Duplicates(self.rows[kept], self.twins[kept], self.cosines[kept])


def find_duplicates(X: FeatureRows, part: IntArray) -> Duplicates:
    """Find rows of (n, V, D) features that nearly equal one of another part, by their mean view.

    `part` is (n,). Equal features are always found; of nearly equal ones those that lie close in
    one of the orders, which are nearly all (`tests/heads/data/test_duplicates.py` measures it).
    """
    mean = mean_of_views(X[:CENTRED_ROWS]).mean(axis=0)
    pairs = _candidates(_codes(X, mean), part)
    once, of_pair = np.unique(
        pairs.min(axis=1) * len(part) + pairs.max(axis=1), return_inverse=True
    )
    cosines = _cosines(X, mean, np.stack(divmod(once, len(part)), axis=1))[of_pair]
    near = cosines >= (NEARLY_EQUAL if X.shape[2] >= LEAST_WIDTH else 1.0)
    return _nearest(pairs[near], cosines[near])


def _codes(X: FeatureRows, mean: Float32Array) -> npt.NDArray[np.uint8]:
    """Return on which side of each hyperplane a row lies, (n, BITS / 8): eight in a byte."""
    planes = np.random.default_rng(0).standard_normal((X.shape[2], BITS), np.float32)
    codes = np.empty((X.shape[0], BITS // 8), np.uint8)
    for rows, block in view_mean_blocks(X):
        codes[rows] = np.packbits((block - mean) @ planes > 0, axis=1)
    return codes


def _candidates(codes: npt.NDArray[np.uint8], part: IntArray) -> IntArray:
    """Return pairs (m, 2) of rows of two parts that may be nearly equal."""
    first, cell = _cells(codes, part)
    dice, found = np.random.default_rng(1), [np.empty((0, 3), np.int64)]
    for _ in range(ORDERS):
        leading = np.ascontiguousarray(codes[first][:, dice.permutation(BITS // 8)[:8]])
        order = np.argsort(leading.view(">u8")[:, 0], kind="stable")
        words, parts = codes[first[order]].view(np.uint16), part[first[order]]
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            at = np.flatnonzero(parts[:-step] != parts[step:])
            differing = POPCOUNT[words[at] ^ words[at + step]].sum(axis=1, dtype=np.int64)
            near = differing <= MOST_DIFFERING
            ends = np.sort(np.stack([order[at[near]], order[at[near] + step]]), axis=0)
            found.append(np.stack([*ends, differing[near]], axis=1))
        found = [_most_alike(np.concatenate(found))]
    return _of_rows(found[0][:, :2], first, cell)


def _most_alike(found: IntArray) -> IntArray:
    """Keep of (row, row, differing bits) (m, 3) each once, and the first few of either row."""
    width = found[:, :2].max(initial=0) + 1
    _, once = np.unique(found[:, 0] * width + found[:, 1], return_index=True)
    found = found[once]
    rows, bits = found[:, :2].T.ravel(), np.tile(found[:, 2], 2)
    order = np.lexsort([bits, rows])
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
    return found[(place < MOST_PAIRS).reshape(2, -1).any(axis=0)]


def _cells(codes: npt.NDArray[np.uint8], part: IntArray) -> tuple[IntArray, IntArray]:
    """Put rows of one part with equal bits together: the first row of each cell, each row's cell.

    A hundred copies of one photograph are so a single neighbour to all others.
    """
    columns = [*codes.view(np.int64).T, part]
    order = np.lexsort(columns)
    new = np.zeros(len(order), np.bool_)
    for column in columns:
        new[1:] |= column[order][1:] != column[order][:-1]
    new[:1] = True
    cell = np.empty(len(order), np.int64)
    cell[order] = np.cumsum(new) - 1
    return order[new], cell


def _of_rows(pairs: IntArray, first: IntArray, cell: IntArray) -> IntArray:
    """Turn pairs of cells into pairs of rows: each row of a cell with the first of the other."""
    members = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[members], np.arange(len(first) + 1))
    both = np.concatenate([pairs, pairs[:, ::-1]])
    sizes = np.diff(starts)[both[:, 0]]
    offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = members[np.repeat(starts[both[:, 0]], sizes) + offsets]
    return np.stack([rows, np.repeat(first[both[:, 1]], sizes)], axis=1)


def _cosines(X: FeatureRows, mean: Float32Array, pairs: IntArray) -> FloatArray:
    """Return the cosine of each pair of rows, (m,) float64; 1 for equal ones."""
    cosines = np.empty(len(pairs))
    for start in range(0, len(pairs), CHECKED_ROWS):
        one, other = (mean_of_views(X[rows]) for rows in pairs[start : start + CHECKED_ROWS].T)
        a, b = (values.astype(np.float64) - mean for values in (one, other))
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = np.einsum("nd,nd->n", a, b) / np.maximum(lengths, 1e-12)
        cosines[start : start + len(a)] = np.where((one == other).all(axis=1), 1.0, cosine)
    return cosines


def _nearest(pairs: IntArray, cosines: FloatArray) -> Duplicates:
    """Keep the nearest twin of each row; of equally near ones the first."""
    order = np.lexsort((pairs[:, 1], -cosines, pairs[:, 0]))
    rows, at = np.unique(pairs[order, 0], return_index=True)
    kept = order[at]
    return Duplicates(rows, pairs[kept, 1], cosines[kept])
