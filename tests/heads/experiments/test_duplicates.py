"""Photographs of test that training saw: said, listed, measured without; none is removed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cache.labels import LabelTable, Manifest
from cache.types import SplitRule
from heads.cli.main import main
from heads.data.labels import clusters
from heads.data.splits import load_splits
from heads.experiments.duplicates import across_groups, across_splits
from heads.report.write import write_report
from heads.runs.checksums import check_files
from heads.runs.files import read_metrics
from tests.heads.planted import SIZES, Plan, features_and_quality, labels_of_quality, plant, spec
from tests.helpers import write_cache

COPIED = 20
SAID = "20 of test and 3 of val nearly equal a photograph that should be another one"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted caches whose test has 20 photographs of train, saved again, and val three."""
    folder, plan = plant(tmp_path_factory.mktemp("copied") / "features"), Plan()
    train, train_quality = features_and_quality(plan, SIZES["train"], "train")
    for split, n, groups in (("test", COPIED, ""), ("val", 3, "")):
        features, quality = features_and_quality(plan, SIZES[split], split)
        features[:n] = train[:n] + np.float16(0.01)
        quality[:n] = train_quality[:n]
        votes, mean = labels_of_quality(plan, quality)
        ids = np.array([f"{split}{i}" for i in range(SIZES[split])])
        labels = LabelTable(
            image_id=ids,
            path=ids,
            group=np.full(len(ids), groups),
            votes=votes,
            mean=mean,
            scale=plan.scale,
            threshold=plan.decimal_threshold,
        )
        manifest = Manifest(labels, SplitRule(split, "planted", 0, 0.1, 0.2, 0))
        write_cache(folder / f"{split}.h5", manifest, spec(plan), features)
    return folder


def test_they_are_found_across_splits_and_within_a_pool(copied: Path, planted: Path) -> None:
    data = load_splits(copied)
    found = across_splits(data, "test")
    assert found.counts == {"test": COPIED, "val": 3}
    assert found.n_measured == COPIED
    assert found.words.startswith(f"Duplicates: {SAID}")
    assert np.flatnonzero(found.of_measured).tolist() == list(range(COPIED))
    labels = np.concatenate([part.labels.group for part in data.values()])
    pooled = across_groups(data, tuple(data), clusters(labels))
    assert pooled.counts == {"test": COPIED, "val": 3, "train": COPIED}
    nothing = across_splits(load_splits(planted), "test")
    assert (nothing.words, nothing.n_measured, len(nothing.pairs)) == ("", 0, 0)


def test_photographs_of_one_group_are_no_duplicates(copied: Path) -> None:
    data = load_splits(copied)
    one = np.zeros(sum(map(len, data.values())), np.int64)
    assert len(across_groups(data, tuple(data), one).pairs) == 0


def test_a_run_says_lists_and_measures_without_them(
    copied: Path, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "ridge", "--out", str(tmp_path), "--features"]
    assert main([*words, str(copied)]) == 0
    out, err = capsys.readouterr()
    run = tmp_path / "ridge"
    assert f"{run}/duplicates.csv: Duplicates: {SAID}" in err
    metrics = read_metrics(run)
    srcc = metrics["duplicates"]["without"]["srcc"]
    assert f"20 photographs of test look like one of training; without them: srcc {srcc:.4f}" in out
    assert metrics["n"] == SIZES["test"]
    assert (metrics["duplicates"]["n"], metrics["duplicates"]["cosine"]) == (COPIED, 0.9)
    rows = list(csv.DictReader((run / "duplicates.csv").read_text().splitlines()))
    assert len(rows) == COPIED + 3
    assert [row["duplicate_of"] for row in rows if row["image_id"] == "test4"] == ["train4"]
    check_files(run)
    page = write_report(tmp_path).read_text()
    assert "Photographs that training saw" in page
    assert f"without {srcc:.3f}" in page

    assert main([*words, str(planted), "--overwrite"]) == 0
    assert "uplicates" not in "".join(capsys.readouterr())
    assert read_metrics(run)["duplicates"] == {"cosine": 0.9, "n": 0}
    assert not (run / "duplicates.csv").exists()
    assert "Photographs that training saw" not in write_report(tmp_path).read_text()


def test_a_comparison_says_it_once_for_all_heads(
    copied: Path, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--heads", "ridge,logistic", "--out", str(tmp_path), "--features"]
    assert main([*words, str(copied)]) == 0
    out, err = capsys.readouterr()
    assert err.count("Duplicates: ") == 1
    assert "Without 20 that look like photographs of training, srcc: ridge 0." in out
    assert len((tmp_path / "duplicates.csv").read_text().splitlines()) == 1 + COPIED + 3
    # The constant head's srcc is not defined, with them or without: 0 in either place.
    assert "0.000<small>without 0.000" in (tmp_path / "report.html").read_text()
    assert main([*words, str(copied), "--json"]) == 0
    heads = {row["head"]: row for row in json.loads(capsys.readouterr().out)["heads"]}
    assert heads["ridge"]["without_duplicates"]["srcc"] != heads["ridge"]["srcc"]
    assert main([*words, str(planted)]) == 0
    assert not (tmp_path / "duplicates.csv").exists()


def test_folds_are_measured_without_them_too(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--folds", "2", "--heads", "ridge", "--out", str(tmp_path)]
    assert main([*words, "--features", str(copied)]) == 0
    assert "Give such pairs one group in the labels" in capsys.readouterr().err
    found = read_metrics(tmp_path / "folds-2" / "ridge", ())["duplicates"]
    assert found["n"] == 2 * COPIED + 3
    assert found["without"]["srcc"] is not None
    assert (tmp_path / "folds-2" / "duplicates.csv").exists()
