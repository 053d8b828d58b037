"""Errors of training and using heads; those that both stages raise are in `cache.errors`."""

from __future__ import annotations

from cache.errors import AestheticError


class HeadError(AestheticError):
    """A head cannot be trained or used on this data with these settings."""


class UnsuitableLabelsError(HeadError):
    """These labels cannot train this head, whatever its settings; other heads may do."""


class RunError(AestheticError):
    """A run folder is missing, damaged, or already holds something else."""


class SplitOverlapError(AestheticError):
    """The same photograph or group stands in two splits."""
