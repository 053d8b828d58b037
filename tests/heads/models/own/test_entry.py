"""What may be given as a head, and what is said of the rest."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

from cache.types import Scale
from heads import compare, load_splits, own_head, train
from heads.cli.main import main
from heads.cli.options import head_names
from heads.errors import HeadError, RunError, UnsuitableLabelsError
from heads.models.registry import GROUP, find_head
from heads.runs.files import load_head, read_config
from heads.testing import planted as made_up
from tests.heads.models.own.heads_of_tests import Broken, NearestHead, layer_norm, make_knn

MODULE = "tests.heads.models.own.heads_of_tests"


def test_what_an_estimator_learns_follows_from_its_kind_or_is_said() -> None:
    assert own_head(Ridge()).default_settings.learns == "mean"
    assert own_head(LogisticRegression()).default_settings.learns == "beautiful"
    knn = own_head(KNeighborsRegressor(), learns="distribution", name="knn")
    assert (knn.name, knn.about.name, knn.about.needs_votes) == ("knn", "knn", True)
    assert find_head(make_knn).name == find_head(f"{MODULE}:make_knn").name == "make_knn"
    assert find_head(f"{MODULE}:make_named").name == "five"


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (Ridge, {}, r"Ridge is a class: give an estimator, Ridge\(\)"),
        (
            Ridge(),
            {"learns": "beauty"},
            "mean, beautiful, distribution; got 'beauty'",
        ),
        (Ridge(), {"learns": "beautiful"}, "Ridge cannot learn beautiful: that needs a classifier"),
        (LogisticRegression(), {"learns": "mean"}, "cannot learn mean: that needs a regressor"),
        (KMeans(), {}, "KMeans says neither that it is a regressor nor"),
        (Ridge(), {"name": "a/b"}, "A head cannot be called 'a/b'"),
        (layer_norm, {}, r"must be said: own_head\(layer_norm, loss=...\), one of emd, mse, bce"),
        (3, {}, "3 cannot be a head. Give a name, an estimator"),
        (Ridge(), {"learns": "\x1b[2J" + "x" * 99}, r"got '\\x1b\[2Jx+\[\.\.\. 63 more"),
        (Ridge(), {"name": "\u202e" + "x" * 99}, r"called '\\u202ex+\[\.\.\. 60 more"),
        (layer_norm, {"loss": "\x1b"}, r"emd, mse, bce; got \\x1b\.$"),
        (["\u202e"], {}, r"^\['\\u202e'\] cannot be a head"),
    ],
)
def test_what_is_no_head_is_refused(source: Any, options: dict[str, str], said: str) -> None:
    with pytest.raises(HeadError, match=said):
        own_head(source, **options)


def test_a_name_of_ours_is_refused() -> None:
    with pytest.raises(HeadError, match="cannot be called ridge, as one of ours is"):
        find_head(own_head(Ridge(), name="ridge"))


def test_an_installed_package_offers_heads_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed as pip leaves it: a folder of metadata beside the module."""
    about = tmp_path / "nearby-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nearby\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nnearby = nearby_of_tests:head\n")
    (tmp_path / "nearby_of_tests.py").write_text(f"from {MODULE} import NearestHead as head\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_head("nearby").source is NearestHead
    assert head_names("nearby,ridge") == ("nearby", "ridge")
    with pytest.raises(HeadError, match=r"no head forest; there are constant, .*MODULE:NAME"):
        find_head("forest")


def test_the_command_compares_heads_by_place_and_goes_on_where_one_fails(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = f"{MODULE}:make_knn,{MODULE}:Broken,{MODULE}:NearestHead"
    flags = ["--features", str(planted), "--out", str(tmp_path), "--json"]
    with pytest.raises(SystemExit):
        main(["compare", "--heads", "forest"])
    assert "no head 'forest'; there are" in capsys.readouterr().err
    assert main(["compare", "--heads", names.replace(f"{MODULE}:Broken,", ""), *flags]) == 0
    capsys.readouterr()
    assert main(["compare", "--heads", f"ridge,{MODULE}:make_broken", *flags]) == 1
    assert "heads_of_tests:make_broken cannot be imported" in capsys.readouterr().err
    assert main(["compare", "--heads", f"ridge,{MODULE}:make_nothing", *flags]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["failed"] == {f"{MODULE}:make_nothing": "ValueError: nothing to make"}
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        rows = {row["head"]: row["error"] for row in csv.DictReader(file)}
    assert rows == {"constant": "", "ridge": "", **said["failed"]}
    assert {"make_knn", "nearest"} <= {path.name for path in tmp_path.iterdir()}


def test_a_head_that_fails_is_named_and_the_others_go_on(planted: Path, tmp_path: Path) -> None:
    board = compare(load_splits(planted), [Broken(), NearestHead, Ridge(), Ridge(2.0)], tmp_path)
    assert [e.head for e in board.entries] == ["constant", "nearest", "Ridge", "Ridge-2"]
    assert isinstance(board.failed["Broken"], ValueError)
    assert "Broken  failed: ValueError: no idea what to do" in repr(board)
    assert "Neural and own heads" not in repr(board)
    assert "<b>Broken</b> failed: ValueError: no idea what to do" in board._repr_html_()
    assert board.frame()["error"].tolist()[-1] == "ValueError: no idea what to do"


def test_code_that_cannot_be_run_is_refused_before_anything_is_trained(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spoilt_of_tests.py").write_text("def head(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HeadError, match="spoilt_of_tests:head cannot be imported: SyntaxError: "):
        compare(load_splits(planted), ["ridge", "spoilt_of_tests:head"], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_heads_that_learn_means_are_not_given_labels_of_0_and_1(tmp_path: Path) -> None:
    labels = replace(made_up("train").labels, votes=None, scale=Scale(0, 1), threshold="0.5")
    labels = replace(labels, mean=(labels.mean > 4).astype(float))
    for source in (Ridge(), own_head(layer_norm, loss="mse")):
        entry = own_head(source)
        X, head = made_up("train").X, entry.make(entry.default_settings)
        with pytest.raises(UnsuitableLabelsError, match=r"labels are 0 or 1\. Train logistic, bin"):
            head.fit(X, labels, X, labels, seed=0)


def test_a_run_of_ones_own_is_not_repeated_by_its_settings_nor_exported(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(NearestHead, load_splits(planted), tmp_path).path
    assert main(["train", "--config", str(run / "config.json")]) == 1
    assert "is of nearest, a head of your own, which its settings" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "keras", "--photos", str(tmp_path)]) == 1
    assert f"{run} is of nearest, a head of your own: those are not exp" in capsys.readouterr().err


def test_a_run_of_a_class_that_is_not_here_says_which_module_is_missing(
    planted: Path, tmp_path: Path
) -> None:
    compare(load_splits(planted), [NearestHead], tmp_path)
    run = tmp_path / "nearest"
    assert load_head(run).about is NearestHead.about
    (run / "files.json").unlink()
    config = json.loads((run / "config.json").read_text())
    config["settings"]["place"] = "nopackage.heads:NearestHead"
    (run / "config.json").write_text(json.dumps(config))
    assert read_config(run).head == "nearest"
    with pytest.raises(RunError, match=r"nearest cannot be loaded: .*No module named 'nopackage'"):
        load_head(run)
    config["settings"]["place"] = "os:getcwd"
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="os:getcwd is no head: it needs about, fit, predict"):
        load_head(run)
