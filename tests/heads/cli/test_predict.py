"""`heads predict`: a cached split scored again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.labels import Manifest, mean_of_votes
from cache.store import open_cache
from cache.types import Scale
from heads.cli.main import main
from tests.heads.studio import Studio
from tests.helpers import write_cache


def test_predicting_test_again_gives_the_rows_of_the_run(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (studio.run() / "predictions.csv").read_text().splitlines()
    expected = [lines[0], *(line for line in lines if ",test," in line)]
    assert main(["predict", str(studio.run()), "--split", "test"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    out = tmp_path / "test.csv"
    assert main(["predict", str(studio.run()), "--split", "test", "--out", str(out)]) == 0
    assert out.read_text().splitlines() == expected


def test_predicting_refuses_other_features(
    studio: Studio, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(studio.run()), "--split", "val", "--features", str(planted)]
    assert main(words) == 1
    assert "was trained on features with backbone " in capsys.readouterr().err


def relabelled(studio: Studio, folder: Path, **changes: object) -> Path:
    """Write the studio's test cache with other labels, and return its folder."""
    cache = open_cache(studio.features / "test.h5")
    manifest = Manifest(replace(cache.labels, **changes), cache.split_rule)
    folder.mkdir()
    write_cache(folder / "test.h5", manifest, cache.spec, np.array(cache.features))
    return folder


@pytest.mark.parametrize(
    ("levels", "threshold", "said"),
    [
        (5, "2.5", "labels with the threshold of beautiful 3; "),
        (7, "3", "labels with the scale 1..5; "),
    ],
)
def test_predicting_refuses_labels_of_another_scale_or_threshold(
    studio: Studio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    levels: int,
    threshold: str,
    said: str,
) -> None:
    votes = np.full((20, levels), 3, np.int32)
    other = relabelled(
        studio,
        tmp_path / "other",
        votes=votes,
        mean=mean_of_votes(votes),
        scale=Scale(1, levels),
        threshold=threshold,
    )
    out = tmp_path / "test.csv"
    words = ["predict", str(studio.run("ridge-dist")), "--split", "test"]
    assert main([*words, "--features", str(other), "--out", str(out)]) == 1
    err = capsys.readouterr().err
    assert f"was trained on {said}" in err
    assert "cannot be compared with the run's. Make it as the run's own cache" in err
    assert not out.exists()


def test_a_head_of_votes_predicts_for_means_with_rows_as_long_as_their_header(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    means = relabelled(studio, tmp_path / "means", votes=None)
    words = ["predict", str(studio.run("ridge-dist")), "--split", "test", "--features", str(means)]
    assert main(words) == 0
    header, *rows = (line.split(",") for line in capsys.readouterr().out.splitlines())
    assert header[8:] == ["p1", "p2", "p3", "p4", "p5"]
    assert {len(row) for row in rows} == {len(header)}


def test_a_split_is_what_its_file_says_and_not_how_it_is_called(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(studio.features / "train.h5", tmp_path / "test.h5")
    words = ["predict", str(studio.run()), "--split", "test", "--features", str(tmp_path)]
    assert main(words) == 1
    assert "test.h5 is used as test and holds the split train" in capsys.readouterr().err
