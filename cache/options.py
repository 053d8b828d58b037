"""Options of the command line that more than one command has. Standard library only."""

from __future__ import annotations

import argparse

from cache.text import quoted


def add_label_options(group: argparse._ArgumentGroup) -> None:
    """Add how labels are read and split."""
    group.add_argument(
        "--scale",
        type=_scale,
        metavar="LO,HI",
        help="of single ratings (ratings.csv): the lowest and highest possible one; default: 1 to "
        "the highest one for whole ratings from 1 on, else what they span",
    )
    group.add_argument(
        "--threshold",
        metavar="T",
        help="beautiful means a mean above T; default 5 on 1..10, else the scale's middle",
    )
    group.add_argument("--split-seed", type=int, default=0, metavar="N", help="default: 0")
    group.add_argument(
        "--val-fraction",
        type=float,
        metavar="F",
        help="default 0.1; 0.05 beside an official list; where a split column names train and test "
        "alone, the share of its train",
    )
    group.add_argument("--test-fraction", type=float, metavar="F", help="default 0.2")
    group.add_argument(
        "--limit",
        type=positive,
        default=0,
        metavar="N",
        help="at most N photographs a split; a smaller limit's are part of a larger one's",
    )


def positive(text: str) -> int:
    """Return a whole number above 0, as argparse asks for it."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _scale(text: str) -> tuple[float, float]:
    from cache.types import decimal_number  # numpy comes with it

    lo, _, hi = text.partition(",")
    try:
        return float(decimal_number(lo)), float(decimal_number(hi))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not LO,HI, such as 1,7 or 0,100"
        ) from None
