"""A photograph's split is its own affair: it stays when others come and go."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from cache.errors import LabelError
from cache.labels import LabelTable, Manifest, mean_of_votes
from cache.schema import FileFacts
from cache.types import SPLITS, Scale, SplitKind
from extract.labels import splits
from extract.labels.ava import read_ava
from extract.labels.records import FolderLabels, empty_text
from extract.labels.splits import (
    RULES,
    SplitSettings,
    assign,
    hash_fractions,
    make_manifests,
    threshold_text,
    unused_fractions,
)

N = 4000


def labels_of(n: int = N, levels: int = 5) -> FolderLabels:
    ids = np.array([f"{i}.jpg" for i in range(n)])
    votes = np.random.default_rng(0).integers(1, 9, (n, levels)).astype(np.int32)
    scale = Scale(1.0, float(levels))
    table = LabelTable(
        image_id=ids,
        path=ids,
        group=empty_text(n),
        votes=votes,
        mean=mean_of_votes(votes),
        scale=scale,
        threshold=scale.usual_threshold,
    )
    return FolderLabels(table, Path("labels.csv"))


def facts_of(n: int = N, missing: np.ndarray | None = None) -> FileFacts:
    size = np.arange(1, n + 1)
    if missing is not None:
        size[missing] = -1
    return FileFacts(size, size + 7)


def ids(manifest: Manifest) -> list[str]:
    return manifest.labels.image_id.tolist()


def take(labels: FolderLabels, rows: np.ndarray) -> FolderLabels:
    return replace(labels, table=labels.table.take(rows))


def grouped(labels: FolderLabels, group: np.ndarray) -> FolderLabels:
    return replace(labels, table=replace(labels.table, group=group))


def split_by_id(labels: FolderLabels, settings: SplitSettings) -> dict[str, str]:
    return dict(
        zip(labels.table.image_id.tolist(), assign(labels, settings)[0].tolist(), strict=True)
    )


def test_the_fraction_is_the_hash_of_seed_and_key() -> None:
    digest = int(sha256(b"3:x.jpg").hexdigest(), 16)
    (fraction,) = hash_fractions(3, np.array(["x.jpg"]))
    assert fraction == pytest.approx(digest / 2**256, abs=2**-46)
    assert 0 <= fraction < 1


def test_without_a_list_a_fifth_is_test_and_a_tenth_val() -> None:
    names, rule = assign(labels_of(), SplitSettings())
    shares = {name: float((names == name).mean()) for name in ("train", "val", "test")}
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["val"] == pytest.approx(0.1, abs=0.02)
    assert sum(shares.values()) == pytest.approx(1)
    assert (rule.rule, rule.val_fraction, rule.test_fraction) == ("hash", 0.1, 0.2)
    assert rule.kind is SplitKind.HASH


def test_splits_stay_when_photographs_are_added_or_the_table_is_shuffled() -> None:
    large = labels_of()
    order = np.random.default_rng(1).permutation(N)
    before = split_by_id(take(large, order[:1000]), SplitSettings())
    after = split_by_id(large, SplitSettings())
    assert all(after[image_id] == split for image_id, split in before.items())


def test_a_larger_test_fraction_only_adds_to_test() -> None:
    small = split_by_id(labels_of(), SplitSettings(test_fraction=0.1))
    large = split_by_id(labels_of(), SplitSettings(test_fraction=0.4))
    moved = {(small[key], large[key]) for key in small}
    assert ("test", "train") not in moved
    assert ("test", "val") not in moved


def test_another_seed_gives_other_splits() -> None:
    one, two = (split_by_id(labels_of(), SplitSettings(seed=seed)) for seed in (0, 1))
    assert one != two


def test_groups_stay_together() -> None:
    groups = np.array([f"group {i // 4}" for i in range(N)])
    names, _ = assign(grouped(labels_of(), groups), SplitSettings())
    assert len(set(names.tolist())) == 3
    for four in names.reshape(-1, 4):
        assert len(set(four.tolist())) == 1


def test_photographs_without_a_group_are_split_each_by_its_id() -> None:
    groups = np.array(["g"] * 10 + [""] * (N - 10))
    names, _ = assign(grouped(labels_of(), groups), SplitSettings())
    plain, _ = assign(labels_of(), SplitSettings())
    assert (names[10:] == plain[10:]).all()
    assert len(set(names[:10].tolist())) == 1


def test_an_official_list_is_the_test_split_and_a_twentieth_of_the_rest_val() -> None:
    official = frozenset(f"{i}.jpg" for i in range(1000)) | {"not labelled.jpg"}
    labels = replace(labels_of(), official_test=official)
    names, rule = assign(labels, SplitSettings())
    assert (names[:1000] == "test").all()
    assert not (names[1000:] == "test").any()
    assert (names[1000:] == "val").mean() == pytest.approx(0.05, abs=0.01)
    assert (rule.rule, rule.val_fraction) == ("the official test list, the rest by hash", 0.05)
    assert rule.kind is SplitKind.OFFICIAL


def test_a_split_column_wins() -> None:
    column = np.array(["val"] * 5 + ["train"] * (N - 5))
    labels = replace(labels_of(), split=column, official_test=frozenset({"0.jpg"}))
    names, rule = assign(labels, SplitSettings(val_fraction=0.5))
    assert (names == column).all()
    assert (rule.kind, rule.rule) == (SplitKind.COLUMN, "a split column")


@pytest.mark.parametrize(
    ("val", "test"),
    [(-0.1, 0.2), (0.1, -0.2), (0.5, 0.5), (0.9, 0.2), (1.0, None), (float("nan"), 0.2)],
)
def test_fractions_that_leave_nothing_are_refused(val: float, test: float | None) -> None:
    with pytest.raises(LabelError, match=r"--val-fraction .* and --test-fraction .* leave some"):
        SplitSettings(val_fraction=val, test_fraction=test)


# --- manifests -----------------------------------------------------------------------------------


def make_manifest(
    labels: FolderLabels, facts: FileFacts, split: str, settings: SplitSettings
) -> tuple[Manifest, FileFacts]:
    """Make one split alone."""
    (made,) = make_manifests(labels, facts, (split,), settings)
    return made


def test_the_three_manifests_hold_each_photograph_once() -> None:
    made = make_manifests(labels_of(), facts_of(), SPLITS, SplitSettings())
    found = [name for manifest, _ in made for name in ids(manifest)]
    assert sorted(found) == sorted(labels_of().table.image_id.tolist())


def test_splits_made_together_equal_splits_made_alone() -> None:
    settings = SplitSettings(limit=50)
    together = make_manifests(labels_of(), facts_of(), SPLITS, settings)
    for split, (manifest, facts) in zip(SPLITS, together, strict=True):
        alone, its_facts = make_manifest(labels_of(), facts_of(), split, settings)
        assert manifest.sha256 == alone.sha256
        assert (facts.size_bytes == its_facts.size_bytes).all()


def test_the_splits_are_drawn_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    real, hashed = splits.hash_fractions, []

    def counted(seed: int | str, keys: np.ndarray) -> np.ndarray:
        hashed.append((seed, len(keys)))
        return real(seed, keys)

    monkeypatch.setattr(splits, "hash_fractions", counted)
    made = make_manifests(labels_of(), facts_of(), SPLITS, SplitSettings(seed=3))
    assert hashed == [(3, N), *(("order", len(manifest)) for manifest, _ in made)]


def test_rows_carry_their_own_votes_and_facts() -> None:
    labels, facts = labels_of(), facts_of()
    manifest, kept = make_manifest(labels, facts, "val", SplitSettings())
    rows = [int(name.removesuffix(".jpg")) for name in ids(manifest)]
    assert (manifest.labels.votes == labels.table.votes[rows]).all()
    assert (kept.size_bytes == facts.size_bytes[rows]).all()
    assert (kept.mtime_ns == facts.mtime_ns[rows]).all()
    levels = np.arange(1, 6)
    expected = (labels.table.votes[rows] * levels).sum(axis=1) / labels.table.votes[rows].sum(
        axis=1
    )
    np.testing.assert_allclose(manifest.labels.mean, expected)


def test_the_order_of_rows_does_not_depend_on_the_table() -> None:
    order = np.random.default_rng(1).permutation(N)
    plain = ids(make_manifest(labels_of(), facts_of(), "val", SplitSettings())[0])
    shuffled = ids(make_manifest(take(labels_of(), order), facts_of(), "val", SplitSettings())[0])
    assert plain == shuffled


def test_a_small_limit_is_the_beginning_of_a_larger_one() -> None:
    def limited(limit: int) -> list[str]:
        return ids(make_manifest(labels_of(), facts_of(), "train", SplitSettings(limit=limit))[0])

    everything = limited(0)
    assert len(limited(100)) == 100
    assert limited(500)[:100] == limited(100)
    assert everything[:500] == limited(500)
    assert limited(10**6) == everything


def test_a_limit_counts_photographs_that_are_there() -> None:
    missing = np.random.default_rng(2).random(N) < 0.5
    facts = facts_of(missing=missing)
    manifest, kept = make_manifest(labels_of(), facts, "train", SplitSettings(limit=100))
    assert (~kept.missing).sum() == 100
    assert not kept.missing[-1]
    assert len(manifest) > 150


def test_the_manifest_names_its_split_and_rule() -> None:
    manifest, _ = make_manifest(labels_of(), facts_of(), "test", SplitSettings(seed=4, limit=9))
    rule = manifest.split_rule
    assert (rule.split, rule.rule, rule.seed, rule.limit) == ("test", "hash", 4, 9)


def test_a_split_column_without_val_lends_it_a_tenth_of_its_train_by_group() -> None:
    column = np.array((["test"] + ["train"] * 3) * (N // 4))
    groups = np.array([f"group {i // 8 * 2 + (i % 4 == 0)}" for i in range(N)])
    labels = replace(grouped(labels_of(), groups), split=column)
    names, rule = assign(labels, SplitSettings())
    assert rule.rule == "a split column, val by hash out of its train"
    assert rule.kind is SplitKind.COLUMN_WITHOUT_VAL
    assert (names[column == "test"] == "test").all()
    assert (names[column == "train"] == "val").mean() == pytest.approx(0.1, abs=0.02)
    assert not set(groups[names == "val"]) & set(groups[names == "train"])
    half, _ = assign(labels, SplitSettings(val_fraction=0.5))
    assert (half[column == "train"] == "val").mean() == pytest.approx(0.5, abs=0.04)
    assert set(groups[names == "val"]) < set(groups[half == "val"])


def test_groups_that_a_split_column_parts_are_refused_with_their_number_and_names() -> None:
    groups = np.array([f"scene {i // 2}" for i in range(N)])
    groups[N // 2 :] = ""  # photographs of no group may stand anywhere
    column = np.array((["train"] * 4 + ["val"] * 4 + ["test"] * 4) * (N // 12) + ["val"] * (N % 12))
    labels = replace(grouped(labels_of(), groups), split=column)
    make_manifests(labels, facts_of(), SPLITS, SplitSettings())
    column[[1, 5, 9, 13, 17, 21]] = "test", "train", "train", "test", "val", "val"
    column[17] = "test"
    with pytest.raises(LabelError) as caught:
        make_manifests(labels, facts_of(), ("val",), SplitSettings())
    assert str(caught.value) == (
        f"{labels.source}: 6 of 1,000 groups stand in more than one split: 'scene 0' in train and "
        "test, 'scene 2' in val and train, 'scene 4' in test and train, 'scene 6' in train and "
        "test, 'scene 8' in val and test, .... The pictures of a group stay together, or what is "
        "learned of some tells of the others: write one split for all of each, or leave such "
        "groups empty."
    )
    labels = replace(labels, split=np.where(column == "val", "train", column))
    with pytest.raises(LabelError, match="5 of 1,000 groups stand in more than one split"):
        make_manifests(labels, facts_of(), ("train",), SplitSettings())


def test_an_empty_split_is_refused() -> None:
    labels = replace(labels_of(), split=np.array(["train"] * N))
    said = r"The split val would be empty: 4,000 .* a split column\. Write val into that column for"
    with pytest.raises(LabelError, match=said):
        make_manifest(labels, facts_of(), "val", SplitSettings())
    said = r"val would be empty: 4,000 labelled .* by hash\. Label more, or change --val-fraction"
    with pytest.raises(LabelError, match=said):
        make_manifest(labels_of(), facts_of(), "val", SplitSettings(val_fraction=0.0))
    both = replace(labels, split=np.array(["train", "test"] * (N // 2)))
    with pytest.raises(LabelError, match=r"out of its train\. Label more, or change --val-fract"):
        make_manifest(both, facts_of(), "val", SplitSettings(val_fraction=0.0))


@pytest.mark.parametrize("kind", RULES)
def test_the_kind_of_files_without_one_is_told_by_the_words_of_their_rule(kind: SplitKind) -> None:
    assert SplitKind.of_words(RULES[kind]) is kind


def test_a_fraction_that_the_rule_does_not_draw_is_told() -> None:
    both = SplitSettings(val_fraction=0.2, test_fraction=0.3)
    column = replace(labels_of(), split=np.array(["train", "val"] * (N // 2)))
    listed = replace(labels_of(), official_test=frozenset({"0.jpg"}))
    told = [
        unused_fractions(settings, assign(labels, settings)[1].kind)
        for labels, settings in (
            (column, both),
            (listed, both),
            (labels_of(), both),
            (column, SplitSettings()),
        )
    ]
    assert told == [["--val-fraction", "--test-fraction"], ["--test-fraction"], [], []]


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(LabelError, match="There is no split 'dev'; expected train, val or test"):
        make_manifest(labels_of(), facts_of(), "dev", SplitSettings())


# --- the threshold of beautiful ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "wanted", "expected"),
    [
        (10, None, "5"),
        (7, None, "4"),
        (6, None, "3.5"),
        (10, "5.50", "5.5"),
        (10, "1", "1"),
        (10, "5e0", "5"),
    ],
)
def test_the_threshold_is_as_set_or_the_default_of_the_scale(
    levels: int, wanted: str | None, expected: str
) -> None:
    settings = SplitSettings(threshold=wanted)
    assert threshold_text(Scale(1, levels), settings) == expected


@pytest.mark.parametrize("text", ["five", "nan", "inf", "sNaN", "5,5", "", "5_0"])
def test_a_threshold_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(
        LabelError,
        match=f"--threshold '{text}': expected a decimal number in plain digits, such as 5",
    ):
        threshold_text(Scale(1, 5), SplitSettings(threshold=text))


@pytest.mark.parametrize("text", ["0.99", "5", "-3"])
def test_a_threshold_outside_the_scale_is_refused(text: str) -> None:
    with pytest.raises(
        LabelError, match=rf"--threshold '{text}': it lies outside the scale 1\.\.5"
    ):
        threshold_text(Scale(1, 5), SplitSettings(threshold=text))


# --- the real sets -------------------------------------------------------------------------------


def test_the_official_test_list_is_disjoint_from_train_and_val(ava: Path) -> None:
    labels = read_ava(ava)
    names, _ = assign(labels, SplitSettings())
    assert labels.official_test is not None
    in_list = np.array(
        [image_id in labels.official_test for image_id in labels.table.image_id.tolist()]
    )
    assert ((names == "test") == in_list).all()
    assert (names[~in_list] == "val").mean() == pytest.approx(0.05, abs=0.005)
