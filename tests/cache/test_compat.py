"""Files of every version stay readable: v1.h5 was written once and is never written again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from cache.resume import Reuse, is_current, open_writer
from cache.schema import FileFacts, Provenance
from cache.store import open_cache, partial_path
from cache.types import Scale, SplitKind, SplitRule, Status
from cache.verify import verify
from cache.writer import Block
from tests.helpers import make_features, make_manifest, make_spec, present, small_cache

V1 = Path(__file__).parent / "data" / "v1.h5"
N = 12


def test_the_kept_file_is_the_one_that_was_written_and_small() -> None:
    content = V1.read_bytes()
    assert len(content) < 40_000
    assert (
        hashlib.sha256(content).hexdigest()
        == "e7fa4d35de937dec5f4adf0a248f88e75d2feb8d97631bed52860bdf620625a5"
    )


def test_version_1_is_sound() -> None:
    assert verify(V1) == []


def test_version_1_gives_its_labels() -> None:
    cache = open_cache(V1)
    assert cache.n_rows == N
    assert cache.image_id[[0, 11]].tolist() == ["photo-0", "фото-ä"]
    assert cache.paths[11] == "images/фото-ä.jpg"
    assert cache.group[:4].tolist() == ["", "north", "south", ""]
    assert cache.votes[2].tolist() == [3, 4, 5, 6, 7]
    assert cache.mean[0] == 11 / 3
    assert cache.tags[5].tolist() == [5, 10]
    assert cache.challenge[5] == 105
    assert (cache.scale, cache.threshold) == (Scale(1, 5), "3")
    assert cache.split == "val"
    # Written before there was an attribute for the kind, which is told by the words.
    assert cache.split_rule == SplitRule("val", "hash of id", 7, 0.1, 0.2, 0, kind=SplitKind.HASH)
    assert (
        cache.manifest_sha256 == "7070d98d191396d0e416526f9a16297075ca3704302f3621e144a70146704760"
    )
    assert cache.label_note == "votes made up by a formula"


def test_version_1_gives_its_features() -> None:
    cache = open_cache(V1)
    assert cache.features.shape == (N, 2, 16)
    assert cache.features.dtype == np.float16
    place = np.arange(cache.features.size).reshape(cache.features.shape) % 385 / 64
    assert np.array_equal(cache.features[cache.ok_rows], place[cache.ok_rows])
    assert cache.view_names == ("center", "center flipped")
    assert cache.spec.layer_slice("top") == slice(6, 16)
    assert cache.spec.sha256 == "e907bf38272d62fa9c5fb852d792dcf85e7c1475fe5799152d21d5601be8c08f"


def test_version_1_gives_what_became_of_each_photograph() -> None:
    cache = open_cache(V1)
    assert cache.status[3] == Status.MISSING
    assert cache.status[5] == Status.UNREADABLE
    assert cache.counts == {
        Status.PENDING: 0,
        Status.OK: 10,
        Status.MISSING: 1,
        Status.UNREADABLE: 1,
    }
    assert cache.size[[3, 4]].tolist() == [[0, 0], [644, 484]]
    assert cache.facts.mtime_ns[4] == 5_000_000_004
    assert cache.crc32[[0, 3]].tolist() == [4063308142, 2719574447]


def test_version_1_gives_who_made_it() -> None:
    header = open_cache(V1).header
    assert header.complete
    assert header.finished
    assert header.provenance == Provenance(
        data_root="/photographs",
        label_note="votes made up by a formula",
        weights_origin="none",
        engine="keras",
        library_versions={"aesthetic-heads": "0.1.0"},
        created="2024-05-06T07:08:09+00:00",
        value_ranges={"top": (0.0, 6.0)},
    )


def test_version_1_from_before_value_ranges_is_held_to_relu6(tmp_path: Path) -> None:
    path = tmp_path / "val.h5"
    path.write_bytes(V1.read_bytes())
    with h5py.File(path, "r+") as file:
        assert "value_ranges" not in file.attrs
        file["features"][2, 1, 15] = 6.5
    assert [str(finding) for finding in verify(path)] == [
        "1 with a wrong checksum (rows 2)",
        "1 with top features outside 0..6 (rows 2)",
    ]


def test_version_1_still_counts_as_done() -> None:
    cache = open_cache(V1)
    assert is_current(V1, cache.manifest(), cache.spec, cache.facts, Reuse())


def test_a_version_1_without_the_kind_is_no_other_manifest() -> None:
    cache = open_cache(V1)
    with h5py.File(V1) as file:
        assert "split_kind" not in file.attrs
    assert cache.manifest().sha256 == cache.manifest_sha256
    for kind in SplitKind:
        rule = replace(cache.split_rule, kind=kind)
        manifest = replace(cache.manifest(), split_rule=rule)
        assert is_current(V1, manifest, cache.spec, cache.facts, Reuse())


def test_an_unfinished_version_1_without_the_kind_goes_on(tmp_path: Path) -> None:
    n, spec, facts = 6, make_spec(), present(6)
    manifest = make_manifest(n)
    manifest = replace(manifest, split_rule=replace(manifest.split_rule, kind=SplitKind.HASH))
    size = np.zeros((3, 2), np.int32)
    first = Block(np.arange(3), make_features(3, spec), np.ones(3, np.uint8), size, {})
    with open_writer(tmp_path / "a.h5", manifest, spec, facts, Provenance(), Reuse()) as writer:
        writer.write(first)
    with h5py.File(partial_path(tmp_path / "a.h5"), "r+") as file:
        del file.attrs["split_kind"]
    with open_writer(tmp_path / "a.h5", manifest, spec, facts, Provenance(), Reuse()) as writer:
        assert writer.pending.tolist() == [3, 4, 5]
        writer.write(replace(first, rows=np.arange(3, 6)))
        writer.finish()
    assert open_cache(tmp_path / "a.h5").split_rule.kind is SplitKind.HASH
    assert verify(tmp_path / "a.h5") == []
    assert is_current(tmp_path / "a.h5", manifest, spec, facts, Reuse())


def test_rows_of_version_1_are_kept_when_photographs_are_added(tmp_path: Path) -> None:
    path = tmp_path / "val.h5"
    path.write_bytes(V1.read_bytes())
    cache = open_cache(path)
    facts = FileFacts(cache.facts.size_bytes.copy(), cache.facts.mtime_ns.copy())
    facts.size_bytes[3] = facts.mtime_ns[3] = 1
    writer = open_writer(path, cache.manifest(), cache.spec, facts, Provenance(), Reuse())
    with writer:
        assert writer.pending.tolist() == [3]


def test_bounds_that_a_newer_program_writes_make_no_row_of_version_1_stale(tmp_path: Path) -> None:
    path = tmp_path / "val.h5"
    path.write_bytes(V1.read_bytes())
    cache = open_cache(path)
    origin = Provenance(value_ranges={"top": (0.0, 6.0)})
    manifest, spec = cache.manifest(), cache.spec
    assert open_writer(path, manifest, spec, cache.facts, origin, Reuse()) is None
    path.rename(partial_path(path))
    with open_writer(path, manifest, spec, cache.facts, origin, Reuse()) as writer:
        assert writer.pending.tolist() == []
        writer.finish()
    assert verify(path) == []
    assert open_cache(path).header.provenance.value_ranges == {"top": (0.0, 6.0)}


def test_format_md_shows_how_to_read_a_cache_with_h5py_alone() -> None:
    text = (Path(__file__).parents[2] / "cache" / "FORMAT.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code.replace("features/train.h5", str(V1)), names)
    assert names["features"].shape == (10, 2, 16)
    assert names["ids"][-1] == "фото-ä"
    with h5py.File(V1) as file:
        assert np.array_equal(names["means"], np.delete(file["mean"][:], [3, 5]))


def test_format_md_names_every_dataset_and_attribute(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "cache" / "FORMAT.md").read_text(encoding="utf-8")
    with h5py.File(V1) as old, h5py.File(small_cache(tmp_path / "a.h5")) as new:
        names = {*old, *old.attrs, *new, *new.attrs}
    assert [name for name in names if f"`{name}`" not in text] == []
