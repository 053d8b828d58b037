"""Options that several commands share: how their words are read."""

from __future__ import annotations

import argparse

import pytest

from heads.cli.options import memory_size, widths


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8 * 10**9), ("500m", 5 * 10**8), ("1.5k", 1500), ("12", 12)]
)
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "8GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a size such as 8G or 500M"):
        memory_size(text)


def test_widths_are_read_and_none_is_a_linear_head() -> None:
    assert widths("512,128") == (512, 128)
    assert widths("none") == ()
