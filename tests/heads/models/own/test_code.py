"""Which code a head of one's own is: equal for equal ones, different for all others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from heads.errors import HeadError
from heads.models.own.code import code_of, described, imported, place_of
from tests.heads.models.own.heads_of_tests import NearestHead, layer_norm


def test_installed_code_has_its_version_and_own_code_the_hash_of_its_file() -> None:
    assert code_of(Ridge()).startswith("sklearn 1.")
    assert code_of(NearestHead).startswith("sha256 ")
    assert code_of(NearestHead) == code_of(layer_norm)


def test_code_without_a_source_equals_nothing() -> None:
    space = {"__name__": "nowhere"}
    exec("class Lost: pass", space)
    assert code_of(space["Lost"]) != code_of(space["Lost"])


def test_parameters_differ_where_a_nested_one_does() -> None:
    one, same, other = (described(make_pipeline(Ridge(alpha))) for alpha in (1.0, 1.0, 2.0))
    assert one == same != other
    arrays = [described(np.arange(n)) for n in (3, 3, 4)]
    assert arrays[0] == arrays[1] != arrays[2]
    assert described(np.random.RandomState(0)) != described(np.random.RandomState(0))
    assert described((np.float64(0.5), float("inf"), {"a": None})) == [0.5, "inf", {"a": None}]


def test_what_a_place_names_is_imported_or_said_to_be_missing() -> None:
    assert imported(place_of(NearestHead)) is NearestHead
    with pytest.raises(HeadError, match=r"nopackage:X cannot be imported: No module named 'nop.*P"):
        imported("nopackage:X")
    with pytest.raises(HeadError, match="math:nothing cannot be imported: module 'math' has no"):
        imported("math:nothing")
    with pytest.raises(HeadError, match=r"no attribute '\\x1bx+\[\.\.\. "):
        imported("math:\x1b" + "x" * 999)
