"""The vocabulary: checked when made, the same after a trip through JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cache.errors import FormatError, LabelError
from cache.types import ExtractorSpec, Scale, Status, canonical_json, mean_of_votes
from tests.helpers import make_manifest, make_spec, take


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


@pytest.mark.parametrize(("lo", "hi"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_scale_needs_finite_bounds_in_order(lo: float, hi: float) -> None:
    with pytest.raises(LabelError, match=r"A scale needs finite bounds lo < hi; got .* and"):
        Scale(lo, hi)


def test_the_middle_of_a_scale_of_votes_is_half_of_one_plus_k() -> None:
    assert Scale(1, 7).middle == 4.0
    assert Scale(1, 10).middle == 5.5


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
        with pytest.raises(FormatError, match=r"No layer 'middle'; there are \['block_0', 'top'\]"):
            spec.layer_slice("middle")

    @pytest.mark.parametrize(
        "layers", [(("a", 1, 3),), (("a", 0, 3), ("b", 4, 5)), (("a", 0, 3), ("b", 2, 5))]
    )
    def test_slices_must_cover_the_vector(self, layers: tuple[tuple[str, int, int], ...]) -> None:
        with pytest.raises(FormatError, match="slices leave gaps or overlap"):
            replace(make_spec(), layers=layers)

    def test_it_has_a_view_and_a_layer(self) -> None:
        with pytest.raises(FormatError, match="at least one view and one layer"):
            replace(make_spec(), views=())
        with pytest.raises(FormatError, match="at least one view and one layer"):
            replace(make_spec(), layers=())

    def test_features_are_halves_or_floats(self) -> None:
        with pytest.raises(FormatError, match="stored as float16 or float32, not float64"):
            make_spec(dtype="float64")

    def test_unknown_and_missing_fields_are_named(self) -> None:
        values = make_spec().to_dict()
        del values["crop"]
        with pytest.raises(FormatError, match=r"these differ: \['crop', 'rotation'\]"):
            ExtractorSpec.from_dict(values | {"rotation": 0})

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            make_spec().crop = (1, 1)  # type: ignore[misc]


class TestManifest:
    def test_its_hash_follows_every_column(self) -> None:
        manifest = replace(
            make_manifest(4),
            tags=np.zeros((4, 2), np.int32),
            challenge=np.zeros(4, np.int32),
        )
        votes, tags, challenge = (
            np.array(column) for column in (manifest.votes, manifest.tags, manifest.challenge)
        )
        votes[2, 3] += 1
        tags[1, 1], challenge[3] = 7, 7
        others = [
            replace(manifest, image_id=np.array(["a", "b", "c", "d"])),
            replace(manifest, path=np.array(["a", "b", "c", "d"])),
            replace(manifest, group=np.array(["a", "", "", ""])),
            replace(manifest, votes=votes),
            replace(manifest, votes=None),
            replace(manifest, mean=manifest.mean + 1e-12),
            replace(manifest, tags=tags),
            replace(manifest, challenge=challenge),
            replace(manifest, scale=Scale(1, 8)),
            replace(manifest, threshold="4.5"),
            replace(manifest, split_rule=replace(manifest.split_rule, limit=4)),
            take(manifest, [0, 1, 2]),
            take(manifest, [1, 0, 2, 3]),
        ]
        hashes = {manifest.sha256, *(other.sha256 for other in others)}
        assert len(hashes) == 1 + len(others)
        assert replace(manifest).sha256 == manifest.sha256

    @pytest.mark.parametrize("column", ["path", "group", "votes", "mean"])
    def test_a_short_column_is_refused(self, column: str) -> None:
        manifest = make_manifest(4)
        with pytest.raises(LabelError, match="Every column of a manifest has 4 rows"):
            replace(manifest, **{column: getattr(manifest, column)[:3]})

    def test_an_id_that_stands_twice_is_named(self) -> None:
        with pytest.raises(LabelError, match="The id 'b' stands twice in the labels"):
            replace(make_manifest(3), image_id=np.array(["a", "b", "b"]))

    @pytest.mark.parametrize("levels", [1, 21])
    def test_votes_have_2_to_20_levels(self, levels: int) -> None:
        with pytest.raises(LabelError, match=f"Votes have 2 to 20 levels, not {levels}"):
            replace(make_manifest(3), votes=np.ones((3, levels), np.int32))

    @pytest.mark.parametrize("row", [[0, 0, 0], [3, -1, 2]])
    def test_every_photograph_has_a_vote_and_none_below_zero(self, row: list[int]) -> None:
        votes = np.array([[1, 1, 1], row], np.int32)
        with pytest.raises(LabelError, match="at least one vote, and none below zero"):
            replace(make_manifest(2, levels=3), votes=votes)

    @pytest.mark.parametrize("mean", [-0.01, 1.01, float("nan")])
    def test_a_mean_outside_the_scale_is_named(self, mean: float) -> None:
        with pytest.raises(LabelError, match=r"'photo-0001' lies outside the scale 0\.*0*\.\.1"):
            replace(make_manifest(2, levels=None), mean=np.array([0.5, mean]))


@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 5), st.integers(2, 20)), elements=st.integers(0, 10_000)
    )
)
def test_the_mean_of_votes_is_the_exact_quotient(votes: np.ndarray) -> None:
    votes[:, 0] += 1
    for row, mean in zip(votes.tolist(), mean_of_votes(votes), strict=True):
        exact = Fraction(sum(k * n for k, n in enumerate(row, 1)), sum(row))
        assert mean == float(exact)
