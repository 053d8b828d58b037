"""`heads export`: it says how far the export is from the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heads.cli.export import _words
from heads.cli.main import main
from heads.export.check import Checked
from tests.heads.export.exported import loaded
from tests.heads.studio import save_pictures
from tests.wheel import needs_wheel


@needs_wheel
@pytest.mark.slow
def test_the_command_says_how_far_the_export_is_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = loaded(tmp_path)
    run = replace(run, config=replace(run.config, label_note="votes are simulated"))
    monkeypatch.setattr("heads.runs.loaded.load_run", lambda path: run)
    save_pictures(tmp_path / "photos", range(2))
    words = ["export", "run", "--to", "keras", "--photos", str(tmp_path / "photos"), "--json"]
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["photographs"] == 2
    assert values["score_difference"] <= values["allowed"]
    assert values["label_note"] == "votes are simulated"


def test_what_had_to_be_prepared_and_what_is_refused_is_said() -> None:
    counts = {"rotated": 3, "transparent": 1}
    inputs = {"pixels_u8": 16, "image_bytes": 14}
    done = Checked(Path("served/1"), 28_300_000, 16, counts, inputs, 0.0018, 0.0006, 0.12)
    assert _words(done).splitlines() == [
        "served/1: 28.3 MB. Checked on 16 photographs (3 rotated, 1 transparent): scores differ by "
        "at most 0.0018 from the run's (allowed 0.12), probabilities by at most 0.0006.",
        "pixels_u8 is upright sRGB, alpha on white: 4 of the 16 photographs had to be made so, as "
        "docs/scoring-and-export.md shows.",
        "image_bytes is the file of a JPEG or PNG, turned and put on white by the model: 14 of the "
        "16 were checked so; it refuses the others.",
    ]
    counts = {"of a colour profile other than sRGB": 2}
    wide = Checked(Path("served/1"), 28_300_000, 16, counts, inputs, 0.0018, 0.0006, 0.12)
    assert _words(wide).splitlines()[2:] == [
        "image_bytes is the file of a JPEG or PNG, turned and put on white by the model: 14 of the "
        "16 were checked so.",
        "It knows no colour profiles: 2 of the 16 have one other than sRGB and would get another "
        "score by image_bytes. Convert such photographs, or give pixels_u8.",
    ]
    plain = Checked(Path("m.keras"), 1_000_000, 2, {}, {"pixels_u8": 2}, 0.1, 0.1, 0.12)
    assert len(_words(plain).splitlines()) == 1
    noted = replace(plain, label_note="votes are simulated")
    assert _words(noted).splitlines()[1:] == [
        "Note on the labels that it learned from: votes are simulated."
    ]
