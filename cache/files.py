"""Files that are safe to keep: locked by one writer, published whole or not at all.

Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
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
            f"{os.strerror(number)}. What was written is kept; mend it and go on with the same "
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


def publish(temporary: Path, final: Path) -> None:
    """Put a finished file in its place in one step: fsync, rename, fsync of the folder."""
    fsync(temporary)
    temporary.replace(final)
    fsync(final.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)


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
