"""The label record: checked when made; rows selected, joined and hashed with every column."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cache.errors import LabelError
from cache.labels import COLUMNS, LabelTable, Manifest, mean_of_votes
from cache.types import Scale
from tests.helpers import make_manifest, relabelled


def full_table(n: int) -> LabelTable:
    """Labels with every column there is."""
    tags = np.arange(2 * n, dtype=np.int32).reshape(n, 2)
    return replace(make_manifest(n).labels, tags=tags, challenge=np.arange(n, dtype=np.int32))


def contents(table: LabelTable) -> dict[str, object]:
    return {name: column.tolist() for name, column in table.columns().items()}


class TestLabelTable:
    def test_every_field_but_scale_and_threshold_is_a_column(self) -> None:
        names = [field.name for field in fields(LabelTable)]
        assert [column.name for column in COLUMNS] == names[:-2]
        assert names[-2:] == ["scale", "threshold"]
        assert list(full_table(3).columns()) == names[:-2]

    @pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0]), np.arange(4) % 2 == 1])
    def test_rows_are_taken_of_every_column(self, rows: np.ndarray | slice) -> None:
        table = full_table(4)
        expected = {name: column[rows].tolist() for name, column in table.columns().items()}
        taken = table.take(rows)
        assert contents(taken) == expected
        assert (taken.scale, taken.threshold) == (table.scale, table.threshold)

    def test_parts_put_together_are_the_whole(self) -> None:
        table = full_table(5)
        parts = [table.take(slice(0, 2)), table.take(slice(2, 2)), table.take(slice(2, 5))]
        assert contents(LabelTable.concat(parts)) == contents(table)

    def test_a_column_that_one_part_lacks_is_left_out(self) -> None:
        whole, without = full_table(2), replace(full_table(3), challenge=None)
        assert list(LabelTable.concat([whole, without]).columns()) == list(without.columns())
        assert LabelTable.concat([without, whole]).challenge is None

    def test_parts_of_different_scales_or_thresholds_are_refused(self) -> None:
        table = full_table(2)
        for other in (replace(table, threshold="3"), replace(table, scale=Scale(0, 7))):
            with pytest.raises(LabelError, match="different scales or thresholds cannot be put"):
                LabelTable.concat([table, other])

    def test_a_class_that_extends_it_is_kept_by_take_and_concat(self) -> None:
        class Extended(LabelTable):
            pass

        extended = Extended.of(full_table(3))
        assert contents(extended) == contents(full_table(3))
        assert type(extended.take(slice(1))) is type(Extended.concat([extended])) is Extended

    @pytest.mark.parametrize("column", [column.name for column in COLUMNS])
    def test_a_short_column_is_refused(self, column: str) -> None:
        table = full_table(4)
        with pytest.raises(LabelError, match=f"need one length; got .*'{column}': 3"):
            replace(table, **{column: getattr(table, column)[:3]})

    def test_levels_are_counted_and_0_without_votes(self) -> None:
        assert make_manifest(3, levels=6).labels.levels == 6
        assert make_manifest(3, levels=None).labels.levels == 0

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            full_table(1).threshold = "1"  # type: ignore[misc]


class TestManifest:
    def test_its_hash_follows_every_column(self) -> None:
        manifest = Manifest(full_table(4), make_manifest(4).split_rule)
        votes, tags, challenge = (
            np.array(manifest.labels.columns()[name]) for name in ("votes", "tags", "challenge")
        )
        votes[2, 3] += 1
        tags[1, 1], challenge[3] = 7, 7
        others = [
            relabelled(manifest, image_id=np.array(["a", "b", "c", "d"])),
            relabelled(manifest, path=np.array(["a", "b", "c", "d"])),
            relabelled(manifest, group=np.array(["a", "", "", ""])),
            relabelled(manifest, votes=votes),
            relabelled(manifest, votes=None),
            relabelled(manifest, mean=manifest.labels.mean + 1e-12),
            relabelled(manifest, tags=tags),
            relabelled(manifest, challenge=challenge),
            relabelled(manifest, scale=Scale(1, 8)),
            relabelled(manifest, threshold="4.5"),
            replace(manifest, split_rule=replace(manifest.split_rule, limit=4)),
            manifest.take(slice(3), manifest.split_rule),
            manifest.take(np.array([1, 0, 2, 3]), manifest.split_rule),
        ]
        hashes = {manifest.sha256, *(other.sha256 for other in others)}
        assert len(hashes) == 1 + len(others)
        assert replace(manifest).sha256 == manifest.sha256

    def test_its_hash_is_the_one_that_earlier_versions_stored(self) -> None:
        manifest = Manifest(full_table(4), make_manifest(4).split_rule)
        assert manifest.sha256 == "56d68e714214b31d1d0ab56912b8cfc63901bd7fdbaf98b81901ac724751b76e"
        assert (
            make_manifest(4, levels=None).sha256
            == "dd8a39777491435da875600674043346bf4ca90b7d7b41da8f02ade1cbca703d"
        )

    def test_an_id_that_stands_twice_is_named(self) -> None:
        with pytest.raises(LabelError, match="The id 'b' appears twice in the labels"):
            relabelled(make_manifest(3), image_id=np.array(["a", "b", "b"]))

    @pytest.mark.parametrize("levels", [1, 21])
    def test_votes_have_2_to_20_levels(self, levels: int) -> None:
        with pytest.raises(LabelError, match=f"Votes have 2 to 20 levels, not {levels}"):
            relabelled(make_manifest(3), votes=np.ones((3, levels), np.int32))

    @pytest.mark.parametrize(
        "row", [[0, 0, 0], [3, -1, 2], [2**31 - 1, 0, 0], [500_000_000, 500_000_000, 0]]
    )
    def test_every_photograph_has_a_vote_and_none_below_zero(self, row: list[int]) -> None:
        votes = np.array([[1, 1, 1], row], np.int32)
        said = r"at least one vote, and none below zero, and at most 999,999,999 .*'photo-0001' has"
        with pytest.raises(LabelError, match=said):
            relabelled(make_manifest(2, levels=3), votes=votes)

    @pytest.mark.parametrize("mean", [-0.01, 1.01, float("nan")])
    def test_a_mean_outside_the_scale_is_named(self, mean: float) -> None:
        with pytest.raises(LabelError, match=r"'photo-0001' lies outside the scale 0\.*0*\.\.1"):
            relabelled(make_manifest(2, levels=None), mean=np.array([0.5, mean]))


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
