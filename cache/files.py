"""Files and folders that are safe to keep: locked by one writer, published whole or not at all.

`replacing` writes a file in one step and `replacing_folder` a folder; whatever else is written goes
through one of them, and `check_output` keeps them from replacing what is not ours. What a file
system does not offer is gone without, with a remark. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cache.console import note
from cache.errors import CacheLockedError, StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into words, with what is kept and how to go on."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # HDF5 raises one or the other
        reason = _reason(error)
        if reason is None:
            raise
        raise StorageError(f"{path} cannot be written: {reason}") from error


def _reason(error: OSError | RuntimeError) -> str | None:
    """Say what the operating system refused; HDF5 hides the number in its text."""
    hidden = re.search(r"errno = (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(hidden[1]) if hidden else None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk is full. What was finished before is kept; make room and give the same "
            "command again."
        )
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "no permission, or a read-only folder. Choose another one."
    if number in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed. Choose another one."
    if number is not None:
        return (
            f"{os.strerror(number)}. What was finished before is kept; solve this and give the "
            "same command again."
        )
    return None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Let the system's refusal to read an open file name it, as its refusal to open one does."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


# --- what some file systems lack ------------------------------------------------------------------

# Network and removable file systems answer so to what they do not offer.
NOT_OFFERED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)


class Lack(NamedTuple):
    """What a file system may not offer, and what is lost by it."""

    name: str
    loss: str


LOCKS = Lack(
    "locks",
    "Nothing keeps two writers of one file apart there: start one at a time. What a killed one "
    "leaves beside its file is not cleared.",
)
SYNC = Lack(
    "way to force files and folders to the disk",
    "After a power cut the newest ones may be missing.",
)
ROOM = Lack("way to reserve room", "A disk that is too small shows late, and not at the start.")
PERMISSIONS = Lack(
    "permissions and times to be set", "Copies do not keep those of the photographs."
)

_remarked: set[Lack] = set()


def go_without(lack: Lack, path: Path, error: OSError) -> None:
    """Say once a process what the file system of `path` does not offer and what is lost by it."""
    if lack not in _remarked:
        _remarked.add(lack)
        note(
            f"{path.absolute().parent}: this file system offers no {lack.name} "
            f"({os.strerror(error.errno or 0)}). {lack.loss}"
        )


def fsync(path: Path) -> None:
    """Force a file's or a folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        go_without(SYNC, path, error)
    finally:
        os.close(descriptor)


def reserve(descriptor: int, n_bytes: int, path: Path) -> None:
    """Take the whole room of an open file now, so that a full disk shows before the work."""
    try:
        os.posix_fallocate(descriptor, 0, n_bytes)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        go_without(ROOM, path, error)


def write_at(descriptor: int, content: bytes | bytearray, place: int) -> None:
    """Write all of some bytes at a place of an open file; the system may take them in parts."""
    rest = memoryview(content)
    while rest:
        n = os.pwrite(descriptor, rest, place)
        rest, place = rest[n:], place + n


# --- what an output may replace -------------------------------------------------------------------


class Mark(NamedTuple):
    """What tells a file of ours: how it starts, and what stands somewhere in it."""

    start: bytes
    inside: bytes = b""


def check_output(path: Path, *marks: Mark, inputs: Iterable[Path] = ()) -> None:
    """Refuse to replace a file that is not ours; to be asked before any work.

    An empty file holds nothing that could be lost, and may be replaced like one of ours.

    Args:
        path: the file that is to be written.
        marks: of the files that the command has ever written there, by any name.
        inputs: what the command reads.

    Raises:
        StorageError: there is a file without any of the marks, a folder, a device, or an input.
    """
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {os.strerror(error.errno or 0)}.") from None
    if stat.S_ISDIR(facts.st_mode):
        raise StorageError(f"{path} is a folder. Name a file for the output.")
    if not stat.S_ISREG(facts.st_mode):
        raise StorageError(f"{path} is a device or a pipe. Name a file for the output.")
    for source in inputs:
        if source.exists() and path.samefile(source):
            raise StorageError(
                f"{path} is the same file as {source}, which is read. Name another for the output."
            )
    if facts.st_size and not is_ours(path, *marks):
        raise StorageError(
            f"{path} exists and is no earlier output of this kind, so it is not replaced. Move it "
            "away, or name another file."
        )


def check_ending(path: Path, ending: str) -> None:
    """Refuse a name that says that an output is of another kind than it is; asked before any work.

    Raises:
        StorageError: the name has another ending, or none.
    """
    if not path.name.lower().endswith(ending):
        raise StorageError(
            f"{path} does not end in {ending}, as a file of what would be written does. Give it "
            f"the ending {ending}."
        )


def is_ours(path: Path, *marks: Mark) -> bool:
    """Whether a file can be read and has one of the marks."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return any(
                content[: len(mark.start)] == mark.start and content.find(mark.inside) >= 0
                for mark in marks
            )
    except (OSError, ValueError):  # ValueError: it is empty
        return False


# --- files ----------------------------------------------------------------------------------------


def publish(temporary: Path, final: Path) -> None:
    """Put a finished file in its place in one step: fsync, rename, fsync of the folder."""
    fsync(temporary)
    temporary.replace(final)
    fsync(final.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a temporary file that becomes `path` in one step, unless an error comes.

    It lies in the same folder and has the same suffix, by which some writers choose a format.
    Whoever else writes `path` is waited for; what a killed one left is removed.
    """
    with exclusive(path, wait=True) as alone:
        temporary = _beside(path, path.suffix, alone=alone)
        temporary.unlink(missing_ok=True)
        try:
            yield temporary
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small text file whole or not at all, and the folders above it.

    Raises:
        StorageError: the disk is full or refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def _start(path: Path) -> str:
    """Return how the names of what lies beside `path` for a time begin; within a name's limit."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}."


def _beside(path: Path, ending: str, *, alone: bool) -> Path:
    """Return the name of the temporary file or folder of `path`.

    It is always the same for the holder of the lock, who so finds what a killed one left. Where
    there are no locks it is another each time.
    """
    return path.with_name(f"{_start(path)}{'new' if alone else secrets.token_hex(8)}{ending}")


# --- folders --------------------------------------------------------------------------------------

REPLACED = ".replaced"
LONGEST = 200  # of the 255 bytes of a name; the rest is for what is put before and behind it
RENAME_EXCHANGE, AT_FDCWD = 2, -100  # linux/fs.h, fcntl.h
# No such call in this kernel or sandbox, or not on this file system (NFS, for one).
NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` in one step, unless an error comes between.

    What a killed process left here is put back or removed first.

    Raises:
        CacheLockedError: another process is writing the same folder.
        NotADirectoryError: `folder` is a file.
    """
    with scratch_folder(folder, wait=False) as temporary:
        yield temporary
        publish_folder(temporary, folder)


@contextmanager
def scratch_folder(path: Path, *, wait: bool = True) -> Iterator[Path]:
    """Give a temporary folder beside `path`, in which it is prepared by one process at a time.

    What a killed process left here is put back or removed first.

    Raises:
        CacheLockedError: another process does, and is not to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path, wait=wait) as alone:
        _put_back(path)
        for stale in _leftovers(path) if alone else []:
            _remove(stale)
        temporary = _beside(path, "", alone=alone)
        temporary.mkdir()
        try:
            yield temporary
        finally:
            _remove(temporary)


def publish_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in its place: fsync, an exchange of names, fsync of the parent.

    An earlier folder then has the temporary name.
    """
    for path in sorted(temporary.rglob("*")):
        fsync(path)
    fsync(temporary)
    if not os.path.lexists(final):
        temporary.rename(final)
    elif not final.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))
    elif not _exchange(temporary, final):
        _exchange_by_renames(temporary, final)
    fsync(final.parent)


def restore(folder: Path) -> None:
    """Put back a folder that a process was killed in the middle of replacing, if one was.

    That can be needed only where names cannot be exchanged in one step. Beside a folder that is
    there, what a killed process left is removed; it harms nobody where that cannot be done.

    Raises:
        CacheLockedError: a process is replacing it at this moment.
    """
    there = os.path.lexists(folder)
    if not folder.parent.is_dir() or not _leftovers(folder, "" if there else REPLACED):
        return
    with suppress(*(OSError, CacheLockedError) if there else ()), exclusive(folder) as alone:
        _put_back(folder)
        for stale in _leftovers(folder) if alone and there else []:
            _remove(stale)


def _put_back(folder: Path) -> None:
    """Finish what `_exchange_by_renames` began: it starts with a new folder that is whole."""
    for replaced in _leftovers(folder, REPLACED):
        if not os.path.lexists(folder):
            new = replaced.with_suffix("")
            (new if new.exists() else replaced).rename(folder)
            fsync(folder.parent)


def _leftovers(folder: Path, ending: str = "") -> list[Path]:
    """List what lies beside a folder for a time, of any process; numbers are of earlier versions'.

    Without an ending, all of it.
    """
    endings = re.escape(ending) if ending else f"(?:{re.escape(REPLACED)})?"
    name = re.compile(re.escape(_start(folder)) + f"(?:new|[0-9a-f]+){endings}")
    return sorted(other for other in folder.parent.iterdir() if name.fullmatch(other.name))


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _exchange_by_renames(temporary: Path, final: Path) -> None:
    """Exchange two names in three steps; `_put_back` goes on after a kill between the first two."""
    replaced = temporary.with_name(temporary.name + REPLACED)
    try:
        final.rename(replaced)
        temporary.rename(final)
    except BaseException:
        if os.path.lexists(replaced) and not os.path.lexists(final):
            replaced.rename(final)
        raise
    replaced.rename(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- locks ----------------------------------------------------------------------------------------


@contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the right to write `path`; the kernel frees it when the process ends, however it ends.

    Gives whether it is a right at all: False on a file system without locks.

    Raises:
        CacheLockedError: another process holds it, and is not to be waited for; the message names
            host and process.
    """
    lock = path.with_name(f"{_start(path)}lock")
    descriptor, alone = _locked(lock, path, wait=wait)
    try:
        me = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, me.encode(), 0)
        yield alone
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, path: Path, *, wait: bool) -> tuple[int, bool]:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            alone = _flock(descriptor, path, wait=wait)
            if _is_named(descriptor, lock):
                return descriptor, alone
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(descriptor: int, path: Path, *, wait: bool) -> bool:
    """Lock an open file; False where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = f"{path} is being written by {_holder(descriptor)}."
        if not wait:
            raise CacheLockedError(
                f"{holder} Wait for it to end, or choose another --out."
            ) from None
        note(f"{holder} Waiting for it to end ...")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        go_without(LOCKS, path, error)
        return False
    return True


def _is_named(descriptor: int, lock: Path) -> bool:
    """Whether the name still means this file; its holder may have removed it before our flock."""
    try:
        return os.fstat(descriptor).st_ino == lock.stat().st_ino
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {facts['process']} on host {facts['host']}"
    except (ValueError, KeyError):
        return "another process"
