"""A folder that takes the place of another one in one step."""

from __future__ import annotations

import ctypes
import errno
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache import files
from cache.errors import CacheLockedError, StorageError
from cache.files import (
    exclusive,
    replacing_folder,
    restore,
    scratch_folder,
    storage_errors,
)


def filled(folder: Path, text: str) -> Path:
    """Make a folder with one file."""
    folder.mkdir()
    (folder / "a").write_text(text)
    return folder


class TestFolders:
    @pytest.mark.parametrize("exchange", [True, False])
    def test_a_folder_takes_the_place_of_an_older_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
    ) -> None:
        if not exchange:
            monkeypatch.setattr(files, "_exchange", lambda one, other: False)
        filled(tmp_path / "run", "old")
        with replacing_folder(tmp_path / "run") as folder:
            (folder / "a").write_text("new")
            assert (tmp_path / "run" / "a").read_text() == "old"
        assert (tmp_path / "run" / "a").read_text() == "new"
        assert [p.name for p in tmp_path.iterdir()] == ["run"]

    def test_the_exchange_of_two_names_is_one_step_here(self, tmp_path: Path) -> None:
        one, other = filled(tmp_path / "one", "1"), filled(tmp_path / "other", "2")
        if not files._exchange(one, other):
            pytest.skip("this file system cannot exchange names")
        assert [(path / "a").read_text() for path in (one, other)] == ["2", "1"]

    def test_an_exchange_that_fails_names_both_folders(self, tmp_path: Path) -> None:
        one, other = filled(tmp_path / "one", "1"), tmp_path / "other"
        with pytest.raises(FileNotFoundError) as caught:
            files._exchange(one, other)
        assert str(caught.value) == (f"[Errno 2] No such file or directory: '{one}' -> '{other}'")

    @pytest.mark.parametrize("number", files.NO_EXCHANGE)
    def test_a_system_without_the_exchange_is_no_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def refuse(*arguments: object) -> int:
            ctypes.set_errno(number)
            return -1

        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=refuse))
        assert files._exchange(tmp_path / "one", tmp_path / "other") is False
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
        assert files._exchange(tmp_path / "one", tmp_path / "other") is False

    def test_the_old_folder_is_put_back_where_the_second_rename_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename

        def fails(path: Path, target: Path) -> Path:
            if path.name.endswith(".new"):
                raise OSError(errno.EIO, "broken")
            return rename(path, target)

        filled(tmp_path / "run", "old")
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
        monkeypatch.setattr(Path, "rename", fails)
        with pytest.raises(OSError, match="broken"), replacing_folder(tmp_path / "run") as folder:
            (folder / "a").write_text("new")
        assert (tmp_path / "run" / "a").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["run"]

    def test_a_file_in_the_folders_place_is_refused_and_kept(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("mine")
        words = f"{tmp_path / 'run'} cannot be written: a file stands where a folder is needed."
        with (
            pytest.raises(StorageError, match=re.escape(words)),
            storage_errors(tmp_path / "run"),
            replacing_folder(tmp_path / "run"),
        ):
            pass
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"run": "mine"}

    def test_a_link_to_a_folder_gives_way_and_its_target_stays(self, tmp_path: Path) -> None:
        target = filled(tmp_path / "elsewhere", "old")
        (tmp_path / "run").symlink_to(target)
        with replacing_folder(tmp_path / "run") as folder:
            (folder / "a").write_text("new")
        assert (target / "a").read_text() == "old"
        assert not (tmp_path / "run").is_symlink()
        assert {p.name for p in tmp_path.iterdir()} == {"run", "elsewhere"}

    def test_a_folder_that_another_process_is_replacing_is_not_put_back(
        self, tmp_path: Path
    ) -> None:
        filled(tmp_path / ".run.12.replaced", "old")
        with exclusive(tmp_path / "run"), pytest.raises(CacheLockedError):
            restore(tmp_path / "run")
        restore(tmp_path / "run")
        assert (tmp_path / "run" / "a").read_text() == "old"

    def test_what_a_killed_process_left_beside_a_whole_folder_is_removed(
        self, tmp_path: Path
    ) -> None:
        filled(tmp_path / "run", "whole")
        filled(tmp_path / ".run.new", "half")
        with exclusive(tmp_path / "run"):
            restore(tmp_path / "run")
            assert (tmp_path / ".run.new").exists()  # somebody is at it
        restore(tmp_path / "run")
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
        assert (tmp_path / "run" / "a").read_text() == "whole"

    def test_a_scratch_folder_that_a_killed_process_left_is_cleared(self, tmp_path: Path) -> None:
        filled(tmp_path / ".model.xml.new", "half")
        filled(tmp_path / ".model.xml.0123456789abcdef", "half")
        filled(tmp_path / ".model.xmlx.new", "another's")
        with scratch_folder(tmp_path / "model.xml") as folder:
            assert list(folder.iterdir()) == []
            (folder / "a").write_text("new")
        assert [path.name for path in tmp_path.iterdir()] == [".model.xmlx.new"]
