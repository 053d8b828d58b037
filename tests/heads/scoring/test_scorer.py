"""Photographs in, scores out: as the caches' own, streamed, and honest about what failed."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cache.errors import EngineError, MismatchError
from heads.data.splits import load_splits
from heads.errors import RunError
from heads.experiments.train import train
from heads.runs.predictions import read_predictions
from heads.scoring.scorer import open_scorer
from tests.heads.scoring.opened import FIRST, changed, mixed, opened
from tests.heads.studio import Studio, picture

# --- from Python ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("cheap_engine")
@pytest.mark.parametrize("head", ["ridge", "ridge-dist", "logistic", "constant"])
def test_a_photograph_of_the_test_split_scores_as_it_did_in_the_run(
    studio: Studio, head: str
) -> None:
    stored = read_predictions(studio.run(head))
    names = stored.image_id[stored.split == "test"].tolist()
    rows = stored.prediction("test", ranking_only=False, label_by_p=False)
    table = opened(studio, head).frame([studio.photographs / "images" / name for name in names])
    np.testing.assert_allclose(table["score"], rows.score, rtol=1e-6)
    np.testing.assert_allclose(table["p_beautiful"], rows.p_beautiful, rtol=1e-5)
    assert table["std"].isna().all() == (rows.distribution is None)


@pytest.mark.usefixtures("cheap_engine")
def test_three_lines_of_python_give_a_data_frame(studio: Studio) -> None:
    scorer = opened(studio, "ridge")
    table = scorer.frame([str(studio.path(3)), studio.path(4), picture(5)])
    assert list(table.columns) == [*FIRST, "error"]
    assert table["path"].tolist() == [str(studio.path(3)), str(studio.path(4)), "image 2"]
    assert table["score"].dtype == np.float64
    assert set(table["label"]) <= {"beautiful", "not beautiful"}


@pytest.mark.usefixtures("cheap_engine")
def test_an_image_in_memory_scores_as_its_file(studio: Studio) -> None:
    with Image.open(studio.path(7)) as image:
        table = opened(studio, "ridge").frame([image, studio.path(7)])
    assert table["score"][0] == table["score"][1]


@pytest.mark.usefixtures("cheap_engine")
def test_a_rotated_photograph_scores_as_the_upright_one(studio: Studio, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    picture(9).save(upright)
    picture(9).transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    table = opened(studio, "ridge").frame([upright, turned])
    assert table["score"][0] == table["score"][1]


@pytest.mark.usefixtures("cheap_engine")
def test_what_cannot_be_read_keeps_its_place_and_says_why(studio: Studio, tmp_path: Path) -> None:
    paths = mixed(tmp_path)
    table = opened(studio, "ridge").frame(paths)
    assert table["path"].tolist() == [str(path) for path in paths]
    assert table["score"].isna().tolist() == [False, True, True, True, True, False]
    reasons = table["error"].tolist()
    for reason, words in zip(
        reasons, ["", "not an image", "empty", "truncated", "no such file", ""], strict=True
    ):
        assert words in reason.lower()
    assert reasons[0] == reasons[5] == ""


@pytest.mark.usefixtures("cheap_engine")
def test_several_runs_give_a_column_each(studio: Studio) -> None:
    scorer = opened(studio, "ridge", "logistic")
    table = scorer.frame([studio.path(80)])
    others = [f"{name}_logistic" for name in FIRST[1:]]
    assert list(table.columns) == [*FIRST, *others, "error"]
    alone = opened(studio, "logistic").frame([studio.path(80)])
    assert table["score_logistic"][0] == alone["score"][0]


@pytest.mark.usefixtures("cheap_engine")
def test_runs_of_one_name_are_told_apart_by_their_paths(studio: Studio, tmp_path: Path) -> None:
    shutil.copytree(studio.run("ridge"), tmp_path / "ridge")
    scorer = open_scorer(studio.run("ridge"), tmp_path / "ridge", weights=studio.weights)
    assert scorer.names == (str(studio.run("ridge")), str(tmp_path / "ridge"))


@pytest.mark.usefixtures("cheap_engine")
def test_scores_come_long_before_all_photographs_are_asked_for(studio: Studio) -> None:
    asked = 0

    def endless() -> Iterator[Image.Image]:
        nonlocal asked
        while True:
            asked += 1
            yield picture(asked % 10)

    stream = opened(studio, "ridge").stream(endless())
    for _ in range(10):
        next(stream)
    stream.close()
    assert asked < 1000


@pytest.mark.usefixtures("cheap_engine")
def test_percentiles_spread_over_the_training_photographs(studio: Studio) -> None:
    table = opened(studio, "ridge").frame([studio.path(number) for number in range(60)])
    ranks = table["score"].rank()
    np.testing.assert_allclose(table["percentile"], 100 * (ranks - 0.5) / 60, atol=1e-9)


@pytest.mark.usefixtures("cheap_engine")
def test_a_constant_head_puts_everything_in_the_middle(studio: Studio) -> None:
    table = opened(studio, "constant").frame([studio.path(1), studio.path(2)])
    assert table["percentile"].tolist() == [50.0, 50.0]


@pytest.mark.usefixtures("cheap_engine")
@pytest.mark.parametrize("head", ["ridge", "ridge-dist", "logistic"])
def test_what_is_said_of_a_photograph_does_not_depend_on_its_company(
    studio: Studio, head: str
) -> None:
    scorer, paths = opened(studio, head), [studio.path(number) for number in range(40)]
    together = scorer.frame(paths)
    for n in (1, 2, 3, 7, 39):
        some = scorer.frame(paths[:n])
        pd.testing.assert_frame_equal(some, together[:n], check_exact=True)
    backwards = scorer.frame(paths[::-1])[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(backwards, together, check_exact=True)


@pytest.mark.usefixtures("cheap_engine")
def test_one_image_given_twice_scores_twice_alike_and_stays_as_it_is(
    studio: Studio, tmp_path: Path
) -> None:
    picture(3, (2400, 1800)).save(tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as image:
        table = opened(studio, "ridge").frame([image] * 20 + [tmp_path / "large.jpg"])
        assert image.size == (2400, 1800)
        assert table["score"].nunique() == 1
        assert table["error"].tolist() == [""] * 21


@pytest.mark.usefixtures("cheap_engine")
def test_a_path_alone_is_one_photograph_and_an_array_an_error(studio: Studio) -> None:
    scorer, path = opened(studio, "ridge"), studio.path(3)
    assert scorer.frame(str(path)).equals(scorer.frame([path]))
    with pytest.raises(TypeError, match=r"Photograph 1 is numpy.ndarray \(2, 2, 3\) uint8; expect"):
        scorer.frame([path, np.zeros((2, 2, 3), np.uint8)])


@pytest.mark.usefixtures("cheap_engine")
def test_a_name_that_is_no_text_costs_no_table(studio: Studio, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    picture(3).save(odd)
    assert opened(studio, "ridge").frame([odd])["path"].tolist() == [str(odd)]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cheap_engine")
def test_a_run_whose_photographs_were_read_otherwise_is_refused(
    studio: Studio, tmp_path: Path
) -> None:
    run = changed(studio, tmp_path, "interpolation", "bicubic")
    with pytest.raises(MismatchError, match="made with interpolation bicubic; this version"):
        open_scorer(run, weights=studio.weights)
    with pytest.raises(MismatchError, match="cannot score together: their interpolation differs"):
        open_scorer(studio.run("ridge"), run, weights=studio.weights)


def test_scoring_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to score with"):
        open_scorer()
    with pytest.raises(RunError, match=r"is no finished run: it has no config\.json"):
        open_scorer(tmp_path)


# --- processes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cheap_engine")
def test_a_scorer_is_not_used_in_a_fork_nor_sent_to_another_process(studio: Studio) -> None:
    scorer = opened(studio, "ridge")
    child = os.fork()
    if child == 0:
        try:
            scorer.frame([studio.path(80)])
        except EngineError as error:
            os._exit("would wait for ever" in str(error))
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    with pytest.raises(EngineError, match="stays in the process that opened it"):
        pickle.dumps(scorer)


def test_a_head_that_knows_metadata_alone_scores_no_photographs(
    studio: Studio, tmp_path: Path
) -> None:
    run = train("metadata", load_splits(studio.features), tmp_path).path
    with pytest.raises(
        RunError, match=r"cannot score photographs: the head metadata knows .* `heads predict`"
    ):
        open_scorer(run, weights=studio.weights)
