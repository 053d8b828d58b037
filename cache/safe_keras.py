"""The oldest Keras that this program opens model files with. Imports no Keras."""

from __future__ import annotations

from importlib.metadata import version

from cache.errors import EngineError

# Before 3.9, 3.11, 3.11.3, 3.12.1, 3.13.2 and 3.14 holes are known by which a model file runs code
# or writes files in spite of safe mode (CVE-2025-1550, -8747, -9906, -9905, CVE-2026-1462,
# GHSA-hqp4-2352-xf5r); 3.15.1 has the last fixes. The same number is in pyproject.toml.
OLDEST = "3.15.1"


def refuse_old_keras() -> None:
    """Check the installed version, before Keras is used or a model file opened.

    Raises:
        EngineError: it is older than `OLDEST`.
    """
    installed = version("keras")
    if _numbers(installed) < _numbers(OLDEST):
        raise EngineError(
            f"Keras {installed} is installed; {OLDEST} or later is needed, because older ones can "
            f"run code that is hidden in model files. Install with: pip install 'keras>={OLDEST}'"
        )


def _numbers(release: str) -> list[int]:
    """Return '3.15.1' as [3, 15, 1]; what follows, as in '3.16.0.dev1', does not count."""
    numbers = []
    for part in release.split(".")[:3]:
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return numbers
