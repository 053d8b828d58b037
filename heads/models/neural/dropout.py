"""Dropout with one mask for a whole batch, so that what is dropped need not be computed.

With half of the inputs and half of the hidden units dropped, a step costs a quarter of its matrix
products; a mask for each photograph would only multiply by zeros, and drawing it alone would take
longer than that. Numpy only.

Source: Graham, Reizenstein and Robinson, "Efficient batchwise dropout training using submatrices",
2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heads.models.neural.settings import ResolvedSettings

# Neighbouring units are dropped together, so that gathering the others copies runs of memory:
# blocks of up to LARGEST_BLOCK, where at least FEWEST_BLOCKS are left to choose from, and a whole
# number of them comes within LARGEST_ERROR of the share asked for. So a rate below LARGEST_ERROR
# may drop nothing: gathering nearly all units costs a step more than dropping a few is worth.
LARGEST_BLOCK, FEWEST_BLOCKS, LARGEST_ERROR = 16, 16, 1 / 160


@dataclass(frozen=True)
class Dropout:
    """Drops a share `rate` of a layer's `width` units, always as many, by blocks."""

    width: int
    rate: float

    @property
    def block(self) -> int:
        """Units in a block: a power of two that divides the width."""
        size = LARGEST_BLOCK
        while size > 1 and not self._suits(size):
            size //= 2
        return size

    def _suits(self, size: int) -> bool:
        n_blocks, rest = divmod(self.width, size)
        error = abs(_n_kept(n_blocks, self.rate) - (1 - self.rate) * n_blocks)
        return not rest and n_blocks >= FEWEST_BLOCKS and error <= LARGEST_ERROR * n_blocks

    @property
    def n_blocks(self) -> int:
        """Blocks of the layer."""
        return self.width // self.block

    @property
    def n_kept(self) -> int:
        """Blocks that a batch keeps, at least one."""
        return _n_kept(self.n_blocks, self.rate)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is dropped."""
        return self.n_kept == self.n_blocks

    @property
    def scale(self) -> float:
        """Factor of what is kept: the layer's sum keeps its expectation."""
        return self.width / (self.n_kept * self.block)

    def draw(self, steps: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
        """Return the numbers of the blocks that each step keeps, (steps, n_kept), ascending."""
        order = np.argsort(rng.random((steps, self.n_blocks)), axis=1)
        return np.sort(order[:, : self.n_kept], axis=1).astype(np.int32)


def _n_kept(n_blocks: int, rate: float) -> int:
    return max(1, round(n_blocks * (1 - rate)))


def dropouts(settings: ResolvedSettings, n_features: int) -> list[Dropout]:
    """Return what is dropped of the features and of each hidden layer."""
    hidden = [Dropout(width, settings.dropout) for width in settings.hidden]
    return [Dropout(n_features, settings.input_dropout), *hidden]
