"""The vocabulary: checked when made, the same after a trip through JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import FormatError, LabelError
from cache.types import (
    ExtractorSpec,
    Scale,
    SplitRule,
    Status,
    canonical_json,
    decimal_number,
    decimal_of,
    decimal_text,
)
from tests.helpers import make_spec


def test_the_numbers_of_statuses_are_part_of_the_file_format() -> None:
    assert {s.name: int(s) for s in Status} == {
        "PENDING": 0,
        "OK": 1,
        "MISSING": 2,
        "UNREADABLE": 3,
    }


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": [1, 2], "a": "ä"}) == '{"a":"ä","b":[1,2]}'
    assert canonical_json({"a": "ä", "b": [1, 2]}) == '{"a":"ä","b":[1,2]}'


@pytest.mark.parametrize(
    ("lo", "hi"),
    [
        *((1, 1), (2, 1), (float("nan"), 1), (0, float("nan")), (0, float("inf"))),
        # Numbers whose squares float64 does not hold.
        *((0, 1e308), (-1e200, 1), (0, 1e-300), (1e9, 2e9)),
    ],
)
def test_a_scale_needs_finite_bounds_in_order(lo: float, hi: float) -> None:
    with pytest.raises(
        LabelError,
        match=r"A scale needs finite bounds lo < hi, from -1e\+09 to 1e\+09 .*; got .* and",
    ):
        Scale(lo, hi)


def test_beautiful_begins_at_the_middle_of_a_scale_and_at_5_on_that_of_ava() -> None:
    scales = [Scale(1, 7), Scale(0, 1), Scale(1, 10), Scale(0, 10)]
    assert [scale.usual_threshold for scale in scales] == ["4", "0.5", "5", "5"]
    assert Scale(1, 4).usual_threshold == "2.5"
    assert Scale(0, 1234567).usual_threshold == "617283.5"
    assert Scale(0.1, 0.2).usual_threshold == "0.15"
    assert Scale(-1, 1).usual_threshold == "0"
    assert Scale(-1e9, 1e9 - 1).usual_threshold == "-0.5"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(("5", "5"), ("5.50", "5.5"), ("05", "5"), ("5.", "5"), ("50e-1", "5"), ("+5", "5")),
        *(("1", "1"), ("9.99", "9.99"), (".5e1", "5"), ("100", "100")),
        ("2.2092391304347827", "2.2092391304347827"),
        (
            "2.2092391304347826086956521739130434782609",
            "2.2092391304347826086956521739130434782609",
        ),
    ],
)
def test_a_threshold_has_one_text_with_all_its_digits(text: str, plain: str) -> None:
    assert Scale(1, 101).threshold(text) == plain


def test_a_threshold_near_zero_is_kept() -> None:
    assert Scale(0, 1).threshold("-0") == Scale(0, 1).threshold("0.00") == "0"
    assert Scale(0, 1).threshold("1e-300") == "0." + "0" * 299 + "1"
    assert Scale(0.1, 0.7).threshold("0.1") == "0.1"


NO_NUMBERS = ["", " ", "five", "nan", "sNaN", "inf", "-inf", "5_0", " 5 ", "5 ", "5\n", "5,0"]
NO_NUMBERS += ["５", "٥", "²", "0x5", "1/2", "5e", "5.5.", "--5", "1e9999", "1e999", "1e-999"]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "5" * 5000, "0." + "0" * 500 + "1"])
def test_what_is_no_decimal_number_in_plain_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a decimal number in plain digits, such as 5"):
        decimal_number(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_python_prints_is_read_exactly(value: float) -> None:
    assert float(decimal_number(repr(value))) == float(decimal_text(decimal_of(value))) == value


@pytest.mark.parametrize("text", ["0.99", "-3", "5", "1e300", "5.0000000000000000000000001"])
def test_a_threshold_outside_its_scale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it lies outside the scale 1\.\.5"):
        Scale(1, 5).threshold(text)


class TestExtractorSpec:
    def test_it_is_the_same_after_a_trip_through_json(self) -> None:
        spec = make_spec(views=("center", "center flipped"))
        again = ExtractorSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        assert again == spec
        assert again.sha256 == spec.sha256

    def test_its_fingerprint_is_the_sha256_of_its_json_with_sorted_keys(self) -> None:
        text = (
            '{"backbone":"mobilenet_v2_1.0_224","crop":[224,224],"decode":"pillow",'
            '"dtype":"float16","interpolation":"bilinear","layers":[["top",0,8]],'
            '"precision":"float32","resize":[256,256],"scaling":"tf","views":["center"],'
            f'"weights_sha256":"{"0" * 64}"}}'
        )
        assert make_spec().sha256 == hashlib.sha256(text.encode()).hexdigest()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("backbone", "other"),
            ("weights_sha256", "1" * 64),
            ("scaling", "torch"),
            ("decode", "other"),
            ("resize", (255, 256)),
            ("crop", (224, 223)),
            ("interpolation", "nearest"),
            ("views", ("whole",)),
            ("layers", (("block_0", 0, 3), ("top", 3, 8))),
            ("precision", "bfloat16"),
            ("dtype", "float32"),
        ],
    )
    def test_every_field_changes_the_fingerprint_and_is_named(
        self, field: str, value: object
    ) -> None:
        spec = make_spec()
        other = replace(spec, **{field: value})
        assert other.sha256 != spec.sha256
        assert [name for name, _, _ in spec.differences(other)] == [field]

    def test_every_field_is_tried_above(self) -> None:
        marks = type(self).test_every_field_changes_the_fingerprint_and_is_named.pytestmark
        assert {case[0] for case in marks[0].args[1]} == set(make_spec().to_dict())

    def test_slices_are_found_by_the_layers_name(self) -> None:
        spec = replace(make_spec(), layers=(("block_0", 0, 3), ("top", 3, 8)))
        assert spec.layer_slice("top") == slice(3, 8)
        assert spec.n_features == 8
        with pytest.raises(FormatError, match=r"No layer middle; there are block_0, top"):
            spec.layer_slice("middle")

    @pytest.mark.parametrize(
        "layers",
        [
            (("a", 1, 3),),
            (("a", 0, 3), ("b", 4, 5)),
            (("a", 0, 3), ("b", 2, 5)),
            (("a", 0, -3), ("b", -3, 5)),
        ],
    )
    def test_slices_must_cover_the_vector(self, layers: tuple[tuple[str, int, int], ...]) -> None:
        with pytest.raises(FormatError, match="slices leave gaps or overlap"):
            replace(make_spec(), layers=layers)

    def test_it_has_a_view_and_a_layer(self) -> None:
        with pytest.raises(FormatError, match="at least one view and one layer"):
            replace(make_spec(), views=())
        with pytest.raises(FormatError, match="at least one view and one layer"):
            replace(make_spec(), layers=())

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("backbone", 7, "An extractor's backbone is text, not '7'"),
            ("views", ("center", None), "An extractor's view 1 is text, not 'none'"),
            ("dtype", ["float16"], "An extractor's dtype is text, not 'float16'"),
            ("crop", (224,), "An extractor's crop is two numbers above 0, not '224'"),
            ("resize", (0, True), "An extractor's resize is two numbers above 0, not '0, True'"),
        ],
    )
    def test_a_field_of_another_kind_is_named(self, field: str, value: object, words: str) -> None:
        with pytest.raises(FormatError, match=words):
            replace(make_spec(), **{field: value})

    def test_features_are_halves_or_floats(self) -> None:
        with pytest.raises(FormatError, match="stored as float16 or float32, not float64"):
            make_spec(dtype="float64")

    def test_unknown_and_missing_fields_are_named(self) -> None:
        values = make_spec().to_dict()
        del values["crop"]
        with pytest.raises(FormatError, match="these differ: crop, rotation"):
            ExtractorSpec.from_dict(values | {"rotation": 0})

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            make_spec().crop = (1, 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"), [("split", ["train"]), ("seed", "7"), ("limit", True), ("kind", "hash")]
)
def test_a_rule_of_a_split_with_a_field_of_another_kind_is_refused(
    field: str, value: object
) -> None:
    rule = SplitRule("train", "hash", 0, 0.1, 0.2, 0)
    with pytest.raises(FormatError, match=f"The {field} of a split's rule cannot be "):
        replace(rule, **{field: value})
