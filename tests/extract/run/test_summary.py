"""The closing line of a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from extract.run.summary import Summary, describe


def test_the_closing_line_says_how_fast_and_what_bound_it() -> None:
    summary = Summary(Path("f/train.h5"), 1000, 0, 0, 1000, 4.0, 12.0, 1.0, 10.0, "cheap")
    assert describe(summary, 2) == (
        "f/train.h5: 1,000 photographs; 1,000 extracted in 10.0 s (100 img/s): decode 4.0 and "
        "inference 12.0 core-seconds on 2 cores, write 1.0 s; bound by inference."
    )
    slow = replace(summary, decode=13.0, write=7.0)
    assert describe(slow, 2).endswith("bound by write.")
    assert describe(slow, 1).endswith("bound by decode.")


def test_the_closing_line_of_a_gpu_tells_its_seconds_by_the_clock() -> None:
    line = describe(Summary(Path("a.h5"), 9, 0, 0, 9, 4.0, 1.0, 0.1, 3.0, "x", 2.5, "gpu"), 2)
    assert line.endswith(
        "decode 4.0 core-seconds on 2 cores, inference 2.5 s on the GPU, write 0.1 s; "
        "bound by inference."
    )
