"""Errors of extraction alone; those that both stages raise are in `cache.errors`."""

from __future__ import annotations

import errno

from cache.errors import AestheticError

# What the system says of the photograph or its name; every other number is about the way to it.
OF_THE_FILE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR),
    *(errno.EINVAL, errno.EILSEQ, errno.EOVERFLOW),
)


def is_passing(error: OSError) -> bool:
    """Whether the system refused a file for a reason that may pass, such as EIO, ESTALE or EACCES.

    What is raised without a number comes from a decoder, and is about the content.
    """
    return error.errno is not None and error.errno not in OF_THE_FILE


class TooManyFailuresError(AestheticError):
    """More photographs were unreadable than `--max-failure-rate` allows."""


class WeightsError(AestheticError):
    """Backbone weights are missing, unknown or not the expected bytes."""
