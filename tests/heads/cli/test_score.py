"""`heads score`: what it prints in each format, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from heads.cli.main import main
from tests.heads.scoring.opened import FIRST, mixed, opened
from tests.heads.studio import Studio, save_pictures
from tests.heads.unsealed import unsealed


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
        *("rank", "score", "lo", "hi", "std", "P(beautiful)", "percentile", "label", "photograph")
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
    pictures = [line.partition("  (too close to call: ")[0].split()[-1] for line in lines]
    assert main([*words, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    best = {row["group"]: row["path"] for row in rows if row["best_of_group"] == "1"}
    assert len(rows) == 5
    assert sorted(best.values()) == sorted(pictures)
    for line, group in zip(lines, (Path(path).parent for path in pictures), strict=True):
        rivals = [
            Path(row["path"]).name
            for row in rows
            if row["group"] == str(group) and row["too_close"] == "1" > row["best_of_group"]
        ]
        assert line.endswith(f"(too close to call: {', '.join(rivals)})" if rivals else ".jpg")
    for folder, path in best.items():
        scores = [float(row["score"]) for row in rows if row["group"] == folder]
        assert float(next(r["score"] for r in rows if r["path"] == path)) == max(scores)


@pytest.mark.usefixtures("cheap_engine")
def test_copies_of_one_photograph_are_one_item_whatever_their_folders(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    striped = Image.new("RGB", (64, 48), "white")
    striped.paste("black", (0, 24, 64, 48))
    turned = striped.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    pictures = {"a/1": striped, "a/2": turned, "b/3": striped.crop((4, 0, 64, 48)), "b/4": turned}
    for name, picture in pictures.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / f"{name}.png")
    words = ["score", str(studio.run()), str(tmp_path), "--group-by", "near", "--format", "csv"]
    assert main([*words, "--weights", studio.weights]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], set()).add(Path(row["path"]).stem)
    assert sorted(map(sorted, groups.values())) == [["1", "3"], ["2", "4"]]
    assert {row["path"] for row in rows if row["best_of_group"] == "1"} == set(groups)
    broken = [*words[:2], __file__, *words[3:], "--weights", studio.weights]
    assert main(broken) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("cheap_engine")
def test_groups_of_a_list_are_items(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pictures(tmp_path, [1, 2, 3, 4])
    (tmp_path / "list.csv").write_text("file,group\n1.jpg,chair\n2.jpg,\n3.jpg,chair\n")
    words = ["score", str(studio.run()), str(tmp_path / "4.jpg"), "--group-by", "group"]
    words += ["--weights", studio.weights, "--format", "csv"]
    assert main([*words, str(tmp_path / "list.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    alone = [str(tmp_path / name) for name in ("2.jpg", "4.jpg")]
    assert sorted(row["group"] for row in rows) == sorted([*alone, "chair", "chair"])
    assert sum(int(row["best_of_group"]) for row in rows) == 3
    with pytest.raises(SystemExit):
        main(words)
    said = "--group-by group needs a CSV file with a column group"
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("cheap_engine")
def test_names_of_any_bytes_are_exact_in_csv_and_json_and_escaped_for_people(
    studio: Studio, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    names = [b"=1+1.jpg", b"caf\xe9.jpg", b"esc\x1b[31m.jpg", b"two\nlines.jpg"]
    for number, name in enumerate(names):
        shutil.copy(studio.path(number), tmp_path / os.fsdecode(name))
    words = ["score", str(studio.run()), str(tmp_path), "--weights", studio.weights]
    kept, page = tmp_path / os.fsdecode(b"kept\xff"), tmp_path / "a.html"
    for _ in range(2):
        assert main([*words, "--format", "csv", "--cache", str(kept)]) == 0
        (tmp_path / "scores.csv").write_bytes(capsysbinary.readouterr().out)
        text = (tmp_path / "scores.csv").read_text(errors="surrogateescape")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [os.fsencode(Path(row["path"]).name) for row in rows] == names
    (tmp_path / os.fsdecode(names.pop())).unlink()
    assert main([*words, "--format", "csv"]) == 0  # a list has no name of two lines
    (tmp_path / "scores.csv").write_bytes(capsysbinary.readouterr().out)
    listed = [*words[:2], str(tmp_path / "scores.csv"), *words[3:]]
    assert main([*listed, "--format", "jsonl"]) == 0
    lines = capsysbinary.readouterr().out.decode("ascii").splitlines()
    assert [os.fsencode(Path(json.loads(line)["path"]).name) for line in lines] == names
    assert main([*words, "--gallery", str(page)]) == 0
    shown = capsysbinary.readouterr().out.decode("ascii")
    for text in ("=1+1.jpg", r"caf\xe9.jpg", r"esc\x1b[31m.jpg"):
        assert f"/{text}" in shown
    assert r'href="caf%E9.jpg"' in page.read_text()
    assert r">caf\xe9.jpg<" in page.read_text()


@pytest.mark.usefixtures("cheap_engine")
def test_each_bad_name_is_told_and_the_others_are_scored(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pictures(tmp_path, [1])
    many = " ".join([str(tmp_path / "1.jpg")] * 40)
    bad = ["", many, str(tmp_path / "gone.csv"), str(tmp_path / "gone\x1b.jpg")]
    words = ["score", str(studio.run()), *bad, str(tmp_path / "1.jpg")]
    assert main([*words, "--weights", studio.weights]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("1.jpg")
    for said in (
        "An empty name",
        "40 of the 40 words in it are files",
        "gone.csv cannot be read",
        r"gone\x1b.jpg: no such file",
        "1 photographs scored; 2 could not be read.",
    ):
        assert said in err
    assert main(["score", str(studio.run()), "", "--weights", studio.weights]) == 1
    assert "There is no photograph in . An empty name" in capsys.readouterr().err


@pytest.mark.usefixtures("cheap_engine")
def test_files_are_written_before_a_table_that_nobody_reads(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(tmp_path, [1])
    page = tmp_path / "a.html"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", full)
        words = ["score", str(studio.run()), str(tmp_path), "--gallery", str(page)]
        assert main([*words, "--weights", studio.weights]) == 1
        monkeypatch.undo()
    assert "1 photograph" in page.read_text()


@pytest.mark.usefixtures("cheap_engine")
def test_what_a_run_does_not_know_of_its_scores_is_said(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = unsealed(shutil.copytree(studio.run("ridge"), tmp_path / "earlier"))
    path = earlier / "yardstick.json"
    values = json.loads(path.read_text())
    bounds = values.pop("intervals")
    given = [str(studio.path(1)), "--group-by", "folder", "--weights", studio.weights]

    def remarks(run: Path) -> list[str]:
        assert main(["score", str(run), *given]) == 0
        lines = capsys.readouterr().err.splitlines()
        return [line.removeprefix(f"{run}") for line in lines if "files.json" not in line]

    assert "lo, hi" not in " ".join(remarks(studio.run("ridge")))
    path.write_text(json.dumps(values))
    why = "it is of an earlier version, which kept none. Train it again with --overwrite"
    assert remarks(earlier) == [
        f" gives no interval lo, hi: {why}.",
        f": What is too close to call is not known: {why}.",
    ]
    few = bounds | {"score": None, "difference": None, "n_groups": 7, "n_paired": 2}
    path.write_text(json.dumps(values | {"intervals": few}))
    why = "its val had 7 groups of photographs, and 9 are the fewest that tell 90 %"
    assert remarks(earlier)[0] == f" gives no interval lo, hi: {why}."
    path.write_text(json.dumps(values | {"intervals": bounds | {"n_paired": 2}}))
    assert remarks(earlier) == [
        ": Pictures are called too close as if they were of different things, more often than "
        "need be: "
        "its val had 2 groups with two photographs, and 9 are the fewest that tell 90 %."
    ]
    assert remarks(studio.run("logistic"))[0] == " gives no interval lo, hi: its scores only rank."
