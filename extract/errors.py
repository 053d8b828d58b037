"""Errors of extraction alone; those that both stages raise are in `cache.errors`."""

from __future__ import annotations

from cache.errors import AestheticError


class TooManyFailuresError(AestheticError):
    """More photographs were unreadable than `--max-failure-rate` allows."""


class WeightsError(AestheticError):
    """Backbone weights are missing, unknown or not the expected bytes."""
