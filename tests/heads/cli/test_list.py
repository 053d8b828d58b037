"""`heads list`: the runs of a folder, damaged ones too, and every head."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from cache.store import open_cache
from heads.cli.main import main
from heads.models.registry import HEADS
from tests.heads.cli.command import heads
from tests.heads.studio import HEADS as TRAINED
from tests.heads.studio import Studio
from tests.heads.unsealed import unsealed


def test_list_names_every_head(capfd: pytest.CaptureFixture[str]) -> None:
    assert heads("list") == 0
    text = capfd.readouterr().out
    assert all(name in text for name in HEADS)
    assert heads("list", "--json") == 0
    rows = {row["head"]: row for row in json.loads(capfd.readouterr().out)["heads"]}
    assert list(rows) == list(HEADS)
    assert rows["ridge"]["settings"] == {"penalty": "groups of train, else val"}
    assert rows["emd"]["settings"]["hidden"] == [256]


def test_runs_are_listed_with_what_they_were_trained_on_and_how_good_they_are(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(studio.runs)]) == 0
    text = capsys.readouterr().out
    for head in TRAINED:
        assert f"  {head} " in text
    sha256 = open_cache(studio.features / "train.h5").spec.sha256
    facts = f"(features {sha256[:8]}, scale 1..5, beautiful above 3)"
    assert f"60 photographs of {studio.features} {facts}" in text
    assert main(["list", str(studio.runs), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    metrics = {row["head"]: row["metrics"] for row in rows}
    assert metrics["ridge"]["srcc"] > 0.5
    assert metrics["constant"]["srcc"] is None


def test_a_damaged_run_is_listed_as_such(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsealed(shutil.copytree(studio.run(), tmp_path / "ridge"))
    (tmp_path / "ridge" / "metrics.json").write_text("{")
    assert main(["list", str(tmp_path)]) == 1
    assert "metrics.json cannot be read" in capsys.readouterr().out
    assert main(["list", str(tmp_path), "--json"]) == 1


def test_without_runs_the_heads_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(tmp_path / "none")]) == 0
    text = capsys.readouterr().out
    assert "No finished run" in text
    assert "earth mover's distance" in text


def test_names_and_notes_of_runs_steer_no_terminal(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / os.fsdecode(b"\x1b[2J\xff\n")
    unsealed(shutil.copytree(studio.run(), run))
    config = json.loads((run / "config.json").read_text())
    config["features_dir"] = "/nowhere"  # else it is that of the features
    config["label_note"] = "a\n  \x9b\u202efake" + "x" * 900
    (run / "config.json").write_text(json.dumps(config))
    assert main(["list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if "60 photographs of" in line)
    assert line.startswith(r"  \x1b[2J\xff\n  ridge ")
    assert r"; a\n  \x9b\u202efake" in line
    assert len(line) < 1000
