"""What JSON of a run may hold: parsed strictly, and held against the types of our own records.

Owns the rules for types, lengths and patterns. Standard library only.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from cache.text import shown

LONGEST_TEXT = 20_000
LARGEST_INT = 2**63
SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_json(text: str) -> Any:
    """Return what JSON says. Raises ValueError for NaN, infinity, and what is nested too deeply."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text, 40)} is no finite number")
    return value


def check_record(record: Any) -> None:
    """Check the fields of a dataclass against their types, and those of the records inside it.

    Raises:
        ValueError: one does not fit; the message names it and shows its value, cut.
    """
    kinds = get_type_hints(type(record))
    for each in fields(record):
        value = getattr(record, each.name)
        records = value.values() if isinstance(value, Mapping) else [value]
        for inner in filter(is_dataclass, records):
            check_record(inner)
        hashed = each.name.endswith("sha256")
        if not fits(value, kinds[each.name]) or (hashed and not SHA256.fullmatch(value)):
            raise ValueError(f"{each.name} cannot be {shown(json.dumps(value, default=str), 60)}")


def check_kinds(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Check those values that are there against their types, by name. Raises ValueError."""
    for name in values.keys() & kinds.keys():
        if not fits(values[name], kinds[name]):
            raise ValueError(f"{name} cannot be {shown(json.dumps(values[name], default=str), 60)}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type, such as `int | None` or `dict[str, float]`.

    Numbers are finite, int is 0 or more and below 2^63, a text can be shown and is not too long;
    JSON has lists for tuples of a fixed length.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is tuple and inner[-1] is not ...:
        right = isinstance(value, (list, tuple)) and len(value) == len(inner)
        return right and all(map(fits, value, inner))
    if origin in (list, tuple):
        return isinstance(value, origin) and all(fits(each, inner[0]) for each in value)
    if origin is not None:
        named = isinstance(value, Mapping) and all(fits(name, inner[0]) for name in value)
        return named and all(fits(each, inner[1]) for each in value.values())
    if kind is str:
        return isinstance(value, str) and _can_be_shown(value)
    if kind in (int, float):
        return _is_number(value, kind)
    return kind is Any or isinstance(value, kind)


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if kind is int:
        return isinstance(value, int) and 0 <= value < LARGEST_INT
    return abs(value) < LARGEST_INT if isinstance(value, int) else math.isfinite(value)


def _can_be_shown(text: str) -> bool:
    """Whether a text has no NUL or half of a pair; bytes of a path stay as Python reads them."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return len(text) <= LONGEST_TEXT and "\0" not in text
