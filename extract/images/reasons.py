"""Why a photograph cannot be used: the reasons in words, and how Pillow's errors become some."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import UnidentifiedImageError

from extract.errors import is_passing


class Unreadable(Exception):
    """A photograph that cannot be used; the text is the reason, for the list of rejects."""


class Vanished(Unreadable):
    """There is no file of that name."""


class Truncated(Unreadable):
    """A file that ends before its picture does."""


class Refused(Unreadable):
    """The system did not give the file's content; the photograph may be good, and is tried again.

    The text is the system's own, without the path, so that equal reasons can be counted.
    """


class Costly(Exception):
    """A photograph that may take long or much memory, not to be read by this thread."""


class Heavy(Costly):
    """A photograph that takes much memory, to be read while no other one is."""


@contextmanager
def reasons() -> Iterator[None]:
    """Turn what Pillow and the system raise on a bad file into a reason.

    Holds their calls and nothing else, or it would hide bugs.
    """
    try:
        yield
    except (MemoryError, Unreadable, Costly):
        raise
    except FileNotFoundError:
        raise Vanished("no such file") from None
    except UnidentifiedImageError:
        raise Unreadable("not an image, or of a kind that is not read") from None
    except Warning as warning:
        raise Unreadable(
            f"{type(warning).__name__}: {warning} (a warning, and this process's filters make "
            "errors of warnings; ignore those of the module PIL to read it)"
        ) from warning
    except Exception as error:  # Pillow's plugins raise what they like on damaged files
        if isinstance(error, OSError) and is_passing(error):
            raise Refused(f"not to be read for now: {os.strerror(error.errno or 0)}") from error
        kind = Truncated if "image file is truncated" in str(error) else Unreadable
        raise kind(f"{type(error).__name__}: {error}") from error
