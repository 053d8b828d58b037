"""JSON of runs is parsed strictly, and values are held against the types of our records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from heads.runs.kinds import check_kinds, check_record, fits, parse_json


@dataclass(frozen=True)
class Inner:
    file_sha256: str


@dataclass(frozen=True)
class Outer:
    n: int
    rate: float | None
    widths: tuple[int, ...]
    parts: dict[str, Inner]


GOOD = Outer(3, None, (1, 2), {"a": Inner("0" * 64)})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e400", '{"a": -1e999}'])
def test_numbers_that_are_not_finite_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no finite number"):
        parse_json(text)


def test_deep_nesting_and_endless_digits_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    with pytest.raises(ValueError, match="digits"):
        parse_json("1" * 100_000)


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [
        (3, int, True),
        (True, int, False),
        (-1, int, False),
        (2**63, int, False),
        (3.0, int, False),
        (3, float, True),
        (10**400, float, False),
        (float("nan"), float, False),
        ("a", str, True),
        ("a\0", str, False),
        ("\ud800", str, False),
        ("\udcff", str, True),  # a byte of a path that is no UTF-8
        ("a" * 20_001, str, False),
        (None, int | None, True),
        ([1, 2.5], list[float], True),
        ([1, "2"], list[float], False),
        ([1, None], tuple[float, float | None], True),
        ([1], tuple[float, float], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "1"}, dict[str, int], False),
        ([], dict[str, int], False),
    ],
)
def test_a_value_fits_its_type_or_not(value: Any, kind: Any, right: bool) -> None:
    assert fits(value, kind) == right


def test_a_record_is_checked_with_those_inside_it() -> None:
    check_record(GOOD)
    for wrong, said in (
        (Outer("3", 0.5, (), {}), 'n cannot be "3"'),
        (Outer(3, 0.5, [1], {}), r"widths cannot be \[1\]"),
        (Outer(3, 0.5, (), {"a": Inner("f" * 63)}), 'file_sha256 cannot be "fff'),
        (Outer(3, 0.5, (), [Inner("0" * 64)]), "parts cannot be"),
        (Outer(3, "x" * 99, (), {}), r'rate cannot be "x{29}\[\.\.\. 41 more \.\.\.\]x{29}"$'),
    ):
        with pytest.raises(ValueError, match=said):
            check_record(wrong)


def test_values_are_checked_by_name_where_they_are_there() -> None:
    check_kinds({"n": 3}, {"n": int, "other": str})
    with pytest.raises(ValueError, match="n cannot be null"):
        check_kinds({"n": None}, {"n": int})
