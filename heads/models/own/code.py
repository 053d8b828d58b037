"""Which code a head of one's own consists of: its place, its version, its parameters as JSON.

An equal description means an equal head, so that its run can be reused; what cannot be described
equals nothing. Numpy only.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cache.text import shown
from cache.types import sha256_text
from heads.errors import HeadError


def place_of(source: Any) -> str:
    """Return MODULE:NAME of a class, of a function, or of an object's class."""
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"{named.__module__}:{named.__qualname__}"


def code_of(source: Any) -> str:
    """Return the package and version of installed code, else the SHA-256 of the source.

    That is the whole file's, or of what was written into a notebook the class's or function's own.
    """
    named = source if hasattr(source, "__qualname__") else type(source)
    module = sys.modules.get(named.__module__)
    package = sys.modules.get(named.__module__.partition(".")[0])
    version, file = getattr(package, "__version__", None), getattr(module, "__file__", None)
    if version is not None and file is not None and "site-packages" in Path(file).parts:
        return f"{named.__module__.partition('.')[0]} {version}"
    try:
        whole = file is not None and named.__module__ != "__main__"
        text = inspect.getsource(module if whole else named)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return _unlike_any()
    return f"sha256 {sha256_text(text)}"


def described(value: Any) -> Any:
    """Return a parameter as JSON values; those of estimators inside it are among them."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else repr(value)
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"dtype": str(value.dtype), "shape": list(value.shape), "sha256": digest}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if inspect.isroutine(value) or inspect.isclass(value):
        return {"place": place_of(value), "code": code_of(value)}
    return _described_object(value)


def _described_object(value: Any) -> Any:
    """Describe an estimator, or another object by what it holds."""
    get_params = getattr(value, "get_params", None)
    if get_params is not None:
        params = get_params(deep=False)
    elif hasattr(value, "__dict__"):
        params = vars(value)
    else:
        return {"place": place_of(value), "code": _unlike_any()}
    return {"place": place_of(value), "code": code_of(value), "params": described(params)}


def _unlike_any() -> str:
    return f"unknown {uuid.uuid4().hex}"


def imported(place: str) -> Any:
    """Return what MODULE:NAME names.

    Raises:
        HeadError: there is no such module or name, or its code cannot be run; the message says why.
    """
    module, _, name = place.partition(":")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found
    except ImportError as error:
        raise HeadError(
            f"{place} cannot be imported: {shown(error)}. Install the package, or name the folder "
            "of its module with PYTHONPATH."
        ) from error
    except AttributeError as error:
        raise HeadError(f"{place} cannot be imported: {shown(error)}.") from error
    except Exception as error:  # of anybody's code, in any way
        reason = f"{type(error).__name__}: {shown(error)}"
        raise HeadError(f"{place} cannot be imported: {reason}.") from error
