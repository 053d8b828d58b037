"""Photographs in, scores out: as the caches' own, streamed, and honest about what failed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import FormatError, LabelError, MismatchError, StaleCacheError
from heads.cli.main import main
from heads.errors import RunError
from heads.runs.loaded import Opinion
from heads.runs.predictions import read_predictions
from heads.runs.reference import Reference
from heads.scoring.ranking import group_by_folder, mark_near_duplicates, rank
from heads.scoring.records import Scored
from heads.scoring.scorer import Scorer, open_scorer
from heads.scoring.sources import Sources
from tests.cheap import Opener
from tests.heads.studio import Studio, picture, save_pictures

FIRST = ["path", "score", "std", "p_beautiful", "percentile", "label"]


def opened(studio: Studio, *heads: str, keep: Path | None = None) -> Scorer:
    return open_scorer(*map(studio.run, heads), weights=studio.weights, jobs=2, keep=keep)


def mixed(folder: Path) -> list[Path]:
    """Two good photographs around rubbish, an empty file, a truncated one, and none at all."""
    good = save_pictures(folder, [1, 2])
    rubbish, empty, cut = folder / "rubbish.jpg", folder / "empty.png", folder / "cut.jpg"
    rubbish.write_text("rubbish")
    empty.touch()
    cut.write_bytes(good[0].read_bytes()[:300])
    return [good[0], rubbish, empty, cut, folder / "gone.jpg", good[1]]


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


def test_a_percentile_counts_equal_scores_by_half() -> None:
    reference = Reference.from_dict(
        {"scale": [1, 5], "threshold": "3", "train_scores": [1.0, 2.0, 2.0, 3.0]}
    )
    percentiles = reference.percentile(np.array([0.0, 1.0, 2.0, 2.5, 9.0]))
    assert percentiles.tolist() == [0.0, 12.5, 50.0, 75.0, 100.0]


@pytest.mark.usefixtures("cheap_engine")
def test_percentiles_spread_over_the_training_photographs(studio: Studio) -> None:
    table = opened(studio, "ridge").frame([studio.path(number) for number in range(60)])
    ranks = table["score"].rank()
    np.testing.assert_allclose(table["percentile"], 100 * (ranks - 0.5) / 60, atol=1e-9)


@pytest.mark.usefixtures("cheap_engine")
def test_a_constant_head_puts_everything_in_the_middle(studio: Studio) -> None:
    table = opened(studio, "constant").frame([studio.path(1), studio.path(2)])
    assert table["percentile"].tolist() == [50.0, 50.0]


# --- refusals -------------------------------------------------------------------------------------


def changed(studio: Studio, folder: Path, field: str, value: object) -> Path:
    """Copy a run and change a field of its extractor."""
    run = folder / "changed"
    shutil.copytree(studio.run("ridge"), run)
    config = json.loads((run / "config.json").read_text())
    config["extractor"][field] = value
    (run / "config.json").write_text(json.dumps(config))
    return run


@pytest.mark.usefixtures("cheap_engine")
def test_a_run_whose_photographs_were_read_otherwise_is_refused(
    studio: Studio, tmp_path: Path
) -> None:
    run = changed(studio, tmp_path, "interpolation", "bicubic")
    with pytest.raises(MismatchError, match="made with interpolation = 'bicubic'; this version"):
        open_scorer(run, weights=studio.weights)
    with pytest.raises(MismatchError, match="cannot score together: their interpolation differs"):
        open_scorer(studio.run("ridge"), run, weights=studio.weights)


def test_a_run_without_its_reference_is_refused(studio: Studio, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(studio.run("ridge"), run)
    (run / "yardstick.json").unlink()
    with pytest.raises(RunError, match=r"no yardstick\.json"):
        open_scorer(run, weights=studio.weights)
    (run / "yardstick.json").write_text("{}")
    with pytest.raises(RunError, match=r"yardstick\.json is damaged.*--overwrite"):
        open_scorer(run, weights=studio.weights)


def test_scoring_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to score with"):
        open_scorer()
    with pytest.raises(RunError, match=r"is no finished run: it has no config\.json"):
        open_scorer(tmp_path)


# --- kept features --------------------------------------------------------------------------------


def test_kept_features_are_not_computed_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", mixed(tmp_path / "photos")
    first = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    second = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine.batches == 0
    assert first.equals(second)


def test_a_changed_photograph_is_read_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    opened(studio, "ridge", keep=keep).frame(paths)
    picture(50, (99, 99)).save(paths[1])
    again = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    assert again.equals(opened(studio, "ridge").frame(paths))


@pytest.mark.usefixtures("cheap_engine")
def test_kept_features_of_another_extractor_are_refused(studio: Studio, tmp_path: Path) -> None:
    from heads.runs.files import read_config
    from heads.scoring.kept_features import KeptFeatures

    spec = read_config(studio.run("ridge")).extractor
    keep = tmp_path / "kept"
    KeptFeatures(keep, spec, lambda sources: iter(()))
    other = read_config(changed(studio, tmp_path, "dtype", "float32")).extractor
    with pytest.raises(StaleCacheError, match="dtype = 'float16'; this run needs 'float32'"):
        KeptFeatures(keep, other, lambda sources: iter(()))
    keep.write_text("these are no features at all, but a text of some length" * 20)
    with pytest.raises(FormatError, match=r"holds no kept features.*--cache"):
        KeptFeatures(keep, spec, lambda sources: iter(()))


# --- words on the command line --------------------------------------------------------------------


def test_folders_are_searched_to_the_bottom_in_order(tmp_path: Path) -> None:
    for name in (
        "b/2.JPG",
        "a.png",
        "b/c/1.webp",
        ".hidden/3.jpg",
        "b/._2.jpg",
        "notes.txt",
        "b/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = Sources([str(tmp_path)], io.StringIO())
    found = [str(path.relative_to(tmp_path)) for path in sources]
    assert found == ["a.png", "b/2.JPG", "b/c/1.webp"]
    assert "1 .txt" in sources.remark()
    assert "1 no ending" in sources.remark()


def test_lists_come_from_stdin_and_from_csv_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.jpg").touch()
    listed = tmp_path / "list.csv"
    listed.write_text("\ufefffile,mean\na.jpg,1\nb.jpg,2\n", encoding="utf-8")
    sources = Sources(["-", str(listed)], io.StringIO("x.jpg\n\ny z.jpg\n"))
    assert list(sources) == [
        Path("x.jpg"),
        Path("y z.jpg"),
        tmp_path / "a.jpg",
        tmp_path / "images" / "b.jpg",
    ]


def test_a_csv_without_paths_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,mean\na.jpg,1\n")
    with pytest.raises(LabelError, match=r"has no column path or file.*it has name, mean"):
        list(Sources([str(tmp_path / "list.csv")], io.StringIO()))
    with pytest.raises(LabelError, match="cannot be read as a CSV file"):
        list(Sources([str(tmp_path / "gone.csv")], io.StringIO()))


@pytest.mark.usefixtures("cheap_engine")
def test_the_command_prints_results_and_fails_if_a_photograph_did(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed(tmp_path)
    words = ["score", str(studio.run()), "--format", "csv", str(tmp_path)]
    assert main([*words, "--weights", studio.weights]) == 1
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == [*FIRST, "error"]
    assert [Path(row["path"]).name for row in rows] == [
        *("1.jpg", "2.jpg", "cut.jpg", "empty.png", "rubbish.jpg")
    ]
    assert [bool(row["score"]) for row in rows] == [True, True, False, False, False]
    assert "rubbish.jpg: not an image" in err
    assert "2 photographs scored; 3 could not be read." in err


@pytest.mark.usefixtures("cheap_engine")
def test_jsonl_has_one_object_a_line_and_full_precision(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(studio.path(number)) for number in (80, 81)]
    words = ["score", str(studio.run()), *paths, "--format", "jsonl"]
    assert main([*words, "--weights", studio.weights]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [*rows[0]] == [*FIRST, "error"]
    table = opened(studio, "ridge").frame(paths)
    assert [row["score"] for row in rows] == table["score"].tolist()
    assert rows[0]["std"] is None


@pytest.mark.usefixtures("cheap_engine")
def test_the_table_is_ranked_and_reads_a_list_on_stdin(
    studio: Studio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(studio.path(number)) for number in range(80, 90)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(paths)))
    words = ["score", str(studio.run()), "-", "--top", "3", "--weights", studio.weights]
    assert main(words) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == [
        *("rank", "score", "std", "P(beautiful)", "percentile", "label", "photograph")
    ]
    table = opened(studio, "ridge").frame(paths).sort_values("score", ascending=False)
    assert [line.split()[-1] for line in lines] == table["path"].tolist()[:3]


def test_the_command_says_what_is_missing(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(studio.path(1)), str(tmp_path)]) == 1
    assert "1.jpg is no run: there is no" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["score", str(studio.run())])
    assert stop.value.code == 2
    assert "name photographs or folders after the runs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["score", str(studio.run()), str(tmp_path), "--no-such-option"])
    assert "unrecognized arguments: --no-such-option" in capsys.readouterr().err


@pytest.mark.usefixtures("cheap_engine")
def test_a_folder_without_photographs_is_an_error(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").touch()
    words = ["score", str(studio.run()), str(tmp_path), "--weights", studio.weights]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "There is no photograph in" in error
    assert "1 .txt" in error


# --- ranking --------------------------------------------------------------------------------------


def scored(path: str, score: float, *features: float) -> Scored:
    opinion = Opinion(score, None, score / 10, 50.0, beautiful=True)
    return Scored(path, (opinion,), "", np.array(features or (1.0, 0.0), np.float32))


def test_the_best_stand_first_and_failures_nowhere() -> None:
    failed = Scored("bad", (), "empty", None)
    ranked = rank([scored("b", 2), failed, scored("a", 3), scored("c", 2)])
    assert [item.scored.path for item in ranked] == ["a", "b", "c"]


def test_a_near_duplicate_names_the_better_photograph() -> None:
    photographs = [
        scored("copy", 2, 1.0, 0.1),
        scored("best", 3, 1.0, 0.0),
        scored("other", 1, 0.0, 1.0),
        scored("worse copy", 0, 1.0, 0.2),
    ]
    marked = mark_near_duplicates(rank(photographs))
    assert {item.scored.path: item.duplicate_of for item in marked} == {
        **{"best": "", "copy": "best", "other": "", "worse copy": "best"}
    }
    assert mark_near_duplicates([]) == []


def test_near_duplicates_are_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1500, 64))
    photographs = [scored(f"p{i}", -float(i), *vector) for i, vector in enumerate(vectors)]
    photographs.append(scored("copy", -9999.0, *(vectors[3] + 0.01)))
    marked = mark_near_duplicates(rank(photographs))
    assert [item.scored.path for item in marked if item.duplicate_of] == ["copy"]
    assert marked[-1].duplicate_of == "p3"


def test_each_folder_names_its_best_picture() -> None:
    photographs = [scored("x/1.jpg", 1), scored("x/2.jpg", 2), scored("y/3.jpg", 0)]
    grouped = group_by_folder(rank(photographs))
    assert [(item.scored.path, item.group, item.group_size, item.best) for item in grouped] == [
        ("x/2.jpg", "x", 2, True),
        ("x/1.jpg", "x", 2, False),
        ("y/3.jpg", "y", 1, True),
    ]


@pytest.mark.usefixtures("cheap_engine")
def test_items_are_printed_with_their_best_picture(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for item, numbers in {"chair": [1, 2, 3], "table": [4, 5]}.items():
        save_pictures(tmp_path / item, numbers)
    words = ["score", str(studio.run()), str(tmp_path), "--group-by", "folder"]
    words += ["--weights", studio.weights]
    assert main(words) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert main([*words, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    best = {row["group"]: row["path"] for row in rows if row["best_of_group"] == "1"}
    assert len(rows) == 5
    assert sorted(best.values()) == sorted(line.split()[-1] for line in lines)
    for folder, path in best.items():
        scores = [float(row["score"]) for row in rows if row["group"] == folder]
        assert float(next(r["score"] for r in rows if r["path"] == path)) == max(scores)
