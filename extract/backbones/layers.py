"""Which layers' pooled outputs make a feature vector, and where each stands in it.

Numbers of the architecture alone; imports nothing heavy.
"""

from __future__ import annotations

from itertools import accumulate

LAYERS = ("top", "multi")
# Table 2 of Sandler et al. 2018: output channels of the 17 inverted residual blocks.
BLOCK_CHANNELS = (16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320)
TOP_CHANNELS = 1280


def layer_slices(layers: str) -> tuple[tuple[str, int, int], ...]:
    """Return (name, start, stop) in the feature vector for `top` (1280) or `multi` (2784)."""
    if layers == "top":
        return (("top", 0, TOP_CHANNELS),)
    named = [*((f"block_{i}", n) for i, n in enumerate(BLOCK_CHANNELS)), ("top", TOP_CHANNELS)]
    stops = accumulate(n for _, n in named)
    return tuple((name, stop - n, stop) for (name, n), stop in zip(named, stops, strict=True))
