"""Folders that a file names are found where they lie now."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cache.places import changed_labels, find_folder, photographs_of
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.store import FeatureCache, open_cache
from cache.writer import now
from tests.cache.filling import FEATURES, MANIFEST, SPEC, N, block
from tests.helpers import make_manifest, write_cache


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with data/ and features/ in it."""
    for name in ("data", "features"):
        (tmp_path / "home" / "project" / name).mkdir(parents=True)
    return tmp_path / "home" / "project"


def found(noted: Path, file: Path) -> Path | None:
    return find_folder(noted, file, Path.is_dir)


class TestFindingFolders:
    def test_a_folder_that_did_not_move_is_found_where_it_was(self, project: Path) -> None:
        assert found(project / "data", project / "features" / "train.h5") == project / "data"

    @pytest.mark.parametrize("place", ["elsewhere", "home/other-name", "mnt/home/project"])
    def test_a_folder_that_moved_together_with_the_file_is_found(
        self, project: Path, tmp_path: Path, place: str
    ) -> None:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        moved = project.rename(tmp_path / place)
        assert found(project / "data", moved / "features" / "train.h5") == moved / "data"

    def test_a_folder_of_another_tree_moved_together_is_found(
        self, project: Path, tmp_path: Path
    ) -> None:
        shared = tmp_path / "home" / "shared" / "photos"
        shared.mkdir(parents=True)
        (tmp_path / "home").rename(tmp_path / "house")
        file = tmp_path / "house" / "project" / "features" / "train.h5"
        assert found(shared, file) == tmp_path / "house" / "shared" / "photos"

    def test_a_link_to_the_files_folder_leads_to_both_sides(
        self, project: Path, tmp_path: Path
    ) -> None:
        scratch = (project / "features").rename(tmp_path / "scratch")
        (project / "features").symlink_to(scratch)
        moved = project.rename(tmp_path / "moved")
        assert found(project / "data", moved / "features" / "train.h5") == moved / "data"
        (moved / "data").rename(tmp_path / "data")
        assert found(project / "data", moved / "features" / "train.h5") == tmp_path / "data"

    def test_a_file_named_from_where_one_stands_finds_it_too(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved = project.rename(tmp_path / "moved")
        monkeypatch.chdir(moved / "features")
        assert found(project / "data", Path("train.h5")) == moved / "data"

    def test_a_folder_that_is_nowhere_is_none(self, project: Path) -> None:
        (project / "data").rename(project / "pictures")
        assert found(project / "data", project / "features" / "train.h5") is None


def cache_of(project: Path, **origin: object) -> FeatureCache:
    """Write a cache whose photographs lie in data/ of a project, one byte more each."""
    sizes = []
    for row, name in enumerate(MANIFEST.labels.path.tolist()):
        path = project / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (row + 1))
        sizes.append(row + 1)
    facts = FileFacts(np.array(sizes, np.int64), np.ones(N, np.int64))
    path = project / "features" / "train.h5"
    made = Provenance(data_root=str(project / "data"), created=now(), **origin)
    writer = open_writer(path, MANIFEST, SPEC, facts, made, Reuse())
    assert writer is not None
    with writer:
        writer.write(block(range(N)))
        writer.finish()
    return open_cache(path)


class TestPhotographs:
    def test_they_are_found_after_the_project_moved(self, project: Path, tmp_path: Path) -> None:
        cache_of(project)
        moved = project.rename(tmp_path / "moved")
        assert photographs_of(open_cache(moved / "features" / "train.h5")) == moved / "data"

    def test_a_folder_with_others_of_the_same_names_is_not_taken(
        self, project: Path, tmp_path: Path
    ) -> None:
        cache_of(project)
        moved = project.rename(tmp_path / "moved")
        for path in (moved / "data").rglob("*.*"):
            path.write_bytes(b"another photograph")
        assert photographs_of(open_cache(moved / "features" / "train.h5")) is None

    def test_those_of_the_same_size_go_before_others_at_the_old_place(
        self, project: Path, tmp_path: Path
    ) -> None:
        cache_of(project)
        moved = project.rename(tmp_path / "moved")
        for name in MANIFEST.labels.path.tolist():
            (project / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (project / "data" / name).write_bytes(b"another photograph")
        cache = open_cache(moved / "features" / "train.h5")
        assert photographs_of(cache) == moved / "data"
        (moved / "data").rename(tmp_path / "gone")
        assert photographs_of(cache) == project / "data"

    def test_a_given_folder_alone_counts(self, project: Path, tmp_path: Path) -> None:
        cache = cache_of(project)
        assert photographs_of(cache, tmp_path) is None
        assert photographs_of(cache, project / "data") == project / "data"

    def test_a_cache_that_does_not_say_where_they_were_has_none(self, tmp_path: Path) -> None:
        path = write_cache(tmp_path / "train.h5", MANIFEST, SPEC, FEATURES)
        assert photographs_of(open_cache(path)) is None

    def test_paths_that_no_file_can_have_are_none(self, tmp_path: Path) -> None:
        paths = replace(make_manifest(N).labels, path=MANIFEST.labels.path.astype("U300"))
        paths.path[:] = "x" * 300
        manifest = replace(MANIFEST, labels=paths)
        path = write_cache(tmp_path / "a.h5", manifest, SPEC, FEATURES, data_root=str(tmp_path))
        assert photographs_of(open_cache(path)) is None


class TestLabelsThatChanged:
    KNOWN: ClassVar = {"labels.csv": hashlib.sha256(b"old").hexdigest(), "labels-note.txt": ""}

    def test_nothing_is_said_while_they_are_as_they_were(self, project: Path) -> None:
        (project / "data" / "labels.csv").write_bytes(b"old")
        assert changed_labels([cache_of(project, label_files=self.KNOWN)]) == []

    def test_what_changed_is_named_with_the_files_made_from_it(self, project: Path) -> None:
        (project / "data" / "labels.csv").write_bytes(b"new")
        cache = cache_of(project, label_files=self.KNOWN)
        assert changed_labels([cache]) == [
            f"{project}/data/labels.csv has changed since {cache.path} was made; `extract "
            "--split all` takes it over, and reads no photograph again for that."
        ]
        assert f"{cache.path} and {cache.path} were made" in changed_labels([cache] * 2)[0]

    def test_a_remark_that_came_is_a_change(self, project: Path) -> None:
        (project / "data" / "labels.csv").write_bytes(b"old")
        (project / "data" / "labels-note.txt").write_text("simulated")
        (line,) = changed_labels([cache_of(project, label_files=self.KNOWN)])
        assert line.startswith(f"{project}/data/labels-note.txt has changed since")

    def test_nothing_is_said_of_labels_that_are_away_or_were_never_known(
        self, project: Path, tmp_path: Path
    ) -> None:
        assert changed_labels([cache_of(project, label_files=self.KNOWN)]) == []
        (project / "data" / "labels.csv").write_bytes(b"new")
        (project / "data").rename(tmp_path / "away")
        assert changed_labels([open_cache(project / "features" / "train.h5")]) == []
        path = write_cache(tmp_path / "train.h5", MANIFEST, SPEC, FEATURES)
        assert changed_labels([open_cache(path)]) == []
