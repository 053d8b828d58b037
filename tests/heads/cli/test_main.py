"""The `heads` command: a problem is one line, wrong usage has its own exit code."""

from __future__ import annotations

import pytest

from tests.heads.cli.command import heads


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "ridge", "--lr", "0.1"], "head ridge has no setting lr"),
        (["train", "ridge", "--preset", "blog"], "head ridge has no setting --preset"),
        (["train", "emd", "--dropout", "1.5"], "--dropout must be in [0, 1); got 1.5"),
        (["train", "--config", "no-such.json"], "--config no-such.json cannot be read"),
        (["train", "ridge", "--features", "no-such"], "Make it with `extract --split train`"),
        (["compare", "--features", "no-such"], "There is no cache no-such/train.h5"),
    ],
)
def test_a_problem_is_one_line_on_stderr_and_exit_code_1(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads(*arguments) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("heads: ")
    assert said in shown.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice"),
        (["train"], "name a head (constant, mean-ratings"),
        (["train", "forest"], "no head 'forest'"),
        (["train", "emd", "--limit", "0"], "at least 1, not 0"),
        (["train", "emd", "--seed", "-1"], "at least 0, not -1"),
        (["train", "emd", "--hidden", "wide"], "widths such as 256 or 512,128"),
        (["train", "emd", "--memory", "lots"], "a size such as 8G"),
        (["compare", "--heads", "emd,forest"], "no head 'forest'; there are constant"),
        (["curve", "ridge", "--sizes", "few"], "sizes such as 1000,5000,all"),
        (["curve", "ridge", "--limit", "5"], "unrecognized arguments: --limit 5"),
        (["sweep", "ridge"], "invalid choice: 'ridge'"),
        (["sweep", "emd", "--lr", "fast"], "numbers such as 0.1,0.01"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads(*arguments) == 2
    assert said in capfd.readouterr().err
