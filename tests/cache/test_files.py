"""Locks, files in one step and what is never replaced: made for real, told in plain words."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from cache import files
from cache.errors import CacheLockedError, StorageError
from cache.files import (
    Mark,
    check_ending,
    check_output,
    exclusive,
    fsync,
    is_ours,
    publish,
    replacing,
    replacing_folder,
    scratch_folder,
    storage_errors,
    write_text_atomically,
)
from cache.verify import verify
from tests.helpers import small_cache

HOLDER = """
import sys, time
from pathlib import Path
from cache.files import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HALF_WRITER = """
import sys, time
from pathlib import Path
from cache.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("ha")
    print("half", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a path until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Let a holder go and wait for it."""
    process.communicate(timeout=20)


class TestLock:
    def test_a_second_process_is_refused_and_told_who_holds_it(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        process = hold(path)
        with pytest.raises(CacheLockedError) as caught, exclusive(path):
            pass
        end(process)
        assert str(caught.value) == (
            f"{path} is being written by process {process.pid} on host {socket.gethostname()}. "
            "Wait for it to end, or choose another --out."
        )

    def test_it_is_free_again_when_the_holder_ends(self, tmp_path: Path) -> None:
        end(hold(tmp_path / "train.h5"))
        with exclusive(tmp_path / "train.h5"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_it_is_free_again_when_the_holder_is_killed(self, tmp_path: Path) -> None:
        process = hold(tmp_path / "train.h5")
        process.send_signal(signal.SIGKILL)
        end(process)
        assert [p.name for p in tmp_path.iterdir()] == [".train.h5.lock"]
        with exclusive(tmp_path / "train.h5"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_another_path_is_another_lock(self, tmp_path: Path) -> None:
        with exclusive(tmp_path / "train.h5"), exclusive(tmp_path / "val.h5"):
            pass

    def test_a_holder_without_a_name_is_another_process(self, tmp_path: Path) -> None:
        path = tmp_path / "train.h5"
        with exclusive(path):
            (tmp_path / ".train.h5.lock").write_text("")
            with (
                pytest.raises(CacheLockedError, match=r"by another process\. Wait"),
                exclusive(path),
            ):
                pass

    def test_it_is_freed_by_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "train.h5"):
            raise ZeroDivisionError
        with exclusive(tmp_path / "train.h5"):
            pass

    def test_no_two_ever_hold_it(self, tmp_path: Path) -> None:
        inside, most, entered, failures = 0, 0, 0, []

        def compete() -> None:
            nonlocal inside, most, entered
            for _ in range(300):
                try:
                    with exclusive(tmp_path / "train.h5"):
                        inside += 1
                        most = max(most, inside)
                        entered += 1
                        inside -= 1
                except CacheLockedError:
                    pass
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert most == 1
        assert entered > 10


class TestPublishing:
    def test_a_file_takes_its_place_whole(self, tmp_path: Path) -> None:
        (tmp_path / "new").write_text("new")
        (tmp_path / "final").write_text("old")
        publish(tmp_path / "new", tmp_path / "final")
        assert (tmp_path / "final").read_text() == "new"
        assert not (tmp_path / "new").exists()

    def test_text_is_written_whole_and_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        write_text_atomically(tmp_path / "a.json", "ä")
        write_text_atomically(tmp_path / "a.json", "b")
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
        assert (tmp_path / "a.json").read_text(encoding="utf-8") == "b"

    def test_the_folder_above_a_text_is_made(self, tmp_path: Path) -> None:
        write_text_atomically(tmp_path / "new" / "a.json", "a")
        assert (tmp_path / "new" / "a.json").read_text() == "a"

    def test_a_temporary_file_lies_beside_and_keeps_the_suffix(self, tmp_path: Path) -> None:
        with replacing(tmp_path / "a.csv.gz") as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".gz"
            temporary.write_text("a")
        assert [p.name for p in tmp_path.iterdir()] == ["a.csv.gz"]

    def test_an_error_leaves_the_old_file_and_nothing_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("old")
        with suppress(KeyError), replacing(tmp_path / "a.csv") as temporary:
            temporary.write_text("new")
            raise KeyError
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.csv": "old"}

    def test_what_a_killed_writer_left_is_cleared_by_the_next_one(self, tmp_path: Path) -> None:
        path = tmp_path / "a.html"
        process = subprocess.Popen(
            [sys.executable, "-c", HALF_WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "half\n"
        process.kill()
        process.communicate()
        assert len(list(tmp_path.iterdir())) == 2
        write_text_atomically(path, "whole")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.html": "whole"}

    def test_a_second_writer_waits_and_says_for_whom(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "a.csv"
        process = hold(path)
        threading.Timer(0.3, end, [process]).start()
        write_text_atomically(path, "second")
        words = f"{path} is being written by process {process.pid} on host {socket.gethostname()}."
        assert capsys.readouterr().err == f"{words} Waiting for it to end ...\n"
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.csv": "second"}

    def test_the_longest_name_that_a_file_may_have_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / ("ä" * 125 + ".html")
        write_text_atomically(path, "long")
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    def test_folders_and_files_are_forced_to_the_disk(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        fsync(tmp_path / "a")
        fsync(tmp_path)


class TestOutputs:
    MARK = Mark(b"start", b"inside")

    @pytest.mark.parametrize("content", [b"", b"start and inside", b"startinside"])
    def test_our_own_and_empty_files_may_be_replaced(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a").write_bytes(content)
        check_output(tmp_path / "a", Mark(b"other"), self.MARK)
        assert is_ours(tmp_path / "a", self.MARK) == bool(content)

    @pytest.mark.parametrize("content", [b"photograph", b" start inside", b"start", b"inside"])
    def test_others_may_not(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a").write_bytes(content)
        (tmp_path / "link").symlink_to("a")
        for path in (tmp_path / "a", tmp_path / "link"):
            with pytest.raises(StorageError) as caught:
                check_output(path, self.MARK)
            assert str(caught.value) == (
                f"{path} exists and is no earlier output of this kind, so it is not replaced. Move "
                "it away, or name another file."
            )

    def test_what_is_read_is_not_written_by_any_name(self, tmp_path: Path) -> None:
        source, other = tmp_path / "a", tmp_path / "b"
        source.write_bytes(b"start inside")
        other.hardlink_to(source)
        (tmp_path / "c").symlink_to(source)
        for path in (source, other, tmp_path / "c"):
            with pytest.raises(StorageError) as caught:
                check_output(path, self.MARK, inputs=[tmp_path / "nowhere", source])
            assert str(caught.value) == (
                f"{path} is the same file as {source}, which is read. Name another for the output."
            )

    def test_a_name_that_is_free_or_leads_nowhere_may_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        for name in ("a", "link", "no/folder/a"):
            check_output(tmp_path / name, self.MARK, inputs=[tmp_path / "a"])

    def test_folders_and_pipes_are_no_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(StorageError, match=r"is a folder\. Name a file for the output\."):
            check_output(tmp_path, self.MARK)
        with pytest.raises(StorageError, match=r"pipe is a device or a pipe\. Name a file for"):
            check_output(tmp_path / "pipe", self.MARK)

    def test_a_file_in_the_way_of_a_folder_is_named_when_it_is_written(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a").touch()
        check_output(tmp_path / "a" / "b", self.MARK)
        with pytest.raises(StorageError, match="a file stands where a folder is needed"):
            write_text_atomically(tmp_path / "a" / "b", "text")

    def test_a_loop_of_links_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("a")
        with pytest.raises(StorageError, match="a cannot be written: Too many levels of symbolic"):
            check_output(tmp_path / "a", self.MARK)


def test_the_ending_of_an_output_says_what_it_is(tmp_path: Path) -> None:
    check_ending(tmp_path / "a.b.CSV", ".csv")
    for name in ("a.json", "a", "acsv"):
        with pytest.raises(StorageError) as caught:
            check_ending(tmp_path / name, ".csv")
        assert str(caught.value) == (
            f"{tmp_path / name} does not end in .csv, as a file of what would be written does. "
            "Give it the ending .csv."
        )


class TestLessThanOthers:
    """What file systems lack, played by calls that answer as theirs do."""

    @pytest.fixture(autouse=True)
    def nothing_said_yet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "_remarked", set())

    def lacking(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(f"cache.files.{name}", refuse)

    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
    def test_without_locks_files_and_folders_are_written_and_it_is_said_once(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        number: int,
    ) -> None:
        self.lacking(monkeypatch, "fcntl.flock", number)
        for text in ("one", "two"):
            write_text_atomically(tmp_path / "a", text)
            with replacing_folder(tmp_path / "run") as folder:
                (folder / "a").write_text(text)
            assert small_cache(tmp_path / "train.h5").exists()
        assert capsys.readouterr().err == (
            f"{tmp_path}: this file system offers no locks ({os.strerror(number)}). Nothing keeps "
            "two writers of one file apart there: start one at a time. What a killed one leaves "
            "beside its file is not cleared.\n"
        )
        names = {"a", "run", "train.h5", "train.rejects.csv"}
        assert {path.name for path in tmp_path.iterdir()} == names
        assert (tmp_path / "run" / "a").read_text() == (tmp_path / "a").read_text() == "two"

    def test_without_locks_nobodys_temporary_file_is_touched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.lacking(monkeypatch, "fcntl.flock", errno.ENOSYS)
        with replacing(tmp_path / "a.csv") as one, replacing(tmp_path / "a.csv") as other:
            one.write_text("one")
            other.write_text("other")
            (tmp_path / ".run.new").mkdir()
            (tmp_path / ".run.new" / "a").write_text("another's")
            with scratch_folder(tmp_path / "run"):
                pass
            assert one.read_text() == "one"
        assert (tmp_path / "a.csv").read_text() == "one"
        assert (tmp_path / ".run.new" / "a").exists()

    def test_a_folder_that_cannot_be_forced_to_the_disk_is_gone_on_with(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.lacking(monkeypatch, "os.fsync", errno.EINVAL)
        write_text_atomically(tmp_path / "a", "text")
        assert small_cache(tmp_path / "train.h5").exists()
        assert capsys.readouterr().err == (
            f"{tmp_path}: this file system offers no way to force files and folders to the disk "
            "(Invalid argument). After a power cut the newest ones may be missing.\n"
        )

    def test_room_that_cannot_be_reserved_is_gone_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.lacking(monkeypatch, "os.posix_fallocate", errno.EOPNOTSUPP)
        assert verify(small_cache(tmp_path / "train.h5")) == []
        assert capsys.readouterr().err == (
            f"{tmp_path}: this file system offers no way to reserve room (Operation not "
            "supported). A disk that is too small shows late, and not at the start.\n"
        )

    @pytest.mark.parametrize("call", ["fcntl.flock", "os.fsync", "os.posix_fallocate"])
    def test_an_error_of_the_disk_is_no_lack(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        self.lacking(monkeypatch, call, errno.EIO)
        with (
            pytest.raises(StorageError, match="Input/output error"),
            storage_errors(tmp_path),
            exclusive(tmp_path / "train.h5"),
        ):
            small_cache(tmp_path / "train.h5")


class TestWords:
    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (
                errno.ENOSPC,
                "the disk is full. What was finished before is kept; make room and give the same "
                "command again.",
            ),
            (
                errno.EDQUOT,
                "the disk is full. What was finished before is kept; make room and give the same "
                "command again.",
            ),
            (
                errno.EACCES,
                "no permission, or a read-only folder. Choose another one.",
            ),
            (
                errno.EROFS,
                "no permission, or a read-only folder. Choose another one.",
            ),
            (
                errno.ENOTDIR,
                "a file stands where a folder is needed. Choose another one.",
            ),
            (
                errno.EIO,
                "Input/output error. What was finished before is kept; solve this and give the "
                "same command again.",
            ),
        ],
    )
    def test_the_systems_refusals_are_told_in_words(self, number: int, words: str) -> None:
        with pytest.raises(StorageError) as caught, storage_errors(Path("out/train.h5")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"out/train.h5 cannot be written: {words}"

    def test_the_number_that_hdf5_hides_in_its_text_is_found(self) -> None:
        text = "Can't write data (file write failed: time = x, errno = 28, error message = 'No'"
        with pytest.raises(StorageError, match="the disk is full"), storage_errors(Path("a")):
            raise OSError(text)

    def test_an_error_without_a_number_is_not_hidden(self) -> None:
        with pytest.raises(OSError, match="odd"), storage_errors(Path("a")):
            raise OSError("odd")

    def test_other_errors_pass(self) -> None:
        with pytest.raises(KeyError), storage_errors(Path("a")):
            raise KeyError
