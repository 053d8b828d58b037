"""Options that more than one command has."""

from __future__ import annotations

import argparse

import pytest

from cache.options import add_label_options, positive


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_label_options(parser.add_argument_group("labels"))
    return parser.parse_args(arguments)


def test_a_scale_is_two_numbers() -> None:
    assert parse("--scale", "0,7.5").scale == (0.0, 7.5)
    assert parse().scale is None
    for text in ("7", "1,x", "1;7", "nan,1", "\x1b"):
        with pytest.raises(
            argparse.ArgumentError, match=r"'[\w,;\\]+' is not LO,HI, such as 1,7 or 0,100"
        ):
            parse("--scale", text)


def test_numbers_of_photographs_are_above_zero() -> None:
    assert positive("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="0 is not a positive number"):
        positive("0")
