"""Files and folders that are safe to keep: locked by one writer, published whole or not at all.

`replacing` writes a file in one step and `replacing_folder` a folder; whatever else is written goes
through one of them. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.errors import CacheLockedError, StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into words, with what is kept and how to go on."""
    try:
        yield
    except OSError as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise StorageError(f"{path} cannot be written: {reason}") from error


def _reason(error: OSError) -> str | None:
    """Say what the operating system refused; HDF5 hides the number in its text."""
    hidden = re.search(r"errno = (\d+)", str(error))
    number = error.errno or (int(hidden[1]) if hidden else None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk is full. What was written is kept; make room and give the same command again."
        )
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "no permission, or a read-only folder. Choose another one with --out."
    if number in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed. Choose another one with --out."
    if number is not None:
        return (
            f"{os.strerror(number)}. What was written is kept; solve this and go on with the same "
            "command."
        )
    return None


def fsync(path: Path) -> None:
    """Force a file's or a folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """
    temporary = path.with_name(f"{_start(path)}{os.getpid()}{path.suffix}")
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


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left while they wrote `path`; for the holder of its lock."""
    for stale in _leftovers(path, path.suffix):
        stale.unlink()


def _start(path: Path) -> str:
    """Return how the names of temporary files of `path` start; the process' number follows."""
    return f".{path.name}."


def _leftovers(path: Path, suffix: str) -> list[Path]:
    name = re.compile(re.escape(_start(path)) + r"\d+" + re.escape(suffix))
    return sorted(other for other in path.parent.iterdir() if name.fullmatch(other.name))


# --- folders --------------------------------------------------------------------------------------

REPLACED = ".replaced"
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        _put_back(folder)
        for stale in [*_leftovers(folder, ""), *_leftovers(folder, REPLACED)]:
            _remove(stale)
        temporary = folder.with_name(f"{_start(folder)}{os.getpid()}")
        temporary.mkdir()
        try:
            yield temporary
            publish_folder(temporary, folder)
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

    That can be needed only where names cannot be exchanged in one step.

    Raises:
        CacheLockedError: a process is replacing it at this moment.
    """
    if not os.path.lexists(folder) and folder.parent.is_dir() and _leftovers(folder, REPLACED):
        with exclusive(folder):
            _put_back(folder)


def _put_back(folder: Path) -> None:
    """Finish what `_exchange_by_renames` began: it starts with a new folder that is whole."""
    for replaced in _leftovers(folder, REPLACED):
        if not os.path.lexists(folder):
            new = replaced.with_suffix("")
            (new if new.exists() else replaced).rename(folder)
            fsync(folder.parent)


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
def exclusive(path: Path) -> Iterator[None]:
    """Hold the right to write `path`; the kernel frees it when the process ends, however it ends.

    Raises:
        CacheLockedError: another process holds it; the message names host and process.
    """
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _locked(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, path: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise CacheLockedError(
                f"{path} is being written by {holder}. Wait for it to end, or choose another --out."
            ) from None
        if _is_named(descriptor, lock):
            me = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, me.encode(), 0)
            return descriptor
        os.close(descriptor)


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
