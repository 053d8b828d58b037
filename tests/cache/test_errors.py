"""Every error that is raised on purpose has one base, and becomes one line."""

from __future__ import annotations

import errno
from types import ModuleType

import pytest

import cache.errors
import extract.errors
import heads.errors
from cache.errors import AestheticError, LabelError
from extract.errors import is_passing


@pytest.mark.parametrize("module", [cache.errors, extract.errors, heads.errors])
def test_all_errors_have_one_base(module: ModuleType) -> None:
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    assert len(classes) > 1
    assert all(issubclass(error, AestheticError) for error in classes)


def test_the_message_and_its_notes_are_one_line() -> None:
    error = LabelError("Two\nlines.")
    assert error.one_line() == "Two lines."
    error.add_note("And a note.")
    assert error.one_line() == "Two lines. And a note."


def test_a_refusal_passes_unless_it_is_about_the_file_or_has_no_number() -> None:
    numbers = (errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOENT, errno.EISDIR, errno.EINVAL)
    assert [is_passing(OSError(n, "")) for n in numbers] == [*[True] * 3, *[False] * 3]
    assert not is_passing(OSError("image file is truncated"))
