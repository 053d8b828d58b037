"""Every backbone by name, the first one the default. A new one is a module and a line here."""

from __future__ import annotations

from cache.errors import MismatchError
from cache.text import quoted
from extract.backbones.base import Backbone
from extract.backbones.mobilenet_v2 import MOBILENET_V2

BACKBONES: dict[str, Backbone] = {backbone.name: backbone for backbone in (MOBILENET_V2,)}
DEFAULT = next(iter(BACKBONES))


def find_backbone(name: str) -> Backbone:
    """Return a backbone.

    Raises:
        MismatchError: this version has no such backbone.
    """
    if name not in BACKBONES:
        raise MismatchError(
            f"This version has no backbone {quoted(name)}; it has {', '.join(BACKBONES)}. Use the "
            "version that made the features, or extract again and train anew."
        )
    return BACKBONES[name]
