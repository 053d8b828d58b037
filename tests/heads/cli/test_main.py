"""The `heads` command: what it prints, where, and how it ends."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heads.cli import main as cli
from heads.cli.options import memory_size, widths
from heads.models.neural.settings import BLOG, NetworkSettings
from heads.models.registry import HEADS
from heads.runs.files import read_config, read_json
from heads.runs.folder import find_runs
from tests.heads.planted import Plan, keras_saves, plant
from tests.heads.report.finished_runs import forget_metric

pytestmark = keras_saves
LIGHT = ["numpy", "pandas", "h5py", "joblib", "sklearn", "scipy", "keras", "tensorflow"]


def heads(*arguments: object) -> int:
    """Run the command in this process; wrong usage comes back as its exit code."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_train_prints_its_results_on_stdout_alone(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "ridge", "--features", planted, "--out", tmp_path) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert f"{tmp_path / 'ridge'}: ridge, trained on 600 photographs" in shown.out
    (line,) = (line for line in shown.out.splitlines() if line.startswith("srcc"))
    assert line.split()[-3:] == ["beats", "its", "floor"]


def test_train_passes_its_flags_on_and_tells_them_in_the_config(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = "--hidden 8,4 --dropout 0.1 --input-dropout 0.3 --l2 0.5 --lr 0.01 --batch-size 50"
    flags += " --epochs 2 --patience 1 --optimizer sgd --views mean --seed 3 --limit 300"
    done = heads("train", "emd", *flags.split(), "--features", planted, "--out", tmp_path, "--json")
    assert done == 0
    shown = json.loads(capfd.readouterr().out)
    config = read_config(Path(shown["run"]))
    settings = config.settings
    assert settings is not None
    assert (settings.hidden, settings.dropout, settings.input_dropout) == ((8, 4), 0.1, 0.3)
    assert (settings.l2, settings.lr, settings.batch_size) == (0.5, 0.01, 50)
    assert (settings.epochs, settings.patience) == (2, 1)
    assert (settings.optimizer, settings.views) == ("sgd", "mean")
    assert (config.seed, config.limit, config.splits["train"].n) == (3, 300, 300)
    assert shown["metrics"]["n_train"] == 300
    assert shown["reused"] is False


def test_a_preset_gives_way_to_flags(planted: Path, tmp_path: Path) -> None:
    arguments = ["--preset", "blog", "--epochs", "1", "--features", planted, "--out", tmp_path]
    assert heads("train", "binary", *arguments) == 0
    settings = read_config(tmp_path / "binary").settings
    assert settings is not None
    assert (settings.start, settings.l2, settings.epochs) == ("random", 0.1, 1)


def test_a_config_file_repeats_a_run(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--epochs", "1", "--lr", "0.02", "--seed", "5", "--limit", "200"]
    assert heads("train", "tanh", *flags, "--features", planted, "--out", tmp_path) == 0
    config = tmp_path / "tanh" / "config.json"
    assert heads("train", "--config", config, "--out", tmp_path) == 0
    assert "is reused" in capfd.readouterr().err
    assert heads("train", "--config", config, "--seed", "0", "--out", tmp_path / "other") == 0
    repeated = read_config(tmp_path / "other" / "tanh")
    assert (repeated.seed, repeated.limit) == (0, 200)
    assert repeated.settings == read_config(tmp_path / "tanh").settings


def test_a_config_repeated_on_other_features_says_that_it_gives_other_numbers(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "ridge", "--features", planted, "--out", tmp_path) == 0
    file = tmp_path / "ridge" / "config.json"
    values = json.loads(file.read_text())
    values["splits"]["val"]["content_sha256"] = values["extractor_sha256"] = "0" * 64
    file.write_text(json.dumps(values))
    capfd.readouterr()
    assert heads("train", "--config", file, "--out", tmp_path / "again") == 0
    said = f"the settings of {file}, not its numbers: the extractor, val are not what it was made"
    assert said in capfd.readouterr().err
    assert heads("train", "--config", file, "--limit", "9", "--out", tmp_path / "less") == 0
    assert "numbers: the extractor, train, val are not" in capfd.readouterr().err


@pytest.mark.parametrize("settings", [{"lr": "3e-4"}, {"hidden": 256}])
def test_a_setting_of_the_wrong_kind_is_named(
    planted: Path, tmp_path: Path, settings: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"head": "emd", "settings": settings}))
    assert heads("train", "--config", file, "--features", planted, "--out", tmp_path) == 1
    assert "The settings in --config have a value of the wrong kind" in capfd.readouterr().err


def test_the_same_settings_said_or_chosen_are_the_same_run(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["sigmoid", "--features", planted, "--out", tmp_path, "--epochs", "1"]
    assert heads("train", *given) == 0
    values = read_json(tmp_path / "sigmoid" / "config.json")
    assert (values["settings"]["ensemble"], values["resolved"]["ensemble"]) == (None, 3)
    assert heads("train", *given, "--ensemble", "3") == 0
    assert "this very run is already there" in capfd.readouterr().err
    assert len(find_runs(tmp_path)) == 1


def test_a_curve_keeps_its_largest_size_in_the_heads_own_folder_and_others_runs(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["ridge", "--features", planted, "--out", tmp_path, "--json"]
    assert heads("curve", *given, "--sizes", "100,200,all") == 0
    rows = json.loads(capfd.readouterr().out)["sizes"]
    assert [row["n_train"] for row in rows] == [100, 200, 600]
    assert rows[-1]["run"] == str(tmp_path / "ridge")
    stamps = {run: _stamp(run) for run in find_runs(tmp_path)}
    assert heads("curve", *given, "--sizes", "100,300", "--overwrite") == 0
    changed = {run for run, stamp in stamps.items() if _stamp(run) != stamp}
    assert changed == {Path(rows[0]["run"])}
    assert len(find_runs(tmp_path)) == 4


def _stamp(run: Path) -> int:
    return (run / "config.json").stat().st_mtime_ns


def test_a_config_of_another_head_is_refused(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heads("train", "ridge", "--features", planted, "--out", tmp_path)
    config = tmp_path / "ridge" / "config.json"
    assert heads("train", "emd", "--config", config, "--out", tmp_path) == 1
    assert "is of the head ridge, not emd" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "ridge", "--lr", "0.1"], "head ridge has no setting --lr"),
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
        (["train", "forest"], "invalid choice: 'forest'"),
        (["train", "emd", "--limit", "0"], "at least 1, not 0"),
        (["train", "emd", "--seed", "-1"], "at least 0, not -1"),
        (["train", "emd", "--hidden", "wide"], "widths such as 256 or 512,128"),
        (["train", "emd", "--memory", "lots"], "a size such as 8G"),
        (["compare", "--heads", "emd,forest"], "no head 'forest'; there are constant"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads(*arguments) == 2
    assert said in capfd.readouterr().err


def test_a_head_of_votes_on_means_is_said_plainly(
    planted_means: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heads("train", "emd", "--features", planted_means, "--out", tmp_path) == 1
    assert "means only" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- compare and list -----------------------------------------------------------------------------


def test_compare_prints_one_table_and_writes_the_leaderboard(
    planted7: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "ridge-dist,logistic,emd"
    arguments = ["compare", "--heads", names, "--features", planted7, "--out", tmp_path]
    assert heads(*arguments) == 0
    first = capfd.readouterr()
    assert first.out.startswith("Note: votes are simulated.")
    assert "constant = floor" in first.out
    assert "Neural heads against logistic (head minus logistic, paired)" in first.out
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["head"] == "constant"
    assert {row["head"] for row in rows} == {"constant", *names.split(",")}
    assert heads(*arguments) == 0
    again = capfd.readouterr()
    assert again.out == first.out
    assert again.err.count("is reused") == 4


def test_compare_leaves_out_what_the_labels_do_not_suffice_for_and_says_so(
    planted_means: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--features", planted_means, "--out", tmp_path, "--json"]
    assert heads("compare", *arguments) == 0
    shown = capfd.readouterr()
    of_votes = [name for name, entry in HEADS.items() if entry.about.needs_votes]
    assert f"no vote counts: {', '.join(of_votes)}." in shown.err
    told = json.loads(shown.out)
    assert told["leaderboard"] == str(tmp_path / "leaderboard.csv")
    assert told["heads"][0]["head"] == "constant"
    assert len(told["heads"]) == len(HEADS) - len(of_votes)
    assert told["heads"][1]["verdict"]["srcc"] == "beats"


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
    assert heads("compare", *given, "--seeds", "2", "--json") == 0
    rows = {row["head"]: row for row in json.loads(capfd.readouterr().out)["heads"]}
    assert (rows["sigmoid"]["repeats"], rows["ridge"]["repeats"]) == (2, 1)
    each = [read_json(run / "metrics.json") for run in find_runs(tmp_path) if "sig" in run.name]
    values = [metrics["srcc"] for metrics in each]
    assert len(set(values)) == 2
    assert rows["sigmoid"]["srcc"] == pytest.approx(np.mean(values))
    assert rows["sigmoid"]["deviation"]["srcc"] == pytest.approx(np.std(values, ddof=1))
    assert rows["ridge"]["deviation"] == {}

    stamps = [_stamp(run) for run in find_runs(tmp_path)]
    assert heads("compare", *given, "--seeds", "2", "--overwrite", "--json") == 0
    assert not {_stamp(run) for run in find_runs(tmp_path) if run.name != "ridge"} & set(stamps)
    assert len(find_runs(tmp_path)) == len(stamps)


def test_compare_with_the_blogs_settings_shows_what_they_do(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--heads", "emd", "--features", planted, "--out", tmp_path, "--limit", "100"]
    assert heads("compare", "--preset", "blog", *given) == 0
    assert "Neural heads" not in capfd.readouterr().out
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


def test_compare_refuses_a_head_that_was_asked_for_and_cannot_be(
    planted_means: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--heads", "emd", "--features", planted_means, "--out", tmp_path]
    assert heads("compare", *arguments) == 1
    assert "means only" in capfd.readouterr().err


def test_compare_leaves_out_a_head_that_needs_both_classes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    features = plant(tmp_path / "features", Plan(threshold="1"))
    given = ["--features", str(features), "--out", str(tmp_path / "runs"), "--limit", "50"]
    assert cli.main(["compare", *given, "--heads", "ridge,logistic"]) == 1
    assert "The head logistic needs both classes" in capfd.readouterr().err
    assert cli.main(["compare", *given, "--json"]) == 0
    shown = capfd.readouterr()
    assert "Left out: The head logistic needs both classes" in shown.err
    heads = {row["head"] for row in json.loads(shown.out)["heads"]}
    assert heads == set(HEADS) - {"logistic"}


def test_one_vote_a_photograph_is_compared_and_reported_without_a_ceiling(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    features = plant(tmp_path / "features", Plan(votes=1))
    given = ["--features", str(features), "--out", str(tmp_path / "runs")]
    assert cli.main(["compare", *given, "--heads", "ridge"]) == 0
    assert "Ceiling" not in capfd.readouterr().out
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "The labels have too few votes, so how far people agree is not known." in page


def test_list_names_every_head(capfd: pytest.CaptureFixture[str]) -> None:
    assert heads("list") == 0
    text = capfd.readouterr().out
    assert all(name in text for name in HEADS)
    assert heads("list", "--json") == 0
    rows = {row["head"]: row for row in json.loads(capfd.readouterr().out)["heads"]}
    assert list(rows) == list(HEADS)
    assert rows["ridge"]["settings"] is None
    assert rows["emd"]["settings"]["hidden"] == [256]


def test_help_explains_the_settings(capfd: pytest.CaptureFixture[str]) -> None:
    assert heads("train", "--help") == 0
    text = capfd.readouterr().out
    for word in ("--hidden", "--preset", "(default: 256)", "examples:", "half a minute"):
        assert word in text


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["compare", "--help"]])
def test_help_loads_no_framework(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom heads.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\nprint('LOADED', *sys.modules)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(LIGHT).isdisjoint(done.stdout.rpartition("LOADED")[2].split())


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
