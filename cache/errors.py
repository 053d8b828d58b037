"""The base of every error that this project raises on purpose, and those that both stages raise.

What one stage alone raises is in `extract.errors` and `heads.errors`. `cache.console.run` turns an
`AestheticError` into one line on stderr and exit code 1. Anything else that escapes is a bug and
keeps its traceback. A message says what happened, where, what was expected and how to solve it;
`add_note` adds context where more of it is known.
"""


class AestheticError(Exception):
    """A problem that the user can solve; its text is shown without a traceback."""

    def one_line(self) -> str:
        """Return the message and its notes joined to one line."""
        return " ".join([str(self), *getattr(self, "__notes__", [])]).replace("\n", " ")


class LabelError(AestheticError):
    """The labels (AVA.txt, labels.csv, a list of ids) cannot be read or contradict themselves."""


class NoPhotographsError(AestheticError):
    """Not one photograph was found where the labels say they lie."""


class EngineError(AestheticError):
    """An engine, device or precision was asked for that is not there."""


class FormatError(AestheticError):
    """A file is not a feature cache, is damaged, or has a version that this code does not read."""


class IncompleteCacheError(AestheticError):
    """A cache is needed complete and is not, or is missing."""


class StaleCacheError(AestheticError):
    """A cache was made by another extractor than the one asked for."""


class CacheLockedError(AestheticError):
    """Another process is writing the same cache."""


class StorageError(AestheticError):
    """The disk is full, the folder is read-only, or a write failed."""


class MismatchError(AestheticError):
    """Caches that are used together differ in extractor, scale or threshold."""
