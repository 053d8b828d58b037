"""Keras and its backends in this process: imported in words, with settings that numbers rest on.

Keras takes its number type, its order of axes and its backend from the user's keras.json and from
the environment. Older versions of it run code from model files. And no framework survives a fork:
its threads stay behind, and the child waits for them for ever. Imports no framework itself;
`importing_keras` stands around the import.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cache import console
from cache.errors import EngineError
from cache.text import shown

# What features and networks are computed with, by the names of Keras' functions.
SETTINGS = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
# Variables that change the last digits of numbers, or more; an engine's label names those set.
NUMERIC_VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
LONGEST_VALUE = 40
# Before 3.9, 3.11, 3.11.3, 3.12.1, 3.13.2 and 3.14 holes are known by which a model file runs code
# or writes files in spite of safe mode (CVE-2025-1550, -8747, -9906, -9905, CVE-2026-1462,
# GHSA-hqp4-2352-xf5r); 3.15.1 has the last fixes. The same number is in pyproject.toml.
OLDEST = "3.15.1"


def installed_versions(*names: str) -> dict[str, str]:
    """Return the versions of distributions by their names; 'not installed' in place of one."""
    return {name: _version(name) for name in names}


@functools.cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


# The process that a framework was first used in, by this package.
_used_in: list[int] = []


@contextmanager
def importing_keras() -> Iterator[None]:
    """Stand around the import of Keras, and of modules that import it.

    What it prints is swallowed (`console.quiet_stderr`). A command of ours, whose process is its
    own, then gives Keras the settings that numbers rest on; in another program's process they have
    to be there.

    Raises:
        EngineError: Keras or its backend cannot be imported, another program's settings differ, or
            this process was forked from one that uses a framework.
    """
    refuse_forked()
    try:
        with console.quiet_stderr():
            yield
    except ImportError as error:
        raise EngineError(
            f"Keras' backend cannot be imported: {error}. Install it, or name one that is "
            "installed, tensorflow or for `extract` also jax: with KERAS_BACKEND, or in "
            f"{_settings_file()}."
        ) from None
    except (ValueError, TypeError, AttributeError, OSError) as error:
        if "keras" in sys.modules:
            raise
        if isinstance(error, OSError) and error.filename is None:
            raise EngineError(
                f"Keras' backend cannot be imported: {error.strerror}. Set TMPDIR to a folder that "
                "can be written."
            ) from None
        raise EngineError(
            f"Keras cannot be imported: {error}. Put {_settings_file()} right, or remove it, and "
            "see what KERAS_BACKEND says."
        ) from None
    _settle(sys.modules["keras"])


def _settle(keras: Any) -> None:
    config = keras.config
    for name, value in SETTINGS.items():
        found = getattr(config, name)()
        if found == value:
            continue
        if not console.is_running():
            raise EngineError(
                f"In this process Keras' {name} is {found!r}, and features and networks are "
                f"computed with {value!r}. Call keras.config.set_{name}({value!r}) first, or "
                f"change {_settings_file()}."
            )
        getattr(config, f"set_{name}")(value)


def _settings_file() -> str:
    return os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "keras.json")  # noqa: PTH118


def refuse_forked() -> None:
    """Remember the process that frameworks are used in, and refuse to go on in a fork of it.

    Raises:
        EngineError: this process is a fork of that one; it would wait for ever.
    """
    if not _used_in:
        _used_in.append(os.getpid())
    if _used_in[0] != os.getpid():
        raise EngineError(
            f"This process was forked from process {_used_in[0]}, which has a framework in use: "
            "its threads do not survive a fork, and the work would wait for ever. Fork first and "
            "open scorers, extractors and networks in each child, or start processes another way: "
            "multiprocessing.get_context('spawn'), or joblib's loky."
        )


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


def numeric_variables() -> str:
    """Return which variables that change numbers are set, as ', NAME=VALUE' each; '' for none."""
    values = {name: os.environ.get(name) for name in NUMERIC_VARIABLES}
    return "".join(f", {name}={shown(v)[:LONGEST_VALUE]}" for name, v in values.items() if v)
