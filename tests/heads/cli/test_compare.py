"""`heads compare`: one table of all heads, what is left out of it, seeds and folds."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from heads.cli import main as cli
from heads.cli.main import main
from heads.models.base import Head, History
from heads.models.logistic import LogisticHead
from heads.models.neural.settings import BLOG, NetworkSettings
from heads.models.registry import HEADS
from heads.models.ridge import RidgeHead
from heads.runs.files import read_config, read_json
from heads.runs.folder import find_runs
from tests.heads.cli.command import heads, stamp
from tests.heads.planted import SIZES, Plan, compare_alone, keras_saves, plant, plant_split
from tests.heads.report.finished_runs import forget_metric

OF_METADATA = {name for name, entry in HEADS.items() if entry.about.looks_at_metadata}

pytestmark = keras_saves


def test_compare_prints_one_table_and_writes_the_leaderboard(
    planted7: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "ridge-dist,logistic,emd"
    arguments = ["compare", "--heads", names, "--features", planted7, "--out", tmp_path]
    arguments += ["--ensemble", "1"]
    assert heads(*arguments) == 0
    first = capfd.readouterr()
    assert first.out.startswith("Note: votes are simulated.")
    assert "constant = floor" in first.out
    assert "  emd against ridge-dist: srcc " in first.out
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["head"] == "constant"
    assert {row["head"] for row in rows} == {"constant", *names.split(",")}
    assert heads(*arguments) == 0
    again = capfd.readouterr()
    assert again.out == first.out
    assert again.err.count("is reused") == 4
    assert heads(*arguments, "--json") == 0
    (pair,) = json.loads(capfd.readouterr().out)["linear_against_neural"]
    assert [pair["network"], pair["linear"]] == ["emd", "ridge-dist"]
    for metric, told in pair["difference"].items():
        again = differences(tmp_path / "emd", tmp_path / "ridge-dist", metric)
        np.testing.assert_allclose(told, again, atol=1e-9)


def differences(network: Path, linear: Path, metric: str) -> list[float]:
    """Work out, from predictions.csv alone, a difference and its interval: 1,000 paired draws."""
    both = [measured(run, metric) for run in (network, linear)]
    n, rng = len(both[0][0]), np.random.default_rng(0)
    rows = [np.arange(n), *(rng.integers(0, n, n) for _ in range(1000))]
    of = {
        "srcc": lambda score, mean: np.corrcoef(rankdata(score), rankdata(mean))[0, 1],
        "emd_r2": lambda emd, _: emd.mean(),
    }[metric]
    gaps = [np.subtract(*(of(*(column[r] for column in one)) for one in both)) for r in rows]
    return [gaps[0], *np.quantile(gaps[1:], [0.025, 0.975])]


def measured(run: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, or each photograph's EMD, and true means of test."""
    with (run / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    mean = np.array([float(row["true_mean"]) for row in rows])
    if metric == "srcc":
        return np.array([float(row["score"]) for row in rows]), mean
    votes, shares = (
        np.array([[float(row[f"{letter}{k}"]) for k in range(1, 8)] for row in rows])
        for letter in "rp"
    )
    gap = np.cumsum(votes / votes.sum(axis=1, keepdims=True) - shares, axis=1)
    return np.sqrt((gap**2).mean(axis=1)), mean


def test_compare_leaves_out_what_the_labels_do_not_suffice_for_and_says_so(
    planted_means: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--features", planted_means, "--out", tmp_path, "--ensemble", "1", "--json"]
    assert heads("compare", *arguments) == 0
    shown = capfd.readouterr()
    of_votes = [name for name, entry in HEADS.items() if entry.about.needs_votes]
    assert f"no vote counts: {', '.join(of_votes)}." in shown.err
    told = json.loads(shown.out)
    assert told["leaderboard"] == str(tmp_path / "leaderboard.csv")
    assert told["heads"][0]["head"] == "constant"
    assert "Left out: The head metadata is not possible: the cache holds no width, height" in (
        shown.err
    )
    assert "Left out: The head challenge-mean is not possible: the cache holds no challenges." in (
        shown.err
    )
    assert "Left out: The head pairs learns from pairs of training photographs that" in shown.err
    left_out = {*of_votes, *OF_METADATA, "pairs"}
    assert {row["head"] for row in told["heads"]} == set(HEADS) - left_out
    assert told["heads"][1]["verdict"]["srcc"] == "beats"


def test_comparisons_alone_have_one_metric_and_leave_other_heads_out_in_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    features, runs = compare_alone(tmp_path / "features"), tmp_path / "runs"
    given = ["--features", features, "--out", runs]
    assert heads("compare", *given) == 0
    shown = capfd.readouterr()
    others = ", ".join(name for name in HEADS if name not in ("constant", "pairs"))
    assert f"Left out, since the labels are comparisons alone: {others}." in shown.err
    assert "pair_acc is the share of comparisons that a head puts in people's order." in shown.out
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if "±0" in line)
    assert rows["constant"] == "= floor  0.500 ±0.000"
    assert float(rows["pairs"].split()[0]) > 0.8
    n = (features / "test.pairs.csv").read_text().count("\n") - 1
    assert f"{n} comparisons are of two of these photographs. constant is chance." in shown.out
    assert "  pairs: beats its floor in pair_acc" in shown.out
    with (runs / "leaderboard.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))[1]
    known = {"head", "n", "n_train", "run", "features"}
    assert {name for name, cell in cells.items() if cell} - known == {
        *("pair_acc", "pair_acc_lo", "pair_acc_hi")
    }
    page = (runs / "report.html").read_text()
    assert f"of the {n} comparisons of two of the 200 test photographs in people's order" in page
    assert "people compared two at a time" in page
    assert "The labels are comparisons alone, so how far people agree is not known." in page
    assert "pair_acc with its 95\u202f% interval" in page
    assert "nan" not in page
    assert "mistakes" not in page
    assert heads("compare", *given, "--folds", "2") == 0
    assert "  pairs: beats its floor in pair_acc" in capfd.readouterr().out
    assert heads("train", "ridge", *given) == 1
    assert "The head ridge learns votes, means or labels, and of these photographs there are " in (
        capfd.readouterr().err
    )
    before = stamp(runs / "pairs")
    (features / "train.pairs.csv").write_text("winner,loser\n" + "train0,train1\n" * 99)
    assert heads("train", "pairs", *given) == 1
    assert stamp(runs / "pairs") == before


def test_runs_that_lack_a_metric_are_used_again_and_show_a_dash(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--features", planted, "--out", tmp_path]
    assert heads("compare", "--heads", "ridge,logistic", *given) == 0
    leaderboard, table = (tmp_path / "leaderboard.csv").read_text(), capfd.readouterr().out
    for run in find_runs(tmp_path):
        forget_metric(run, "auc")
    assert heads("train", "ridge", *given) == 0
    shown = capfd.readouterr()
    assert "is reused" in shown.err
    (line,) = (line for line in shown.out.splitlines() if line.startswith("auc"))
    assert line.split() == ["auc", "-"]
    assert "sharpness" not in shown.out
    assert heads("curve", "ridge", "--sizes", "all", *given) == 0
    row = next(csv.DictReader((tmp_path / "curve-ridge.csv").read_text().splitlines()))
    assert [row["auc"], row["auc_lo"], row["auc_hi"]] == [""] * 3
    assert float(row["srcc"]) > 0
    # The comparison measures the predictions that the runs hold, so it lacks nothing.
    assert heads("compare", "--heads", "ridge,logistic", *given) == 0
    assert capfd.readouterr().out.endswith(table)
    assert (tmp_path / "leaderboard.csv").read_text() == leaderboard
    assert heads("report", tmp_path) == 0
    assert heads("list", tmp_path) == 0
    lines = capfd.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("  logistic") and "600 photo" in line)
    assert line.split()[6] == "-"


def test_compare_over_seeds_shows_mean_and_deviation(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--heads", "sigmoid,ridge", "--features", planted, "--out", tmp_path]
    given += ["--seeds", "2", "--ensemble", "1", "--json"]
    assert heads("compare", *given) == 0
    rows = {row["head"]: row for row in json.loads(capfd.readouterr().out)["heads"]}
    assert (rows["sigmoid"]["repeats"], rows["ridge"]["repeats"]) == (2, 1)
    each = [read_json(run / "metrics.json") for run in find_runs(tmp_path) if "sig" in run.name]
    values = [metrics["srcc"] for metrics in each]
    assert len(set(values)) == 2
    assert rows["sigmoid"]["srcc"] == pytest.approx(np.mean(values))
    assert rows["sigmoid"]["deviation"]["srcc"] == pytest.approx(np.std(values, ddof=1))
    assert rows["ridge"]["deviation"] == {}

    stamps = [stamp(run) for run in find_runs(tmp_path)]
    assert heads("compare", *given, "--overwrite") == 0
    assert not {stamp(run) for run in find_runs(tmp_path) if run.name != "ridge"} & set(stamps)
    assert len(find_runs(tmp_path)) == len(stamps)


def test_compare_with_the_blogs_settings_shows_what_they_do(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--heads", "emd", "--features", planted, "--out", tmp_path, "--limit", "100"]
    assert heads("compare", "--preset", "blog", *given) == 0
    assert "Linear against neural" not in capfd.readouterr().out
    settings = read_config(tmp_path / "emd").settings
    assert settings == BLOG


def test_compare_makes_neural_heads_of_several_networks(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--heads", "ridge,sigmoid", "--features", planted, "--out", tmp_path]
    assert heads("compare", *given) == 0
    assert heads("compare", *given, "--ensemble", "2") == 0
    assert f"{tmp_path / 'ridge'}: this very run" in capfd.readouterr().err
    settings = {read_config(run).settings for run in find_runs(tmp_path) if "sig" in run.name}
    assert settings == {NetworkSettings(), NetworkSettings(ensemble=2)}


def test_compare_leaves_out_a_head_that_needs_both_classes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    features = plant(tmp_path / "features", Plan(threshold="1"))
    given = ["--features", str(features), "--out", str(tmp_path / "runs"), "--limit", "50"]
    given += ["--labels", "hard"]
    assert cli.main(["compare", *given, "--heads", "ridge,logistic"]) == 1
    assert "The head logistic needs both classes" in capfd.readouterr().err
    assert cli.main(["compare", *given, "--ensemble", "1", "--json"]) == 0
    shown = capfd.readouterr()
    assert "Left out: The head logistic needs both classes" in shown.err
    heads = {row["head"] for row in json.loads(shown.out)["heads"]}
    assert heads == set(HEADS) - {"logistic", "pairs", *OF_METADATA}


def test_one_vote_a_photograph_is_compared_and_reported_without_a_ceiling(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    features = plant(tmp_path / "features", Plan(votes=1))
    given = ["--features", str(features), "--out", str(tmp_path / "runs")]
    assert cli.main(["compare", *given, "--heads", "ridge"]) == 0
    assert "Ceiling" not in capfd.readouterr().out
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "The labels have too few votes, so how far people agree is not known." in page


def test_what_there_is_to_choose_stands_in_files_and_json_where_there_are_groups(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for split, n in SIZES.items():
        ids = [f"{split}{i}" for i in range(n)]
        path = tmp_path / f"{split}.h5"
        plant_split(path, Plan(), split, ids, [f"{split}{i // 3}" for i in range(n)])
    given = ["--features", str(tmp_path), "--out", str(tmp_path / "runs"), "--heads", "ridge"]
    assert cli.main(["compare", *given, "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["choosing"]["n_groups"], shown["choosing"]["n_pairs"]) == (67, 199)
    assert shown["choosing"]["metrics"]["pair_acc"] > 0.9
    stored = json.loads((tmp_path / "runs" / "ridge" / "metrics.json").read_text())
    for head in (shown["heads"][1], stored):
        assert head["floor"]["pair_acc"] == 0.5 < head["intervals"]["pair_acc"][0]
        assert head["verdict"]["best_of_group"] == head["verdict"]["regret"] == "beats"
    with (tmp_path / "runs" / "leaderboard.csv").open(newline="") as file:
        assert float(list(csv.DictReader(file))[1]["regret"]) == stored["regret"]


def test_compare_folds_and_tells_what_each_way_gave(
    planted7: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--folds", "2", "--fold-seeds", "2", "--views", "center", "--heads", "ridge"]
    given = [*flags, "--features", str(planted7), "--out", str(tmp_path)]
    assert main(["compare", *given, "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    ridge = shown["heads"][1]
    assert (ridge["head"], ridge["repeats"], ridge["n"]) == ("ridge", 2, 948)
    assert ridge["deviation"]["srcc"] > 0
    assert ridge["verdict"]["srcc"] == "beats"
    assert Path(shown["leaderboard"]) == tmp_path / "folds-2" / "leaderboard.csv"
    assert main(["compare", *given]) == 0
    text = capfd.readouterr().out
    assert "(1 view, 32 features)" in text
    assert "Mean and standard deviation over runs:\n  ridge, 2 runs: srcc" in text
    assert "Note: votes are simulated" in text


@pytest.mark.parametrize(
    "flags", [["--layers", "top"], ["--views", "center"], ["--fold-seeds", "2"]]
)
def test_what_needs_folds_says_so(flags: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *flags]) == 1
    assert f"{' '.join(flags)} needs --folds" in capfd.readouterr().err


def loses_a_file_at(
    monkeypatch: pytest.MonkeyPatch, head: type[Head], lose: Callable[[], None]
) -> None:
    """Let somebody take a file away when a head is fitted."""
    fit = head.fit

    def fit_without(*arguments: Any, **options: Any) -> History:
        lose()
        return fit(*arguments, **options)

    monkeypatch.setattr(head, "fit", fit_without)


@pytest.mark.parametrize("folds", [[], ["--folds", "2"]], ids=["once", "folds"])
def test_what_is_finished_is_shown_before_the_error_that_ends_the_rest(
    planted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folds: list[str],
) -> None:
    features = shutil.copytree(planted, tmp_path / "features")
    loses_a_file_at(monkeypatch, LogisticHead, lambda: os.truncate(features / "train.h5", 4096))
    given = ["--features", features, "--out", tmp_path / "runs", *folds]
    assert heads("compare", "--heads", "ridge,logistic", *given) == 1
    shown = capfd.readouterr()
    assert "constant = floor" in shown.out
    assert [line.split()[0] for line in shown.out.splitlines() if line.startswith("ridge")]
    assert "\nlogistic" not in shown.out
    assert "The same command goes on with it." in shown.err
    assert "train.h5 is damaged: it ends after 4,096 bytes" in shown.err.splitlines()[-1]
    assert heads("compare", "--heads", "ridge,logistic", *given, "--json") == 1
    assert capfd.readouterr().out == ""


def test_the_table_is_shown_where_the_page_cannot_be_written(
    planted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = shutil.copytree(planted, tmp_path / "features")
    loses_a_file_at(monkeypatch, RidgeHead, lambda: (features / "val.h5").unlink(missing_ok=True))
    given = ["--features", features, "--out", tmp_path / "runs"]
    assert heads("compare", "--heads", "ridge", *given) == 1
    shown = capfd.readouterr()
    assert [line for line in shown.out.splitlines() if line.startswith("ridge")]
    assert "There is no cache" in shown.err.splitlines()[-1]
    assert (tmp_path / "runs" / "leaderboard.csv").exists()
